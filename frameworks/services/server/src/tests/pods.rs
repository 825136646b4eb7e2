//! `/v2/pods`: codes, headers and bodies, and where else pods are seen.

use chapada_model::TaskState;
use http::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::pretended::{Memory, update};

fn pod(id: &str, instances: u32) -> Value {
    json!({
        "id": id,
        "volumes": [{"name": "shared"}],
        "containers": [
            {
                "name": "first", "exec": {"command": {"shell": "work"}}, "resources": {"cpus": 0.1, "mem": 32},
                "volumeMounts": [{"name": "shared", "mountPath": "shared"}],
            },
            {
                "name": "second", "exec": {"command": {"argv": ["serve"]}}, "resources": {"cpus": 0.2, "mem": 64},
                "endpoints": [{"name": "web"}], "healthCheck": {"http": {"endpoint": "web"}},
            },
        ],
        "scaling": {"kind": "fixed", "instances": instances},
    })
}

fn no_deployments(deployments: &Value) -> bool {
    *deployments == json!([])
}

/// Makes the pod and waits until its tasks run; they are not known to be well yet.
async fn running(cluster: &Cluster, instances: u32) -> Value {
    let made = cluster.post("/v2/pods", &pod("/prod/web", instances)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let runs = |status: &Value| {
        let list = status["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
        list.len() == instances as usize && list.iter().all(|one| one["status"] == "STABLE")
    };
    cluster.eventually("/v2/pods/prod/web::status", runs).await
}

/// Says that the second container of each instance is well, or is not.
async fn say(cluster: &Cluster, status: &Value, healthy: bool) {
    for instance in status["instances"].as_array().expect("a list") {
        let task = instance["containers"][1]["containerId"].as_str().expect("an id");
        let chapada_services_core::Event::Update(mut status) =
            update(task.parse().expect("an id"), TaskState::Running)
        else {
            panic!("an update")
        };
        status.healthy = Some(healthy);
        cluster.services.event(chapada_services_core::Event::Update(status)).await;
    }
}

#[tokio::test]
async fn a_pod_is_made_changed_and_goes() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.ask(Method::HEAD, "/v2/pods", &[], "").await.status, 200);
    assert_eq!(cluster.get("/v2/pods").await.json(), json!([]));
    let made = cluster.post("/v2/pods", &pod("/prod/web", 1)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("location"), "/v2/pods/prod/web");
    assert!(!made.header("marathon-deployment-id").is_empty());
    assert_eq!(made.json()["executorResources"], json!({"cpus": 0.1, "mem": 32, "disk": 10}));
    assert!(made.json()["version"].is_string());
    assert_eq!(cluster.get("/v2/pods//prod/web/").await.json(), made.json());
    assert_eq!(cluster.get("/v2/pods/").await.json(), json!([made.json()]));
    let status = cluster.eventually("/v2/pods/prod/web::status", |it| it["status"] == "STABLE").await;
    say(&cluster, &status, true).await;
    cluster.eventually("/v2/deployments", no_deployments).await;

    let mut changed = pod("/prod/web", 2);
    changed["user"] = json!("nobody");
    let put = cluster.put("/v2/pods/prod/web", &changed).await;
    assert_eq!((put.status.as_u16(), &put.json()["user"]), (200, &json!("nobody")), "{}", put.text);
    assert!(!put.header("marathon-deployment-id").is_empty());
    let versions = cluster.get("/v2/pods/prod/web::versions").await.json();
    assert_eq!(versions, json!([put.json()["version"], made.json()["version"]]));
    let first = versions[1].as_str().expect("a version");
    assert_eq!(cluster.get(&format!("/v2/pods/prod/web::versions/{first}")).await.json(), made.json());

    let gone = cluster.delete("/v2/pods/prod/web?force=true").await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (202, ""));
    assert!(!gone.header("marathon-deployment-id").is_empty());
    assert_eq!(cluster.get("/v2/pods/prod/web").await.status, 404);
    cluster.eventually("/v2/deployments", no_deployments).await;
    assert_eq!(cluster.get("/v2/pods/::status").await.json(), json!([]));
}

