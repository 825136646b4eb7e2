//! Codes, headers and bodies.

use chapada_listener::Policy;
use http::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::pretended::{Memory, update};
use crate::config::{EnforceRole, ServicesConfig};

fn app(id: &str, instances: u32) -> Value {
    json!({"id": id, "cmd": "sleep 100", "instances": instances, "cpus": 0.1, "mem": 32})
}

fn no_deployments(deployments: &Value) -> bool {
    *deployments == json!([])
}

#[tokio::test]
async fn an_app_is_made_runs_and_goes() {
    let cluster = Cluster::start().await;
    let made = cluster.post("/v2/apps", &app("/prod/web", 2)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("content-type"), "application/json");
    assert_eq!(made.header("location"), "/v2/apps/prod/web");
    assert_eq!(made.json()["deployments"][0]["id"], made.header("marathon-deployment-id"));
    assert_eq!(made.json()["tasksRunning"], 0);
    assert_eq!(made.header("x-marathon-leader"), format!("http://{}", cluster.address));
    assert_eq!(made.header("cache-control"), "no-cache, no-store, must-revalidate");
    cluster.eventually("/v2/deployments", no_deployments).await;

    let shown = cluster.get("/v2/apps//prod/web").await.json();
    assert_eq!(shown["app"]["tasksRunning"], 2);
    assert_eq!(shown["app"]["portDefinitions"][0]["port"], 10_000);
    let task = &shown["app"]["tasks"][0];
    assert_eq!(task["state"], "TASK_RUNNING");
    assert_eq!(task["servicePorts"], json!([10_000]));
    assert_eq!(task["slaveId"], "agent-1");
    assert_eq!((&task["region"], &task["zone"]), (&json!("north"), &json!("north-1")));
    assert!(task["startedAt"].is_string());
    assert_eq!(shown, cluster.get("/v2/apps/%2Fprod%2Fweb/").await.json());

    let gone = cluster.delete("/v2/apps/prod/web").await;
    assert_eq!(gone.status, 200);
    assert!(gone.json()["deploymentId"].is_string() && gone.json()["version"].is_string());
    assert_eq!(cluster.get("/v2/apps/prod/web").await.status, 404);
    cluster.eventually("/v2/deployments", no_deployments).await;
    assert_eq!(cluster.get("/v2/tasks").await.json(), json!({"tasks": []}));
    assert_eq!(cluster.post("/v2/apps", &app("/prod/web", 0)).await.status, 201);
}

