//! The agent's operator API with real containers. Needs root.

use crate::support::*;
use chapada_wire::link::{self, to_agent};
use chapada_wire::v1::TaskState;
use chapada_wire::v1::agent::call::Type;
use chapada_wire::v1::agent::{Call, Response};
use chapada_wire::{Json, v1};
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A POST of `body` to `/api/v1`; the status and the body that came.
async fn post(address: &str, media: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media}\r\nAccept: {media}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let status = String::from_utf8_lossy(&answer[..end]).split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_off(end))
}

pub(crate) async fn ask(address: &str, call: Value) -> (u16, String) {
    let (status, body) = post(address, "application/json", call.to_string().into_bytes()).await;
    (status, String::from_utf8(body).unwrap())
}

/// The answer in JSON, which is the same in protobuf.
async fn read(address: &str, call: Value) -> Response {
    let (status, body) = ask(address, call.clone()).await;
    assert_eq!(status, 200, "{call}: {body}");
    let json = Response::from_json(body.as_bytes()).unwrap();
    let message = Call::from_json(call.to_string().as_bytes()).unwrap();
    let (status, body) = post(address, "application/x-protobuf", message.encode_to_vec()).await;
    assert_eq!(status, 200);
    assert_eq!(Response::decode(&body[..]).unwrap().r#type, json.r#type);
    json
}

pub(crate) async fn get(address: &str, kind: Type) -> Response {
    read(address, json!({ "type": kind.as_str_name() })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_shown_waited_for_and_ended() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    link.launch(command_task("t", "echo out; exec sleep 1000")).await;
    let status = link.until("t", TaskState::TaskRunning).await;
    let container = status.container_status.unwrap().container_id.unwrap();
    let name = container.value.clone().unwrap();

    let containers = get(&address, Type::GetContainers).await.get_containers.unwrap().containers;
    let [shown] = &containers[..] else { panic!("{containers:?}") };
    assert_eq!(shown.container_id.as_ref(), Some(&container));
    assert_eq!(
        shown.executor_name.as_deref(),
        Some("Command Executor (Task: t) (Command: sh -c 'echo out; ex...')")
    );
    let used = shown.resource_statistics.as_ref().unwrap();
    assert_eq!((used.mem_limit_bytes, used.cpus_soft_limit), (Some(64 << 20), Some(0.1)));
    let state = get(&address, Type::GetState).await.get_state.unwrap();
    let tasks = state.get_tasks.unwrap();
    let [task] = &tasks.launched_tasks[..] else { panic!("{tasks:?}") };
    assert_eq!((task.name.as_deref(), task.state), (Some("t"), Some(TaskState::TaskRunning as i32)));
    assert_eq!(task.statuses[0].uuid, task.status_update_uuid);
    assert_eq!(state.get_frameworks.unwrap().frameworks.len(), 1);
    let executors = state.get_executors.unwrap().executors;
    let executor = executors[0].executor_info.as_ref().unwrap();
    assert_eq!(executor.executor_id, Some(v1::ExecutorId { value: Some("t".to_owned()) }));
    let info = get(&address, Type::GetAgent).await.get_agent.unwrap().agent_info.unwrap();
    assert_eq!(info.id, Some(v1::AgentId { value: Some("agent-1".to_owned()) }));

    let sandbox = "/slave/log".to_owned();
    assert_eq!(ask(&address, json!({"type": "LIST_FILES", "list_files": {"path": sandbox}})).await.0, 404);
    let path = std::fs::canonicalize(agent.sandbox("t")).unwrap().display().to_string();
    eventually("it has spoken", || std::fs::read(agent.sandbox("t").join("stdout")).unwrap() == b"out\n")
        .await;
    let list = read(&address, json!({"type": "LIST_FILES", "list_files": {"path": path}})).await;
    let names: Vec<_> =
        list.list_files.unwrap().file_infos.into_iter().filter_map(|file| file.path).collect();
    assert!(names.contains(&format!("{path}/stdout")), "{names:?}");
    let file = json!({"type": "READ_FILE", "read_file": {"path": format!("{path}/stdout"), "offset": 1, "length": 2}});
    let read_file = read(&address, file).await.read_file.unwrap();
    assert_eq!((read_file.size, read_file.data), (Some(4), Some(b"ut".to_vec())));

    let id = json!({ "value": name });
    let waiting = {
        let (address, id) = (address.clone(), id.clone());
        tokio::spawn(async move {
            ask(&address, json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}})).await
        })
    };
    let kill = json!({"type": "KILL_CONTAINER", "kill_container": {"container_id": id, "signal": 9}});
    assert_eq!(ask(&address, kill).await, (200, String::new()));
    let (status, body) = waiting.await.unwrap();
    // The container may have been removed before anybody waited for it.
    if status == 200 {
        assert_eq!(body, r#"{"type":"WAIT_CONTAINER","wait_container":{"exit_status":9}}"#);
    } else {
        assert_eq!((status, body), (404, format!("Container {name} cannot be found")));
    }
    link.until("t", TaskState::TaskFailed).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_answered_or_refused_by_name() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let running = InProcess::start(&agent);
    let link = master.welcome(1).await;
    let address = link.hello.address.clone();
    for kind in [
        Type::GetHealth,
        Type::GetFlags,
        Type::GetVersion,
        Type::GetMetrics,
        Type::GetOperations,
        Type::GetResourceProviders,
        Type::GetFrameworks,
        Type::GetExecutors,
        Type::GetTasks,
    ] {
        let answered = get(&address, kind).await;
        assert_eq!(answered.r#type().as_str_name(), kind.as_str_name());
    }
    let (_, health) = ask(&address, json!({"type": "GET_HEALTH"})).await;
    assert_eq!(health, r#"{"type":"GET_HEALTH","get_health":{"healthy":true}}"#);
    let id = json!({ "value": "unknown" });
    let provider = |kind: &str| {
        let info = json!({ "type": "org.apache.mesos.rp.local.storage", "name": "lvm" });
        let body = match kind {
            "REMOVE_RESOURCE_PROVIDER_CONFIG" => json!({ "type": info["type"], "name": info["name"] }),
            "MARK_RESOURCE_PROVIDER_GONE" => json!({ "resource_provider_id": { "value": "lvm" } }),
            _ => json!({ "info": info }),
        };
        json!({ "type": kind, kind.to_lowercase(): body })
    };
    for (call, status, message) in [
        (json!({}), 400, "Expecting 'type' to be present"),
        (json!({"type": "LIST_FILES"}), 400, "Expecting 'list_files' to be present"),
        (
            json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}}),
            404,
            "Container unknown cannot be found",
        ),
        (
            json!({"type": "KILL_CONTAINER", "kill_container": {"container_id": id}}),
            404,
            "Container unknown cannot be found",
        ),
        (json!({"type": "READ_FILE", "read_file": {"path": "/no", "offset": 0}}), 404, ""),
        (provider("ADD_RESOURCE_PROVIDER_CONFIG"), 501, "ADD_RESOURCE_PROVIDER_CONFIG is not"),
        (provider("UPDATE_RESOURCE_PROVIDER_CONFIG"), 501, "UPDATE_RESOURCE_PROVIDER_CONFIG is not"),
        (provider("REMOVE_RESOURCE_PROVIDER_CONFIG"), 501, "REMOVE_RESOURCE_PROVIDER_CONFIG is not"),
        (provider("MARK_RESOURCE_PROVIDER_GONE"), 501, "MARK_RESOURCE_PROVIDER_GONE is not"),
    ] {
        let (found, said) = ask(&address, call.clone()).await;
        assert_eq!(found, status, "{call}: {said}");
        assert!(said.contains(message), "{call}: {said}");
    }
    assert_eq!(post(&address, "text/plain", b"{}".to_vec()).await.0, 415);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_how_it_is_drained_until_the_master_says_otherwise() {
    let (_master, _agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    let config = v1::DrainConfig {
        max_grace_period: Some(v1::DurationInfo { nanoseconds: Some(5) }),
        mark_gone: Some(true),
    };
    let since = Some(v1::TimeInfo { nanoseconds: Some(7) });
    let shown = async |is: bool| loop {
        let shown = get(&address, Type::GetAgent).await.get_agent.unwrap();
        if shown.drain_config.is_some() == is {
            return shown;
        }
    };
    link.say(to_agent::Message::Drain(link::Drain { config: Some(config), since })).await;
    let drained = shown(true).await;
    assert_eq!((drained.drain_config, drained.estimated_drain_start_time), (Some(config), since));
    link.say(to_agent::Message::Drain(link::Drain::default())).await;
    assert_eq!(shown(false).await.estimated_drain_start_time, None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_hears_any_signal_that_an_operator_sends() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    link.launch(command_task("t", "trap 'touch heard' USR1; touch ready; while :; do sleep 0.02; done"))
        .await;
    let status = link.until("t", TaskState::TaskRunning).await;
    eventually("it listens", || agent.sandbox("t").join("ready").exists()).await;
    let id = status.container_status.unwrap().container_id.unwrap().value.unwrap();
    let kill = |signal: i32| {
        let asked = json!({"container_id": {"value": id}, "signal": signal});
        json!({"type": "KILL_CONTAINER", "kill_container": asked})
    };
    let (status, said) = ask(&address, kill(65)).await;
    assert!(status == 400 && said.contains("must be 1 to 64, not 65"), "{said}");
    assert_eq!(ask(&address, kill(10)).await, (200, String::new()));
    eventually("it has heard", || agent.sandbox("t").join("heard").exists()).await;
    assert_eq!(ask(&address, kill(9)).await, (200, String::new()));
    link.until("t", TaskState::TaskFailed).await;
    running.stop().await;
}