#[tokio::test]
async fn every_refusal_has_marathons_code_and_body() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.post("/v2/apps", &json!({"id": "/app", "cmd": "x"})).await.status, 201);
    running(&cluster, 1).await;
    let same = pod("/prod/web", 1).to_string();
    let taken = pod("/app", 1).to_string();
    let group = pod("/prod", 1).to_string();
    let cases = [
        (Method::POST, "/v2/pods", "{", 400, "Invalid JSON"),
        (Method::POST, "/v2/pods", "{}", 422, "Invalid JSON"),
        (Method::POST, "/v2/pods", r#"{"id":"/p","containers":[]}"#, 422, "Object is not valid"),
        (Method::POST, "/v2/pods", &same, 409, "A pod with id [/prod/web] already exists."),
        (Method::POST, "/v2/pods", &taken, 409, "An app with id [/app] already exists."),
        (Method::POST, "/v2/pods", &group, 409, "A group with id [/prod] already exists."),
        (
            Method::POST,
            "/v2/apps",
            r#"{"id":"/prod/web","cmd":"x"}"#,
            409,
            "A pod with id [/prod/web] already exists.",
        ),
        (
            Method::PUT,
            "/v2/apps/prod/web",
            r#"{"cmd":"x"}"#,
            409,
            "A pod with id [/prod/web] already exists.",
        ),
        (Method::PUT, "/v2/pods/other", &same, 400, "the id of the pod must be that of the path"),
        (Method::PUT, "/v2/pods/app", &taken, 404, "Pod '/app' does not exist"),
        (Method::GET, "/v2/pods/none", "", 404, "Pod '/none' does not exist"),
        (Method::GET, "/v2/pods/app", "", 404, "Pod '/app' does not exist"),
        (Method::GET, "/v2/pods/None::status", "", 404, "Pod '/None' does not exist"),
        (Method::GET, "/v2/apps/prod/web", "", 404, "App '/prod/web' does not exist"),
        (Method::DELETE, "/v2/pods/none", "", 404, "Pod '/none' does not exist"),
        (
            Method::GET,
            "/v2/pods/prod/web::versions/2015-01-08T15:06:07.123Z",
            "",
            404,
            "Pod '/prod/web' does not exist in version 2015-01-08T15:06:07.123Z",
        ),
        (
            Method::DELETE,
            "/v2/pods/prod/web::instances/prod_web.instance-00000000-0000-0000-0000-000000000000",
            "",
            404,
            "Instance 'prod_web.instance-00000000-0000-0000-0000-000000000000' does not exist",
        ),
        (Method::DELETE, "/v2/pods/prod/web::instances", "{}", 422, "Invalid JSON"),
        (Method::POST, "/v2/pods/prod/web", &same, 405, "this method is not allowed here"),
        (Method::DELETE, "/v2/pods/prod/web::status", "", 405, "this method is not allowed here"),
    ];
    for (method, path, body, status, message) in cases {
        let answer = cluster.send(method.clone(), path, body).await;
        let got = (answer.status.as_u16(), answer.json()["message"].clone());
        assert_eq!(got, (status, json!(message)), "{method} {path} {body}: {}", answer.text);
    }
    let locked = cluster.put("/v2/pods/prod/web", &pod("/prod/web", 3)).await;
    assert_eq!(locked.status, 409, "its first deployment waits for health");
    assert!(locked.json()["deployments"][0]["id"].is_string(), "{}", locked.text);
}

