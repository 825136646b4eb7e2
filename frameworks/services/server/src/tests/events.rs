//! The event stream.

use std::time::Duration;

use chapada_services_core::Event;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cluster::Cluster;
use super::pretended::update;

/// Reads a stream until an event of `last` type, as raw text.
pub(super) async fn read_until(cluster: &Cluster, query: &str, last: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(cluster.address).await.expect("a connection");
    let head =
        format!("GET /v2/events{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let text = more(&mut stream, last).await;
    (stream, text)
}

pub(super) async fn more(stream: &mut TcpStream, last: &str) -> String {
    let mut text = String::new();
    let mut buffer = vec![0; 65_536];
    let end = format!("event: {last}\r\n");
    let reading = async {
        while !(text.contains(&end) && text.ends_with("\r\n\r\n\r\n")) {
            let count = stream.read(&mut buffer).await.expect("readable");
            assert!(count > 0, "the stream ended at {text}");
            text.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("in time");
    text
}

fn of_type<'a>(text: &'a str, kind: &str) -> Vec<Value> {
    let frames = text.split("event: ").filter(|frame| frame.starts_with(&format!("{kind}\r\n")));
    let data = frames.filter_map(|frame: &'a str| frame.split("data: ").nth(1)?.lines().next());
    data.map(|line| serde_json::from_str(line).expect("one line of JSON")).collect()
}

#[tokio::test]
async fn tells_what_happens_in_marathons_words() {
    let cluster = Cluster::start().await;
    let (mut stream, head) = read_until(&cluster, "", "event_stream_attached").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    cluster.post("/v2/apps", &json!({"id": "/a", "cmd": "sleep 1", "mem": 32})).await;
    let text = more(&mut stream, "deployment_success").await;
    for kind in [
        "api_post_event",
        "group_change_success",
        "deployment_info",
        "deployment_step_success",
        "status_update_event",
        "instance_changed_event",
    ] {
        let events = of_type(&text, kind);
        assert!(!events.is_empty(), "no {kind} in {text}");
        assert!(events.iter().all(|event| event["eventType"] == kind && event["timestamp"].is_string()));
    }
    let conditions = of_type(&text, "instance_changed_event");
    let of = |at: usize| (conditions[at]["condition"].clone(), conditions[at]["host"].clone());
    assert_eq!(of(0), (json!("Scheduled"), Value::Null));
    assert_eq!(of(1), (json!("Provisioned"), json!("host-1")));
    assert_eq!(of(2), (json!("Running"), json!("host-1")));
    let update = &of_type(&text, "status_update_event")[0];
    assert_eq!(
        (&update["appId"], &update["taskStatus"], &update["host"]),
        (&json!("/a"), &json!("TASK_RUNNING"), &json!("host-1"))
    );
    let info = &of_type(&text, "deployment_info")[0];
    assert_eq!(info["plan"]["target"]["apps"][0]["id"], "/a");
    assert_eq!(info["plan"]["original"]["apps"], json!([]));
}

#[tokio::test]
async fn a_change_is_told_with_the_whole_definition_that_it_made() {
    let cluster = Cluster::start().await;
    cluster.post("/v2/apps", &json!({"id": "/a", "cmd": "sleep 1", "mem": 32})).await;
    let (mut stream, _) = read_until(
        &cluster,
        "?event_type=api_post_event&event_type=event_stream_attached",
        "event_stream_attached",
    )
    .await;
    let mut told = async || {
        let text = more(&mut stream, "api_post_event").await;
        of_type(&text, "api_post_event").remove(0)["appDefinition"].clone()
    };
    cluster.put("/v2/apps/a?force=true", &json!({"instances": 3})).await;
    let put = told().await;
    assert_eq!((&put["id"], &put["cmd"], &put["instances"]), (&json!("/a"), &json!("sleep 1"), &json!(3)));
    cluster.put("/v2/apps?force=true", &json!([{"id": "/a", "mem": 64}])).await;
    let patched = told().await;
    assert_eq!(
        (&patched["id"], &patched["mem"], &patched["instances"]),
        (&json!("/a"), &json!(64), &json!(3))
    );
}

#[tokio::test]
async fn subscribers_choose_types_and_form() {
    let cluster = Cluster::start().await;
    let query = "?event_type=deployment_info&event_type=event_stream_attached&plan-format=light";
    let (mut stream, _) = read_until(&cluster, query, "event_stream_attached").await;
    cluster.post("/v2/apps", &json!({"id": "/a", "cmd": "sleep 1", "mem": 32})).await;
    let text = more(&mut stream, "deployment_info").await;
    assert!(of_type(&text, "status_update_event").is_empty());
    let plan = &of_type(&text, "deployment_info")[0]["plan"];
    assert!(plan["steps"].is_array() && plan.get("target").is_none(), "{plan}");
}

#[tokio::test]
async fn who_comes_back_is_told_what_it_missed() {
    let cluster = Cluster::start().await;
    let (mut stream, _) = read_until(&cluster, "", "event_stream_attached").await;
    cluster.post("/v2/apps", &json!({"id": "/a", "cmd": "sleep 1", "mem": 32})).await;
    let text = more(&mut stream, "deployment_success").await;
    drop(stream);
    let first = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
    let again = comes_back(&cluster, first).await;
    assert!(again.contains("x-chapada-events-resumed: true"), "{again}");
    assert_eq!(of_type(&again, "deployment_success"), of_type(&text, "deployment_success"));
    assert_eq!(of_type(&again, "status_update_event").len(), 1);
    assert!(!again.contains(&format!("id: {first}\r\n")), "what it has seen is not told again");
    let stranger = comes_back(&cluster, "0000000000000000-1").await;
    assert!(stranger.contains("x-chapada-events-resumed: false"), "{stranger}");
    assert!(of_type(&stranger, "deployment_success").is_empty());
    let query = "?event_type=event_stream_detached&event_type=event_stream_attached";
    let (mut watching, _) = read_until(&cluster, query, "event_stream_attached").await;
    drop(read_until(&cluster, "", "event_stream_attached").await);
    let told = more(&mut watching, "event_stream_detached").await;
    assert_eq!(of_type(&told, "event_stream_detached")[0]["remoteAddress"], "127.0.0.1");
}

async fn comes_back(cluster: &Cluster, last: &str) -> String {
    let mut stream = TcpStream::connect(cluster.address).await.expect("a connection");
    let head = format!("GET /v2/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    more(&mut stream, "event_stream_attached").await
}

#[tokio::test]
async fn pods_have_events_of_their_own() {
    let cluster = Cluster::start().await;
    let (mut stream, _) = read_until(&cluster, "", "event_stream_attached").await;
    let container = |name: &str| json!({"name": name, "exec": {"command": {"shell": "x"}}, "resources": {"cpus": 0.1, "mem": 32}});
    let pod = json!({"id": "/p", "containers": [container("a"), container("b")]});
    cluster.post("/v2/pods", &pod).await;
    let mut text = more(&mut stream, "deployment_success").await;
    assert!(
        of_type(&text, "deployment_info")
            .iter()
            .all(|event| event["currentStep"]["actions"][0]["pod"] == "/p")
    );
    let said = of_type(&text, "status_update_event");
    let tasks: Vec<&str> = said.iter().filter_map(|event| event["taskId"].as_str()).collect();
    assert!(tasks.len() == 2 && tasks[0].ends_with(".a.1") && tasks[1].ends_with(".b.1"), "{tasks:?}");
    let changes = of_type(&text, "instance_changed_event");
    let conditions: Vec<&str> = changes.iter().filter_map(|change| change["condition"].as_str()).collect();
    assert_eq!(conditions, ["Scheduled", "Provisioned", "Running"]);
    assert_eq!(changes[0]["runSpecId"], "/p");
    cluster.put("/v2/pods/p", &pod).await;
    cluster.delete("/v2/pods/p?force=true").await;
    text.push_str(&more(&mut stream, "app_terminated_event").await);
    for (kind, uri) in [
        ("pod_created_event", "/v2/pods"),
        ("pod_updated_event", "/v2/pods/p"),
        ("pod_deleted_event", "/v2/pods/p"),
    ] {
        let events = of_type(&text, kind);
        assert_eq!(events.len(), 1, "{kind} in {text}");
        assert_eq!((&events[0]["uri"], &events[0]["clientIp"]), (&json!(uri), &json!("127.0.0.1")));
    }
}

#[tokio::test]
async fn the_addresses_of_a_task_are_told_with_its_status_and_its_ports_by_network() {
    let cluster = Cluster::start().await;
    let app = json!({"id": "/n", "cmd": "x", "mem": 32, "networks": [{"mode": "container", "name": "dev"}],
        "container": {"type": "MESOS", "portMappings": [{"containerPort": 80}]}});
    assert_eq!(cluster.post("/v2/apps", &app).await.status, 201);
    let running = |tasks: &Value| tasks["tasks"][0]["state"] == "TASK_RUNNING";
    let task = cluster.eventually("/v2/tasks", running).await["tasks"][0]["id"].clone();
    let (mut stream, _) = read_until(&cluster, "", "event_stream_attached").await;
    let task: chapada_model::TaskId = task.as_str().expect("text").parse().expect("an id");
    let addresses = vec!["10.1.2.3".parse().expect("an address")];
    cluster.services.event(Event::Observed { task: task.clone(), addresses, check: None }).await;

    let ask = async |query: &str| {
        let path = format!("/v2/tasks{query}");
        cluster.ask(http::Method::GET, &path, &[("accept", "text/plain")], "").await.text
    };
    let line = "n\t10000\t10.1.2.3:80\t\n";
    cluster.eventually("/v2/tasks", |tasks| tasks["tasks"][0]["ipAddresses"] != json!([])).await;
    for (query, expected) in [
        ("", line),
        ("?containerNetworks=dev", line),
        ("?containerNetworks=a,dev", line),
        ("?containerNetworks=a&containerNetworks=dev", line),
        ("?containerNetworks=other", ""),
    ] {
        assert_eq!(ask(query).await, expected, "{query}");
    }

    cluster.services.event(update(task, chapada_model::TaskState::Failed)).await;
    let text = more(&mut stream, "status_update_event").await;
    let events = of_type(&text, "status_update_event");
    assert_eq!(events[0]["ipAddresses"], json!([{"ipAddress": "10.1.2.3", "protocol": "IPv4"}]), "{text}");
}

#[tokio::test]
async fn a_deployment_that_fails_says_first_in_which_step() {
    let cluster = Cluster::start().await;
    let app = json!({"id": "/a", "cmd": "x", "mem": 32, "rollout": {"rollbackAfterFailures": 1},
        "portDefinitions": [{"port": 0, "name": "http"}], "readinessChecks": [{"portName": "http"}]});
    assert_eq!(cluster.post("/v2/apps", &app).await.status, 201);
    let running = |tasks: &Value| tasks["tasks"][0]["state"] == "TASK_RUNNING";
    let task = cluster.eventually("/v2/tasks", running).await["tasks"][0]["id"].clone();
    let (mut stream, _) = read_until(&cluster, "", "event_stream_attached").await;
    let task: chapada_model::TaskId = task.as_str().expect("text").parse().expect("an id");
    cluster.services.event(update(task, chapada_model::TaskState::Failed)).await;
    let text = more(&mut stream, "deployment_failed").await;
    let (step, failed) = (of_type(&text, "deployment_step_failure"), of_type(&text, "deployment_failed"));
    assert_eq!((step.len(), failed.len()), (1, 1), "{text}");
    assert_eq!(step[0]["plan"]["id"], failed[0]["id"]);
    assert_eq!(step[0]["currentStep"]["actions"][0]["app"], "/a");
    assert!(text.find("deployment_step_failure") < text.find("deployment_failed"));
}
