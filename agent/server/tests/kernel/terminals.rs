//! The main commands of tasks: those with terminals, and who reads along. Needs root.

use chapada_wire::Media;
use chapada_wire::v1::{self, TaskState};
use serde_json::{Value, json};

use crate::support::*;

/// A task with a terminal of 9 lines and 99 columns.
fn on_terminal(id: &str, command: &str) -> v1::TaskInfo {
    let size = v1::tty_info::WindowSize { rows: Some(9), columns: Some(99) };
    let container = v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        tty_info: Some(v1::TtyInfo { window_size: Some(size) }),
        ..v1::ContainerInfo::default()
    };
    v1::TaskInfo { container: Some(container), ..command_task(id, command) }
}

/// Launches it, and waits until it runs.
async fn container_of(link: &mut Link, task: Box<v1::TaskInfo>) -> Value {
    let id = task.name.clone().unwrap();
    Box::pin(link.launch(*task)).await;
    let status = link.until(&id, TaskState::TaskRunning).await;
    json!({ "value": status.container_status.unwrap().container_id.unwrap().value.unwrap() })
}

async fn output(address: &str, container: &Value) -> Output {
    let attach = json!({ "container_id": container });
    let call = json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": attach });
    Output::open(address, Media::Json, &call).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_survives_its_agent_and_is_attached_to_again() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let command = "stty size; while read x; do stty size; echo \"heard $x\"; done; exit 6";
    let container = container_of(&mut link, Box::new(on_terminal("t", command))).await;
    let stdout = || std::fs::read_to_string(agent.sandbox("t").join("stdout")).unwrap();
    eventually("it is in the log", || stdout() == "9 99\r\n").await;
    let address = link.hello.address.clone();
    let (mut one, mut other) = (output(&address, &container).await, output(&address, &container).await);
    let mut input = Input::open(&address, Media::Json, &container).await;
    input.write(b"one\n").await.unwrap();
    one.until("heard one\r\n").await;
    other.until("heard one\r\n").await;
    assert_eq!(Input::open(&address, Media::Json, &container).await.answer().await.0, 409);
    // Who leaves changes nothing; and neither does an agent that is killed.
    assert_eq!(input.finish().await.0, 200);
    drop(one);
    first.kill();

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let mut one = output(&address, &container).await;
    let mut input = Input::open(&address, Media::Protobuf, &container).await;
    input.resize(40, 120).await;
    input.write(b"two\n").await.unwrap();
    one.until("40 120\r\nheard two\r\n").await;
    assert!(stdout().contains("heard one\r\n") && stdout().contains("heard two\r\n"));
    input.write(b"\x04").await.unwrap();
    one.rest().await;
    assert_eq!(input.answer().await.0, 200, "the command has ended");
    let status = link.until("t", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 6"));
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_a_terminal_is_read_along_and_not_typed_to() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    let command = "until [ -e go ]; do :; done; echo out; echo err >&2; head -c 3000000 /dev/zero; exit 0";
    let container = container_of(&mut link, Box::new(command_task("t", command))).await;
    let (mut quick, mut slow) = (output(&address, &container).await, output(&address, &container).await);
    let (status, said) = Input::open(&address, Media::Json, &container).await.answer().await;
    assert!(status == 400 && said.contains("container.tty_info"), "{said}");
    std::fs::write(agent.sandbox("t").join("go"), "").unwrap();
    // The first read what it wrote before it was cut off, if it was; the task waits for nobody.
    quick.until("out\n").await;
    link.until("t", TaskState::TaskFinished).await;
    assert_eq!(std::fs::metadata(agent.sandbox("t").join("stdout")).unwrap().len(), 3_000_004);
    let mut size = 0;
    let end = loop {
        match slow.next().await {
            Ok(Some(record)) => size += record.data.map_or(0, |data| data.data.unwrap().len()),
            end => break end,
        }
    };
    assert!(end.is_err() || size == 3_000_008, "an end after {size} bytes");
    assert_eq!(output(&address, &container).await.status, 404, "it has ended");
    running.stop().await;
}