#[tokio::test]
async fn the_status_has_every_field() {
    let cluster = Cluster::start().await;
    let status = running(&cluster, 2).await;
    assert_eq!((&status["id"], &status["status"]), (&json!("/prod/web"), &json!("STABLE")));
    assert_eq!(status["spec"], cluster.get("/v2/pods/prod/web").await.json());
    for field in ["statusSince", "lastUpdated", "lastChanged"] {
        assert!(status[field].is_string(), "{field}");
    }
    let instance = &status["instances"][0];
    let version = status["spec"]["version"].as_str().expect("a version");
    assert_eq!(instance["specReference"], format!("/v2/pods/prod/web::versions/{version}"));
    assert_eq!(instance["agentHostname"], "host-1");
    assert_eq!(instance["agentId"], "agent-1");
    assert_eq!(instance["role"], "*");
    assert_eq!(instance["resources"], json!({"cpus": 0.4, "mem": 128, "disk": 10, "gpus": 0}));
    assert_eq!(instance["networks"], json!([{"addresses": ["host-1"]}]));
    assert_eq!(instance["localVolumes"], json!([]));
    let [first, second] = instance["containers"].as_array().expect("a list").as_slice() else {
        panic!("two containers")
    };
    assert_eq!((&first["name"], &first["status"]), (&json!("first"), &json!("TASK_RUNNING")));
    assert_eq!((&first["conditions"], &first["endpoints"]), (&json!([]), &json!([])));
    assert_eq!(second["resources"], json!({"cpus": 0.2, "mem": 64, "disk": 0, "gpus": 0}));
    let id = instance["id"].as_str().expect("an id");
    assert_eq!(second["containerId"], format!("{id}.second.1"));
    assert_eq!(second["endpoints"][0]["name"], "web");
    assert!(second["endpoints"][0]["allocatedHostPort"].as_u64().is_some_and(|port| port >= 31_000));
    assert_eq!(second["endpoints"][0]["healthy"], Value::Null, "nothing was said yet");
    assert_eq!(second["conditions"][0]["reason"], "health-unreported-by-mesos");

    say(&cluster, &status, true).await;
    cluster.eventually("/v2/deployments", no_deployments).await;
    let well = cluster.get("/v2/pods/prod/web::status").await.json();
    let condition = &well["instances"][0]["containers"][1]["conditions"][0];
    assert_eq!(
        (&condition["value"], &condition["reason"]),
        (&json!("true"), &json!("health-reported-by-mesos"))
    );
    assert_eq!(well["instances"][0]["containers"][1]["endpoints"][0]["healthy"], true);
    say(&cluster, &status, false).await;
    let ill = cluster.eventually("/v2/pods/::status", |all| all[0]["status"] == "DEGRADED").await;
    assert_eq!(ill[0]["instances"][0]["status"], "DEGRADED");
}

#[tokio::test]
async fn what_has_ended_is_remembered() {
    let cluster = Cluster::start().await;
    let status = running(&cluster, 1).await;
    let instance = &status["instances"][0];
    let failed = instance["containers"][1]["containerId"].as_str().expect("an id");
    let chapada_services_core::Event::Update(mut end) =
        update(failed.parse().expect("an id"), TaskState::Failed)
    else {
        panic!("an update")
    };
    end.message = Some("Command exited with status 7".into());
    cluster.services.event(chapada_services_core::Event::Update(end)).await;
    let ended = |status: &Value| status["terminationHistory"].as_array().is_some_and(|list| !list.is_empty());
    let status = cluster.eventually("/v2/pods/prod/web::status", ended).await;
    let ended = &status["terminationHistory"][0];
    assert_eq!(ended["instanceID"], instance["id"]);
    assert_eq!(ended["message"], "Command exited with status 7");
    assert!(ended["startedAt"].is_string() && ended["terminatedAt"].is_string());
    assert_eq!(ended["containers"][0]["lastKnownState"], "TASK_KILLED");
    assert_eq!(
        ended["containers"][1],
        json!({
            "containerId": failed, "lastKnownState": "TASK_FAILED",
            "termination": {"exitCode": 7, "message": "Command exited with status 7"},
        })
    );
}

