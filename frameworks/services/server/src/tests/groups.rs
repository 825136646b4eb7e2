//! `/v2/groups`: codes, headers and bodies.

use http::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;

fn app(id: &str, instances: u32) -> Value {
    json!({"id": id, "cmd": "sleep 100", "instances": instances, "cpus": 0.1, "mem": 32})
}

fn idle(deployments: &Value) -> bool {
    *deployments == json!([])
}

fn product() -> Value {
    json!({
        "id": "product",
        "groups": [
            {"id": "db", "apps": [app("mongo", 1)]},
            {"id": "service", "dependencies": ["../db"], "apps": [app("web", 2), app("api", 1)]},
        ],
    })
}

#[tokio::test]
async fn a_group_is_made_shown_changed_and_goes() {
    let cluster = Cluster::start().await;
    let made = cluster.post("/v2/groups", &product()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("location"), "/v2/groups/product");
    assert_eq!(made.json()["deploymentId"], made.header("marathon-deployment-id"));
    cluster.eventually("/v2/deployments", idle).await;
    let again = cluster.post("/v2/groups", &product()).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json()["message"], "Group /product is already created. Use PUT to change this group.");

    let shown = cluster.get("/v2/groups//product/").await.json();
    assert_eq!((&shown["id"], shown.get("enforceRole")), (&json!("/product"), None));
    let service = &shown["groups"][1];
    assert_eq!(
        (&service["id"], &service["dependencies"]),
        (&json!("/product/service"), &json!(["/product/db"]))
    );
    assert_eq!(service["apps"][1]["id"], "/product/service/web");
    assert_eq!(service["apps"][1].get("tasksRunning"), None, "only with its embed");
    let first = made.json()["version"].clone();
    assert_eq!(cluster.get("/v2/groups/product/versions").await.json(), json!([first]));

    let embeds = "embed=group.groups&embed=group.apps&embed=group.apps.counts&embed=group.apps.tasks";
    let counted = cluster.get(&format!("/v2/groups/product/service?{embeds}")).await.json();
    assert_eq!((&counted["apps"][1]["tasksRunning"], counted.get("pods")), (&json!(2), None));
    assert_eq!(counted["apps"][1]["tasks"].as_array().map(Vec::len), Some(2));
    let apps = cluster.get("/v2/groups/product/apps").await.json();
    assert_eq!(apps["apps"].as_array().map(Vec::len), Some(3), "{apps}");

    let scaled = cluster.put("/v2/groups/product", &json!({"scaleBy": 2})).await;
    assert_eq!((scaled.status.as_u16(), scaled.header("location")), (200, ""));
    cluster.eventually("/v2/deployments", idle).await;
    assert_eq!(cluster.get("/v2/apps/product/service/web").await.json()["app"]["instances"], 4);
    assert_eq!(cluster.put("/v2/groups/product", &json!({"version": first})).await.status, 200);
    cluster.eventually("/v2/deployments", idle).await;
    assert_eq!(cluster.get("/v2/apps/product/service/web").await.json()["app"]["instances"], 2);
    let version = scaled.json()["version"].as_str().expect("a text").to_owned();
    let then = cluster.get(&format!("/v2/groups/product/versions/{version}")).await.json();
    assert_eq!(then["groups"][0]["apps"][0]["instances"], 2);

    assert_eq!(cluster.delete("/v2/groups/product").await.status, 200);
    cluster.eventually("/v2/deployments", idle).await;
    assert_eq!(cluster.get("/v2/groups/product").await.status, 404);
    assert_eq!(cluster.put("/v2/groups/empty", &json!({})).await.status, 201);
    assert_eq!(cluster.get("/v2/groups").await.json()["groups"][0]["id"], "/empty");
    assert_eq!(cluster.delete("/v2/groups").await.status, 200);
    assert_eq!(cluster.get("/v2/groups").await.json()["groups"], json!([]));
}

#[tokio::test]
async fn a_dry_run_answers_with_the_steps_only() {
    let cluster = Cluster::start().await;
    let planned = cluster.put("/v2/groups?dryRun=True", &json!({"groups": [product()]})).await;
    assert_eq!(planned.status, 200, "{}", planned.text);
    let steps = &planned.json()["steps"];
    assert_eq!(steps.as_array().map(Vec::len), Some(3));
    assert_eq!(steps[1], json!({"actions": [{"action": "ScaleApplication", "app": "/product/db/mongo"}]}));
    assert_eq!(cluster.get("/v2/apps").await.json(), json!({"apps": []}));
}

#[tokio::test]
async fn every_refusal_has_marathons_code_and_body() {
    let cluster = Cluster::without_offers().await;
    assert_eq!(cluster.post("/v2/groups", &product()).await.status, 201);
    let locked = cluster.put("/v2/groups/product", &json!({"scaleBy": 3})).await;
    assert_eq!(
        (locked.status.as_u16(), locked.json()["deployments"].as_array().map(Vec::len)),
        (409, Some(1))
    );
    assert_eq!(cluster.put("/v2/groups/product?force=true", &json!({"scaleBy": 3})).await.status, 200);
    for (method, path, body, status) in [
        (Method::GET, "/v2/groups/none", "", 404),
        (Method::GET, "/v2/groups/None/apps", "", 404),
        (Method::GET, "/v2/groups/none/versions", "", 404),
        (Method::GET, "/v2/groups/versions/2015-01-08T15:06:07.123Z", "", 404),
        (Method::DELETE, "/v2/groups/none", "", 404),
        (Method::PUT, "/v2/groups/none", r#"{"scaleBy":2}"#, 404),
        (Method::PATCH, "/v2/groups/none", r#"{"enforceRole":true}"#, 404),
        (Method::PATCH, "/v2/groups/product/db", r#"{"enforceRole":true}"#, 422),
        (Method::PATCH, "/v2/groups/product", r#"{"enforceRole":"yes"}"#, 422),
        (Method::PATCH, "/v2/groups/product", r#"{"dependencies":[]}"#, 422),
        (Method::PATCH, "/v2/groups/product", r#"{"enforceRole":true}"#, 200),
        (Method::PUT, "/v2/groups/versions", "{}", 405),
        (Method::POST, "/v2/groups", "[]", 422),
        (Method::POST, "/v2/groups", "{", 400),
        (Method::POST, "/v2/apps", r#"{"id":"/product","cmd":"x"}"#, 409),
        (Method::POST, "/v2/groups", r#"{"id":"/product/db/mongo"}"#, 409),
    ] {
        let answer = cluster.send(method.clone(), path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text);
        assert!(status == 200 || answer.json()["message"].is_string(), "{}", answer.text);
    }
    let ring = json!({"groups": [
        {"id": "a", "dependencies": ["../b"], "apps": [app("x", 1)]},
        {"id": "b", "dependencies": ["/ring/a"], "apps": [app("y", 1)]},
    ]});
    let refused = cluster.put("/v2/groups/ring", &ring).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["details"][0]["path"]),
        (422, &json!("/dependencies"))
    );
    assert!(refused.text.contains("/ring/a/x -> /ring/b/y -> /ring/a/x"), "{}", refused.text);
    assert_eq!(cluster.get("/v2/groups").await.json()["groups"][0]["enforceRole"], true);
}
