//! Deployments over HTTP: what they wait for, and how they are held and let go.

use chapada_services_core::{Event, ReadinessResponse};
use serde_json::{Value, json};

use super::cluster::Cluster;

fn none(deployments: &Value) -> bool {
    *deployments == json!([])
}

/// The id of the one deployment that goes on.
async fn deployment(cluster: &Cluster) -> String {
    let all = cluster.eventually("/v2/deployments", |all| !none(all)).await;
    all[0]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_deployment_shows_what_its_readiness_checks_found_and_waits_for_them() {
    let cluster = Cluster::start().await;
    // The pretended agent's host name leads nowhere.
    let check = json!({
        "name": "up", "portName": "http", "intervalSeconds": 60, "timeoutSeconds": 1, "preserveLastResponse": true,
    });
    let ports = json!([{"name": "http", "port": 0}]);
    let app =
        json!({"id": "/a", "cmd": "serve", "mem": 32, "portDefinitions": ports, "readinessChecks": [check]});
    assert_eq!(cluster.post("/v2/apps", &app).await.status, 201);
    let failed = |results: &Value| results[0]["lastResponse"]["status"] == 504;
    let shown = |all: &Value| failed(&all[0]["currentActions"][0]["readinessCheckResults"]);
    let all = cluster.eventually("/v2/deployments", shown).await;
    let result = &all[0]["currentActions"][0]["readinessCheckResults"][0];
    assert_eq!((&result["name"], &result["ready"]), (&json!("up"), &json!(false)));
    assert_eq!(result["lastResponse"]["contentType"], "text/plain");
    let embedded = cluster.get("/v2/apps/a?embed=app.readiness").await.json();
    assert_eq!(&embedded["app"]["readinessCheckResults"][0], result);
    let tasks = cluster.get("/v2/tasks?embed=readiness").await.json();
    assert_eq!(
        (&tasks["tasks"][0]["ready"], &tasks["tasks"][0]["state"]),
        (&json!(false), &json!("TASK_RUNNING"))
    );
    let plain = cluster.get("/v2/tasks").await.json();
    assert_eq!(plain["tasks"][0].get("ready"), None, "some clients refuse keys that they do not know");

    let task = tasks["tasks"][0]["id"].as_str().expect("an id").parse().expect("an id");
    let response =
        ReadinessResponse { status: 200, content_type: "text/html".to_owned(), body: "here".to_owned() };
    cluster.services.event(Event::Readiness { task, check: 0, result: Ok(response) }).await;
    cluster.eventually("/v2/deployments", none).await;
    let tasks = cluster.get("/v2/tasks?embed=readiness").await.json();
    assert_eq!(tasks["tasks"][0]["ready"], true);
}

#[tokio::test]
async fn deployments_are_paused_resumed_and_promoted() {
    let cluster = Cluster::start().await;
    let rollout = json!({"canary": [{"instances": 1}], "deadlineSeconds": 3600});
    let app = json!({"id": "/a", "cmd": "old", "mem": 32, "instances": 3, "rollout": rollout});
    assert_eq!(cluster.post("/v2/apps", &app).await.status, 201);
    cluster.eventually("/v2/deployments", none).await;
    let updated = cluster.put("/v2/apps/a", &json!({"cmd": "new"})).await;
    assert_eq!(updated.status, 200, "{}", updated.text);
    let id = deployment(&cluster).await;
    let of_version = |tasks: &Value, version: &Value, count: usize| {
        let tasks = tasks["tasks"].as_array().cloned().unwrap_or_default();
        let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
        running.filter(|task| task["version"] == *version).count() == count && tasks.len() == 3
    };
    let new = updated.json()["version"].clone();
    cluster.eventually("/v2/apps/a/tasks", |tasks| of_version(tasks, &new, 1)).await;

    let paused = cluster.post(&format!("/v2/deployments/{id}/pause"), &json!({})).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    let shown = cluster.get("/v2/deployments").await.json();
    assert!(
        shown[0]["rollout"]["paused"].is_string() && shown[0]["rollout"]["deadline"].is_string(),
        "{shown}"
    );
    let refused = cluster.post(&format!("/v2/deployments/{id}/promote"), &json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["message"]),
        (409, &json!("The deployment is paused; resume it first."))
    );
    assert_eq!(cluster.post(&format!("/v2/deployments/{id}/resume"), &json!({})).await.status, 200);
    assert_eq!(cluster.post(&format!("/v2/deployments/{id}/promote"), &json!({})).await.status, 200);
    cluster.eventually("/v2/deployments", none).await;
    cluster.eventually("/v2/apps/a/tasks", |tasks| of_version(tasks, &new, 3)).await;
    for what in ["pause", "resume", "promote"] {
        let missing = cluster.post(&format!("/v2/deployments/{id}/{what}"), &json!({})).await;
        assert_eq!(missing.status, 404);
        assert_eq!(missing.json()["message"], format!("DeploymentPlan {id} does not exist"));
    }
}

#[tokio::test]
async fn there_are_at_most_a_hundred_deployments_and_one_that_is_in_the_way_is_named() {
    let cluster = Cluster::without_offers().await;
    for number in 0..100 {
        let app = json!({"id": format!("/a{number}"), "cmd": "x", "mem": 32});
        assert_eq!(cluster.post("/v2/apps", &app).await.status, 201);
    }
    let many = cluster.post("/v2/apps", &json!({"id": "/one-more", "cmd": "x"})).await;
    assert_eq!(many.status, 403, "{}", many.text);
    let locked = cluster.put("/v2/apps/a7", &json!({"instances": 2})).await;
    let app = cluster.get("/v2/apps/a7").await.json();
    assert_eq!((locked.status.as_u16(), &locked.json()["deployments"]), (409, &app["app"]["deployments"]));
    let taken = cluster.put("/v2/apps/a7?force=true", &json!({"instances": 2})).await;
    assert_eq!(taken.status, 200, "it takes the place of the one that it cancels");
    let id = taken.json()["deploymentId"].as_str().expect("an id").to_owned();
    let ended = cluster.delete(&format!("/v2/deployments/{id}?force=true")).await;
    assert_eq!((ended.status.as_u16(), ended.text.as_str()), (202, ""));
}