#[tokio::test]
async fn instances_are_killed_one_and_several() {
    let cluster = Cluster::start().await;
    let status = running(&cluster, 2).await;
    let ids: Vec<String> =
        (0..2).map(|at| status["instances"][at]["id"].as_str().expect("an id").to_owned()).collect();
    let one = cluster.delete(&format!("/v2/pods/prod/web::instances/{}", ids[0])).await;
    assert_eq!((one.status.as_u16(), &one.json()["id"]), (200, &json!(ids[0])), "{}", one.text);
    let body = json!([ids[1], ids[0]]).to_string();
    let several = cluster.send(Method::DELETE, "/v2/pods/prod/web::instances?wipe=true", &body).await;
    assert_eq!(several.status, 200, "{}", several.text);
    assert!(
        several.json().as_array().is_some_and(|list| list.iter().any(|one| one["id"] == ids[1].as_str()))
    );
    let others = |status: &Value| {
        let list = status["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
        list.len() == 2 && list.iter().all(|one| !ids.iter().any(|id| one["id"] == id.as_str()))
    };
    cluster.eventually("/v2/pods/prod/web::status", others).await;
}

#[tokio::test]
async fn pods_are_seen_in_deployments_queue_and_groups_and_not_among_apps() {
    let cluster = Cluster::without_offers().await;
    assert_eq!(cluster.post("/v2/pods", &pod("/prod/web", 2)).await.status, 201);
    let deployments = cluster.get("/v2/deployments").await.json();
    let deployment = &deployments[0];
    assert_eq!(
        (&deployment["affectedPods"], &deployment["affectedApps"]),
        (&json!(["/prod/web"]), &json!([]))
    );
    let action = json!({"action": "ScalePod", "pod": "/prod/web", "readinessCheckResults": []});
    assert_eq!(deployment["currentActions"], json!([action]));
    assert_eq!(deployment["steps"][0]["actions"], json!([{"action": "StartPod", "pod": "/prod/web"}]));
    let queue = cluster.get("/v2/queue").await.json();
    assert_eq!(
        (&queue["queue"][0]["count"], &queue["queue"][0]["pod"]["id"]),
        (&json!(2), &json!("/prod/web"))
    );
    assert!(queue["queue"][0].get("app").is_none());
    let group = cluster.get("/v2/groups/prod").await.json();
    assert_eq!((&group["pods"][0]["id"], &group["apps"]), (&json!("/prod/web"), &json!([])));
    assert_eq!(cluster.get("/v2/apps").await.json(), json!({"apps": []}));
    assert_eq!(cluster.get("/v2/tasks").await.json(), json!({"tasks": []}));
    let pending = cluster.get("/v2/pods/prod/web::status").await.json();
    assert_eq!(
        (&pending["status"], &pending["instances"][0]["status"]),
        (&json!("DEGRADED"), &json!("PENDING"))
    );
}

#[tokio::test]
async fn a_new_process_knows_the_pods_of_the_old_one() {
    let store = Memory::default();
    let before = {
        let cluster = Cluster::with(store.clone(), true).await;
        let status = running(&cluster, 2).await;
        say(&cluster, &status, true).await;
        cluster.eventually("/v2/deployments", no_deployments).await;
        cluster.get("/v2/pods/prod/web::status").await.json()
    };
    let cluster = Cluster::with(store, true).await;
    let after = cluster.get("/v2/pods/prod/web::status").await.json();
    assert_eq!(after["spec"], before["spec"]);
    let ids = |status: &Value| {
        let list = status["instances"].as_array().expect("a list");
        list.iter().map(|one| (one["id"].clone(), one["status"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(after["instances"][0]["containers"], before["instances"][0]["containers"]);
}

#[tokio::test]
async fn the_volumes_of_an_instance_are_shown_and_wiped() {
    let cluster = Cluster::start().await;
    let mut pod = pod("/store/db", 1);
    pod["role"] = json!("store");
    pod["volumes"] = json!([{"name": "shared", "persistent": {"size": 16}}]);
    let made = cluster.post("/v2/pods", &pod).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["volumes"][0]["persistent"], json!({"type": "root", "size": 16}));
    let runs = |status: &Value| status["instances"][0]["status"] == "STABLE";
    let status = cluster.eventually("/v2/pods/store/db::status", runs).await;
    let first = &status["instances"][0];
    let volume = &first["localVolumes"][0];
    assert_eq!(
        (&volume["runSpecId"], &volume["containerPath"]),
        (&json!("/store/db"), &json!("shared")),
        "{first:#}"
    );
    let kept = volume["persistenceId"].as_str().expect("a name");
    assert!(kept.starts_with("store_db#shared#") && kept.ends_with(volume["uuid"].as_str().expect("a UUID")));
    for (path, body) in [("", json!([first["id"]]).to_string()), ("/nobody.instance-x", String::new())] {
        let path = format!("/v2/pods/store/db::instances{path}?wipe=true");
        let answer = cluster.send(Method::DELETE, &path, &body).await;
        assert_eq!(answer.status, if body.is_empty() { 422 } else { 200 }, "{path}: {}", answer.text);
    }
    let anew = |status: &Value| runs(status) && status["instances"][0]["id"] != first["id"];
    let status = cluster.eventually("/v2/pods/store/db::status", anew).await;
    assert_ne!(status["instances"][0]["localVolumes"][0]["uuid"], volume["uuid"]);
}
