//! What an agent shows of tasks that are over, and how talkative its log is. Needs root.

use std::sync::{Arc, Mutex};

use chapada_wire::v1::TaskState;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::operator::ask;
use crate::support::*;

async fn call(address: &str, kind: &str) -> Value {
    let (status, body) = ask(address, json!({ "type": kind })).await;
    assert_eq!(status, 200, "{kind}: {body}");
    serde_json::from_str::<Value>(&body).unwrap()[kind.to_ascii_lowercase()].take()
}

fn names(list: &Value, id: &str) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|item| item.pointer(id).and_then(Value::as_str).unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_youngest_that_are_over_are_shown_and_no_more() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.max_completed_executors_per_framework = 2;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    for task in ["a", "b", "c"] {
        link.launch(command_task(task, "exit 3")).await;
        link.until(task, TaskState::TaskFailed).await;
    }
    let tasks = eventually_some("the acknowledgements have come", async || {
        let tasks = call(&address, "GET_TASKS").await;
        (names(&tasks["completed_tasks"], "/task_id/value") == ["b", "c"]).then_some(tasks)
    })
    .await;
    assert!(names(&tasks["terminated_tasks"], "/task_id/value").is_empty(), "{tasks}");
    assert_eq!(tasks["completed_tasks"][1]["state"], "TASK_FAILED");
    let executors = call(&address, "GET_EXECUTORS").await;
    assert_eq!(names(&executors["completed_executors"], "/executor_info/executor_id/value"), ["b", "c"]);
    let frameworks = call(&address, "GET_FRAMEWORKS").await;
    assert!(names(&frameworks["frameworks"], "/framework_info/id/value").is_empty(), "{frameworks}");
    assert_eq!(names(&frameworks["completed_frameworks"], "/framework_info/id/value"), ["framework-1"]);
    let state = get(&address, "/state").await;
    assert_eq!(names(&state["completed_frameworks"][0]["completed_executors"], "/id"), ["b", "c"]);
    let over = &state["completed_frameworks"][0]["completed_executors"][0]["completed_tasks"][0];
    assert_eq!((&over["id"], &over["state"]), (&json!("b"), &json!("TASK_FAILED")));

    let metrics = get(&address, "/metrics/snapshot").await;
    assert_eq!(
        (&metrics["slave/executors_terminated"], &metrics["slave/executors_running"]),
        (&json!(3.0), &json!(0.0))
    );
    assert_eq!(metrics["slave/container_launch_errors"], json!(0.0));
    assert!(metrics["slave/recovery_time_secs"].as_f64().is_some_and(|secs| secs > 0.0), "{metrics}");
    assert!(metrics["system/mem_total_bytes"].as_f64().is_some_and(|bytes| bytes > 1e6), "{metrics}");
    let is_counted = std::fs::read("/proc/pressure/memory").is_ok();
    assert_eq!(metrics["system/memory_pressure/full_avg60"].is_f64(), is_counted, "{metrics}");

    // A framework that has something here again is not over, and what it had is not forgotten.
    link.launch(command_task("d", "sleep 1000")).await;
    link.until("d", TaskState::TaskRunning).await;
    let state = get(&address, "/state").await;
    assert_eq!(
        (names(&state["frameworks"], "/id"), &state["completed_frameworks"]),
        (vec!["framework-1".to_owned()], &json!([]))
    );
    assert_eq!(names(&state["frameworks"][0]["completed_executors"], "/id"), ["b", "c"]);
    link.kill("d").await;
    link.until("d", TaskState::TaskKilled).await;
    running.stop().await;
}

async fn get(address: &str, path: &str) -> Value {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_as_talkative_as_an_operator_says() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let (levels, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
    let set = levels.clone();
    let set_level = Arc::new(move |level| {
        set.lock().unwrap().push(level);
        Ok(())
    });
    let running = tokio::spawn(chapada_agent::run_with_log(agent.config.clone(), set_level, stop.clone()));
    let link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let set = |level: u32, nanoseconds: i64| {
        let set = json!({"level": level, "duration": {"nanoseconds": nanoseconds}});
        ask(&address, json!({"type": "SET_LOGGING_LEVEL", "set_logging_level": set}))
    };
    assert_eq!(set(2, 3_600_000_000_000).await, (200, String::new()));
    assert_eq!(call(&address, "GET_LOGGING_LEVEL").await, json!({"level": 2}));
    let (status, body) = set(1, -1).await;
    assert!(status == 400 && body.contains("'set_logging_level.duration' must not be negative"), "{body}");
    assert_eq!(set(1, 0).await.0, 200);
    eventually("it ends by itself", || *levels.lock().unwrap() == [2, 1, 0]).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}