#[tokio::test]
async fn every_refusal_has_marathons_code_and_body() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.post("/v2/apps", &app("/a", 1)).await.status, 201);
    cluster.eventually("/v2/deployments", no_deployments).await;
    let twice = cluster.post("/v2/apps", &app("/a", 1)).await;
    assert_eq!(
        (twice.status.as_u16(), twice.json()["message"].as_str()),
        (409, Some("An app with id [/a] already exists."))
    );

    let cases: Vec<(Method, &str, &str, u16, Value)> = vec![
        (Method::POST, "/v2/apps", "{", 400, json!("Invalid JSON")),
        (Method::POST, "/v2/apps", "[]", 422, json!("Invalid JSON")),
        (Method::POST, "/v2/apps", r#"{"id":"/b","cmd":"x","cpus":"1"}"#, 422, json!("Invalid JSON")),
        (Method::POST, "/v2/apps", r#"{"id":"/b"}"#, 422, json!("Object is not valid")),
        (Method::POST, "/v2/apps", r#"{"id":"/B","cmd":"x"}"#, 422, json!("Object is not valid")),
        (Method::POST, "/v2/apps", r#"{"id":"/a/b","cmd":"x"}"#, 422, json!("Object is not valid")),
        (Method::PATCH, "/v2/apps/none", "{}", 404, json!("App '/none' does not exist")),
        (Method::POST, "/v2/apps/none/restart", "", 404, json!("App '/none' does not exist")),
        (Method::DELETE, "/v2/apps/none", "", 404, json!("App '/none' does not exist")),
        (Method::GET, "/v2/apps/none/tasks", "", 404, json!("App '/none' does not exist")),
        (Method::GET, "/v2/apps/None", "", 404, json!("App '/None' does not exist")),
        (Method::DELETE, "/v2/apps/a/tasks/x", "", 404, json!("Task 'x' does not exist")),
        (
            Method::GET,
            "/v2/apps/a/versions/2015-01-08T15:06:07.123Z",
            "",
            404,
            json!("App '/a' does not exist in version 2015-01-08T15:06:07.123Z"),
        ),
        (
            Method::PUT,
            "/v2/apps/a",
            r#"{"version":"2015-01-08T15:06:07.123Z"}"#,
            404,
            json!("App '/a' does not exist in version 2015-01-08T15:06:07.123Z"),
        ),
        (Method::PUT, "/v2/apps/a", r#"{"id":"/b"}"#, 422, json!("Object is not valid")),
        (
            Method::POST,
            "/v2/tasks/delete?scale=true&wipe=true",
            r#"{"ids":[]}"#,
            400,
            json!("You cannot use scale and wipe at the same time."),
        ),
        (Method::POST, "/v2/tasks/delete", r#"{"ids":["nonsense"]}"#, 422, json!("Object is not valid")),
        (Method::DELETE, "/v2/deployments/x", "", 404, json!("DeploymentPlan x does not exist")),
        (Method::DELETE, "/v2/queue//a/delay", "", 404, json!("Application /a not found in tasks queue.")),
        (Method::GET, "/v2/groups/none", "", 404, json!("Group '/none' does not exist")),
        (Method::GET, "/nowhere", "", 404, json!("URI not found")),
        (Method::PATCH, "/v2/apps/a/restart", "{}", 405, json!("this method is not allowed here")),
    ];
    for (method, path, body, status, message) in cases {
        let answer = cluster.send(method.clone(), path, body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["message"]),
            (status, &message),
            "{method} {path} {body}"
        );
    }
    let broken = cluster.send(Method::POST, "/v2/apps", "{").await.json();
    assert!(broken["details"].is_string(), "{broken}");
    let wrong = cluster.post("/v2/apps", &json!({"id": "/b", "cmd": "x", "cpus": "1"})).await.json();
    assert_eq!(wrong["details"], json!([{"path": "/cpus", "errors": ["error.expected.jsnumber"]}]));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(cluster.ask(Method::POST, "/v2/apps", &form, "id=/x").await.status, 415);
    assert_eq!(cluster.ask(Method::PUT, "/v2/apps/a", &[], r#"{"instances":0}"#).await.status, 415);
    for browser in [("sec-fetch-site", "same-origin"), ("content-type", "text/plain")] {
        assert_eq!(cluster.ask(Method::POST, "/v2/apps/a/restart", &[browser], "").await.status, 415);
    }
    assert_eq!(cluster.ask(Method::POST, "/v2/apps", &[], "").await.status, 400);
    assert_eq!(cluster.ask(Method::POST, "/v2/apps/none/restart", &[], "").await.status, 404);
    assert_eq!(
        cluster.get("/v2/apps").await.json()["apps"].as_array().map(Vec::len),
        Some(1),
        "nothing was changed"
    );
}

#[tokio::test]
async fn a_deployment_locks_its_app_until_it_is_forced_or_ends() {
    let cluster = Cluster::without_offers().await;
    let made = cluster.post("/v2/apps", &app("/a", 1)).await.json();
    let deployment = made["deployments"][0]["id"].as_str().expect("an id").to_owned();
    let locked = cluster.put("/v2/apps/a", &json!({"instances": 3})).await;
    assert_eq!(locked.status, 409);
    assert_eq!(locked.json()["deployments"], json!([{"id": deployment}]));
    assert!(locked.json()["message"].as_str().is_some_and(|message| message.contains("force=true")));
    assert_eq!(cluster.delete("/v2/apps/a?force=False").await.status, 409);

    let list = cluster.get("/v2/deployments").await.json();
    assert_eq!(list[0]["id"], deployment);
    assert_eq!(list[0]["affectedApps"], json!(["/a"]));
    assert_eq!((&list[0]["currentStep"], &list[0]["totalSteps"]), (&json!(2), &json!(2)));
    assert_eq!(list[0]["steps"][0], json!({"actions": [{"action": "StartApplication", "app": "/a"}]}));
    assert_eq!(list[0]["currentActions"][0]["action"], "ScaleApplication");

    let queue = cluster.get("/v2/queue").await.json();
    assert_eq!(queue["queue"][0]["app"]["id"], "/a");
    assert_eq!(queue["queue"][0]["delay"], json!({"timeLeftSeconds": 0, "overdue": true}));
    assert_eq!(cluster.delete("/v2/queue//a/delay").await.status, 204);

    assert_eq!(cluster.put("/v2/apps/a?force=True", &json!({"instances": 3})).await.status, 200);
    let second = cluster.get("/v2/deployments").await.json()[0]["id"].as_str().expect("an id").to_owned();
    assert_ne!(second, deployment);
    let undone = cluster.delete(&format!("/v2/deployments/{second}")).await;
    assert_eq!(undone.status, 200);
    assert_eq!(cluster.get("/v2/apps/a").await.json()["app"]["instances"], 1);
    let third = cluster.get("/v2/deployments").await.json()[0]["id"].as_str().expect("an id").to_owned();
    let cancelled = cluster.delete(&format!("/v2/deployments/{third}?force=true")).await;
    assert_eq!((cancelled.status.as_u16(), cancelled.text.as_str()), (202, ""));
    assert!(no_deployments(&cluster.get("/v2/deployments").await.json()));
}

#[tokio::test]
async fn changes_make_versions_and_versions_can_be_gone_back_to() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.put("/v2/apps/a", &json!({"cmd": "one", "mem": 32})).await.status, 201);
    cluster.eventually("/v2/deployments", no_deployments).await;
    let first = cluster.get("/v2/apps/a").await.json()["app"].clone();
    let changed = cluster.put("/v2/apps/a", &json!({"cmd": "two", "cpus": 0.5})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    cluster.eventually("/v2/deployments", no_deployments).await;
    let second = cluster.get("/v2/apps/a").await.json()["app"].clone();
    assert_eq!((&second["cmd"], &second["mem"], &second["cpus"]), (&json!("two"), &json!(32), &json!(0.5)));
    assert_eq!(second["portDefinitions"], first["portDefinitions"], "its service port stays");
    assert_ne!(second["tasks"][0]["id"], first["tasks"][0]["id"], "its task was replaced");
    assert_eq!(second["tasks"].as_array().map(Vec::len), Some(1));

    let versions = cluster.get("/v2/apps/a/versions").await.json();
    assert_eq!(versions, json!({"versions": [second["version"], first["version"]]}));
    let old = format!("/v2/apps/a/versions/{}", first["version"].as_str().expect("text"));
    assert_eq!(cluster.get(&old).await.json()["cmd"], "one");
    assert_eq!(cluster.put("/v2/apps/a", &json!({"version": first["version"]})).await.status, 200);
    cluster.eventually("/v2/deployments", no_deployments).await;
    assert_eq!(cluster.get("/v2/apps/a").await.json()["app"]["cmd"], "one");

    let scaled = cluster.put("/v2/apps/a", &json!({"instances": 3})).await;
    assert_eq!(scaled.status, 200);
    cluster.eventually("/v2/deployments", no_deployments).await;
    let third = cluster.get("/v2/apps/a").await.json()["app"].clone();
    assert_eq!(third["tasksRunning"], 3);
    assert_ne!(third["versionInfo"]["lastScalingAt"], third["versionInfo"]["lastConfigChangeAt"]);
    let reset = cluster.put("/v2/apps/a?partialUpdate=false", &json!({"cmd": "three"})).await;
    assert_eq!(reset.status, 200);
    assert_eq!(cluster.get("/v2/apps/a").await.json()["app"]["mem"], 128);
    let bulk = cluster
        .put("/v2/apps?force=true", &json!([{"id": "/a", "instances": 0}, {"id": "/b", "cmd": "x"}]))
        .await;
    assert_eq!(bulk.status, 200, "{}", bulk.text);
}

#[tokio::test]
async fn what_was_read_can_be_written_back_here_and_elsewhere() {
    let cluster = Cluster::start().await;
    cluster.post("/v2/apps", &app("/a", 1)).await;
    cluster.eventually("/v2/deployments", no_deployments).await;
    let mut read = cluster.get("/v2/apps/a").await.json()["app"].clone();
    assert!(read["version"].is_string());
    read["cpus"] = json!(0.2);
    let written = cluster.put("/v2/apps/a?partialUpdate=false", &read).await;
    assert_eq!(written.status, 200, "{}", written.text);
    cluster.eventually("/v2/deployments", no_deployments).await;
    let bulk = cluster.put("/v2/apps?partialUpdate=false", &json!([read])).await;
    assert_eq!(bulk.status, 200, "{}", bulk.text);
    let elsewhere = Cluster::start().await;
    let created = elsewhere.put("/v2/apps/a", &read).await;
    assert_eq!(created.status, 201, "{}", created.text);
    // Beside other fields of an update it would mean two things.
    let refused = elsewhere.put("/v2/apps/a", &json!({"version": read["version"], "mem": 1})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
}

#[tokio::test]
async fn what_a_list_says_of_an_app_twice_adds_up() {
    let cluster = Cluster::start().await;
    let list =
        json!([{"id": "/a", "cmd": "x", "mem": 32}, {"id": "/a", "instances": 2}, {"id": "/a", "mem": 16}]);
    assert_eq!(cluster.put("/v2/apps", &list).await.status, 200);
    let made = cluster.get("/v2/apps/a").await.json()["app"].clone();
    assert_eq!((&made["cmd"], &made["instances"], &made["mem"]), (&json!("x"), &json!(2), &json!(16)));
}

#[tokio::test]
async fn tasks_are_listed_killed_and_scaled_away() {
    let cluster = Cluster::start().await;
    cluster.post("/v2/apps", &app("/prod/web", 3)).await;
    cluster.eventually("/v2/deployments", no_deployments).await;
    let tasks = cluster.get("/v2/tasks?status=running").await.json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(3));
    assert_eq!(cluster.get("/v2/tasks?status[]=staging").await.json(), json!({"tasks": []}));
    let text = cluster.ask(Method::GET, "/v2/tasks", &[("accept", "text/plain")], "").await.text;
    assert!(text.starts_with("prod_web\t10000\thost-1:31"), "{text}");

    let id = tasks["tasks"][0]["id"].as_str().expect("text").to_owned();
    let killed = cluster.delete(&format!("/v2/apps/prod/web/tasks/{id}")).await.json();
    assert_eq!(killed["task"]["id"], id.as_str());
    let three_others = |tasks: &Value| {
        let list = tasks["tasks"].as_array().cloned().unwrap_or_default();
        list.len() == 3 && list.iter().all(|task| task["id"] != id.as_str())
    };
    cluster.eventually("/v2/apps/prod/web/tasks", three_others).await;

    let tasks = cluster.get("/v2/apps/prod/*/tasks").await.json();
    let id = tasks["tasks"][0]["id"].clone();
    let scaled = cluster.post("/v2/tasks/delete?scale=true", &json!({"ids": [id]})).await;
    assert!(scaled.json()["deploymentId"].is_string(), "{}", scaled.text);
    cluster.eventually("/v2/deployments", no_deployments).await;
    let app = cluster.get("/v2/apps/prod/web").await.json()["app"].clone();
    assert_eq!((&app["instances"], &app["tasksRunning"]), (&json!(2), &json!(2)));
    assert_eq!(cluster.delete("/v2/apps/prod/web/tasks?host=elsewhere").await.json(), json!({"tasks": []}));
}

#[tokio::test]
async fn a_task_that_fails_is_told_of_and_started_again_later() {
    let cluster = Cluster::start().await;
    let slow = json!({"id": "/a", "cmd": "false", "mem": 32, "backoffSeconds": 30});
    cluster.post("/v2/apps", &slow).await;
    cluster.eventually("/v2/deployments", no_deployments).await;
    let task = cluster.get("/v2/tasks").await.json()["tasks"][0]["id"].as_str().expect("text").to_owned();
    cluster.services.event(update(task.parse().expect("an id"), chapada_model::TaskState::Failed)).await;
    let queue = cluster.eventually("/v2/queue", |queue| queue["queue"][0]["count"] == 1).await;
    assert_eq!(queue["queue"][0]["delay"]["overdue"], false);
    let failure = cluster.get("/v2/apps/a").await.json()["app"]["lastTaskFailure"].clone();
    assert_eq!(
        (&failure["taskId"], &failure["state"], &failure["message"]),
        (&json!(task), &json!("TASK_FAILED"), &json!("so it is"))
    );
    assert_eq!(cluster.delete("/v2/queue//a/delay").await.status, 204);
    let again = cluster.eventually("/v2/tasks", |tasks| tasks["tasks"][0]["state"] == "TASK_RUNNING").await;
    let id = again["tasks"][0]["id"].as_str().expect("text");
    assert_eq!(id, task.replace("._app.1", "._app.2"), "the same place, another incarnation");
}

#[tokio::test]
async fn lists_are_filtered() {
    let cluster = Cluster::without_offers().await;
    for (id, labels) in
        [("/a/web", json!({"env": "prod"})), ("/a/db", json!({"env": "dev"})), ("/c", json!({}))]
    {
        let body = json!({"id": id, "cmd": format!("Run {id}"), "labels": labels});
        assert_eq!(cluster.post("/v2/apps", &body).await.status, 201);
    }
    for (query, ids) in [
        ("", json!(["/a/db", "/a/web", "/c"])),
        ("?id=WEB", json!(["/a/web"])),
        ("?cmd=run%20/a", json!(["/a/db", "/a/web"])),
        ("?label=env%3D%3Dprod", json!(["/a/web"])),
        ("?label=env%20in%20(dev,test)", json!(["/a/db"])),
    ] {
        let apps = cluster.get(&format!("/v2/apps{query}")).await.json();
        let got: Vec<&Value> =
            apps["apps"].as_array().expect("a list").iter().map(|app| &app["id"]).collect();
        assert_eq!(json!(got), ids, "{query}");
    }
    assert_eq!(cluster.get("/v2/apps?label=%3D%3D").await.status, 422);
    let below = cluster.get("/v2/apps/a/*").await.json();
    assert_eq!(below["*"].as_array().map(Vec::len), Some(2));
    assert!(below["*"][0]["tasks"].is_array(), "as of a single app: {below}");
    assert_eq!(cluster.get("/v2/apps/elsewhere/*").await.status, 404);
    let root = cluster.get("/v2/groups").await.json();
    assert_eq!((&root["id"], &root["groups"][0]["id"]), (&json!("/"), &json!("/a")));
    assert_eq!(cluster.get("/v2/groups/a").await.json()["apps"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let store = Memory::default();
    let before = Cluster::with(store.clone(), true).await;
    before.post("/v2/apps", &app("/a", 2)).await;
    before.eventually("/v2/deployments", no_deployments).await;
    before.put("/v2/apps/a", &json!({"instances": 3})).await;
    before.eventually("/v2/deployments", no_deployments).await;
    let shown = before.get("/v2/apps/a").await.json();
    let versions = before.get("/v2/apps/a/versions").await.json();
    drop(before);

    let after = Cluster::with(store.clone(), false).await;
    assert_eq!(after.get("/v2/apps/a").await.json(), shown);
    assert_eq!(after.get("/v2/apps/a/versions").await.json(), versions);
    after.post("/v2/apps", &app("/b", 1)).await;
    let deployments = after.get("/v2/deployments").await.json();
    drop(after);

    let again = Cluster::with(store, true).await;
    assert!(deployments[0]["id"].is_string());
    let resumed = again.eventually("/v2/apps/b", |app| app["app"]["tasksRunning"] == 1).await;
    assert_eq!(resumed["app"]["deployments"], json!([]));
}

#[tokio::test]
async fn small_things_answer_as_clients_expect() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.get("/ping").await.text, "pong");
    let info = cluster.get("/v2/info").await.json();
    assert_eq!((&info["name"], &info["elected"]), (&json!("marathon"), &json!(true)));
    assert_eq!(info["leader"], cluster.get("/v2/leader").await.json()["leader"]);
    assert_eq!(info["marathon_config"]["new_group_enforce_role"], "off");
    let config = ServicesConfig { new_group_enforce_role: EnforceRole::Top, ..ServicesConfig::default() };
    let strict = Cluster::with_config(config).await.get("/v2/info").await.json();
    assert_eq!(strict["marathon_config"]["new_group_enforce_role"], "top");
    assert!(cluster.get("/metrics").await.json()["gauges"].is_object());
    assert!(cluster.get("/metrics/prometheus").await.text.contains("\nmarathon_apps_active_gauge 0\n"));
    assert_eq!(cluster.get("/status").await.json()["connected"], true);
    assert_eq!(cluster.ask(Method::HEAD, "/v2/pods", &[], "").await.status, 200);
    assert_eq!(cluster.get("/v2/plugins").await.json(), json!({"plugins": []}));
    let rebound = [("host", "evil.example")];
    assert_eq!(cluster.ask(Method::GET, "/v2/apps", &rebound, "").await.status, 403);
}

#[tokio::test]
async fn each_route_can_be_denied_and_only_it_is() {
    let table = Cluster::start().await.table;
    assert!(table.len() > 25, "{} routes", table.len());
    for route in table {
        let policy = Policy::allow_all().deny_endpoint(route.pattern);
        let cluster = Cluster::with_policy(Memory::default(), true, policy).await;
        let path = route.pattern.replace("{*path}", "x").replace("{id}", "x");
        let method = route.method.clone().expect("every route names its method");
        let denied = cluster.send(method.clone(), &path, "{}").await;
        assert_eq!(denied.status, 403, "{method} {path}");
        let other = if route.pattern == "/ping" { "/v2/leader" } else { "/ping" };
        assert_eq!(cluster.get(other).await.status, 200);
    }
}
