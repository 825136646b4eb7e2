//! Sessions and who reads and writes them, with real containers. Needs root.

use std::pin::Pin;
use std::time::Duration;

use chapada_wire::Media;
use chapada_wire::v1::TaskState;
use chapada_wire::v1::agent::process_io::{Type, control};
use serde_json::{Value, json};

use crate::operator::ask;
use crate::support::*;
use crate::tasks::sleepers;

/// An agent with a task that sleeps.
struct Stage {
    _master: ScriptedMaster,
    running: InProcess,
    link: Link,
    address: String,
    /// The container of the task.
    container: String,
    _agent: TestAgent,
}

impl Stage {
    fn set() -> Pin<Box<impl Future<Output = Self>>> {
        Self::set_with(|_| {})
    }

    fn set_with(configure: impl FnOnce(&mut TestAgent)) -> Pin<Box<impl Future<Output = Self>>> {
        Box::pin(async {
            let mut master = ScriptedMaster::start().await;
            let mut agent = TestAgent::new(master.address);
            configure(&mut agent);
            let running = InProcess::start(&agent);
            let mut link = master.welcome(1).await;
            let address = link.hello.address.clone();
            link.launch(command_task("t", "exec sleep 1000")).await;
            let status = link.until("t", TaskState::TaskRunning).await;
            let container = status.container_status.unwrap().container_id.unwrap().value.unwrap();
            Self { _master: master, running, link, address, container, _agent: agent }
        })
    }

    fn id(&self, name: &str) -> Value {
        json!({ "value": name, "parent": { "value": self.container } })
    }

    /// Launches a session of this name.
    async fn session(&self, name: &str, command: &str, mut container: Value) -> Output {
        container["type"] = json!("MESOS");
        let launch =
            json!({ "container_id": self.id(name), "command": { "value": command }, "container": container });
        let call =
            json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": launch });
        Output::open(&self.address, Media::Json, &call).await
    }

    async fn output(&self, name: &str, media: Media) -> Output {
        let attach = json!({ "container_id": self.id(name) });
        let call = json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": attach });
        Output::open(&self.address, media, &call).await
    }

    async fn input(&self, name: &str) -> Input {
        Input::open(&self.address, Media::Json, &self.id(name)).await
    }

    /// Makes one of the calls about a nested container.
    async fn nested(&self, call: &str, name: &str, more: Value) -> (u16, String) {
        let mut asked = json!({ "container_id": self.id(name) });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let kind = format!("{call}_NESTED_CONTAINER");
        ask(&self.address, json!({ "type": kind, (kind.to_lowercase()): asked })).await
    }

    async fn wait(&self, name: &str) -> (u16, String) {
        self.nested("WAIT", name, json!({})).await
    }

    async fn end(mut self) {
        self.link.kill("t").await;
        self.link.until("t", TaskState::TaskKilled).await;
        self.running.stop().await;
    }
}

fn waited(status: i32) -> (u16, String) {
    (200, format!(r#"{{"type":"WAIT_NESTED_CONTAINER","wait_nested_container":{{"exit_status":{status}}}}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_beside_a_task_has_what_that_has_and_is_heard() {
    let stage = Stage::set().await;
    let mut output = stage.session("s", "echo $MESOS_TASK_ID; echo to-err >&2", json!({})).await;
    assert!(output.head.contains("content-type: application/recordio"), "{}", output.head);
    assert!(output.head.contains("message-content-type: application/json"), "{}", output.head);
    assert_eq!(output.rest().await, ["t\n", "to-err\n"]);
    let mut output = stage.session("terminal", "echo to-err >&2", json!({ "tty_info": {} })).await;
    assert_eq!(output.rest().await, ["to-err\r\n", ""]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_reaches_the_program_and_its_end_is_told() {
    let stage = Stage::set().await;
    let mut output = stage.session("s", "read line; echo heard $line >&2; cat; exit 3", json!({})).await;
    assert_eq!(output.status, 200);
    for media in [Media::Json, Media::Protobuf] {
        let mut input = Input::open(&stage.address, media, &stage.id("s")).await;
        let word = if media == Media::Json { "hello\n" } else { "more\n" };
        input.write(word.as_bytes()).await.unwrap();
        let beat = json!({ "type": "CONTROL", "control": { "type": "HEARTBEAT" } });
        input.attach(json!({ "type": "PROCESS_IO", "process_io": beat })).await.unwrap();
        let expected = if media == Media::Json { "heard hello\n" } else { "more\n" };
        assert_eq!(output.until("\n").await, expected);
        // Who leaves changes nothing.
        assert_eq!(input.finish().await.0, 200);
    }
    let mut input = stage.input("s").await;
    input.write(b"").await.unwrap();
    assert_eq!(output.rest().await, ["", ""]);
    assert_eq!(input.answer().await.0, 200, "the program has ended");
    assert_eq!(stage.wait("s").await, waited(3 << 8));
    assert_eq!(stage.nested("REMOVE", "s", json!({})).await, (200, String::new()));
    assert_eq!(stage.wait("s").await.0, 404);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_typed_on_and_resized() {
    let stage = Stage::set().await;
    let size = json!({ "window_size": { "rows": 9, "columns": 99 } });
    let container = json!({ "tty_info": size });
    let mut output = stage.session("s", "stty size; read x; stty size; cat; exit 5", container).await;
    let mut input = stage.input("s").await;
    assert_eq!(output.until("\r\n").await, "9 99\r\n");
    input.resize(40, 120).await;
    input.write(b"go\n").await.unwrap();
    output.until("40 120\r\n").await;
    // A terminal has no other end of file than the key for it.
    input.write(b"").await.unwrap();
    input.write(b"still\n").await.unwrap();
    output.until("still\r\nstill\r\n").await;
    input.write(b"\x04").await.unwrap();
    output.rest().await;
    assert_eq!(stage.wait("s").await, waited(5 << 8));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_read_along_and_who_reads_nothing_is_cut_off() {
    let stage = Stage::set().await;
    let command = "read x; head -c 30000000 /dev/zero | tr '\\0' x; echo; read y";
    let mut output = stage.session("s", command, json!({})).await;
    let (mut along, mut slow) =
        (stage.output("s", Media::Protobuf).await, stage.output("s", Media::Json).await);
    assert_eq!((along.status, slow.status), (200, 200));
    let mut input = stage.input("s").await;
    input.write(b"go\n").await.unwrap();
    // The owner reads all of it although one of the others reads nothing.
    let mut sizes = [0; 2];
    let mut is_cut = false;
    while sizes[0] < 30_000_001 {
        sizes[0] += output.said().await.unwrap().1.len();
    }
    while let Ok(record) = slow.next().await {
        assert!(record.is_some(), "it ended as if that were all");
        is_cut = true;
    }
    assert!(is_cut);
    // The other may have been too slow as well, on a busy machine; but what it got is whole.
    while sizes[1] < 30_000_001 {
        match along.next().await {
            Ok(Some(record)) => sizes[1] += record.data.map_or(0, |data| data.data.unwrap().len()),
            Ok(None) => panic!("{} bytes and an end", sizes[1]),
            Err(_) => break,
        }
    }
    input.write(b"done\n").await.unwrap();
    assert_eq!(output.rest().await, ["", ""]);
    assert_eq!(stage.output("s", Media::Json).await.status, 400, "it has ended");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_known_to_be_alive() {
    let stage = Stage::set_with(|agent| {
        agent.config.http_heartbeat_interval = Duration::from_millis(20);
    });
    let stage = stage.await;
    let mut output = stage.session("s", "cat", json!({})).await;
    let mut along = stage.output("s", Media::Protobuf).await;
    for output in [&mut output, &mut along] {
        let beat = output.next().await.unwrap().unwrap();
        assert_eq!(beat.r#type(), Type::Control);
        let control = beat.control.unwrap();
        assert_eq!(control.r#type(), control::Type::Heartbeat);
        assert_eq!(control.heartbeat.unwrap().interval.unwrap().nanoseconds, Some(20_000_000));
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_owner_by_a_signal_and_with_its_container() {
    let stage = Stage::set().await;
    let seconds = format!("{}.75", 3_000_000 + std::process::id());
    let command = format!("exec sleep {seconds}");
    let owner = stage.session("left", &command, json!({})).await;
    eventually("it runs", || sleepers(&seconds) == 1).await;
    drop(owner);
    assert_eq!(stage.wait("left").await, waited(9));
    eventually("it is gone", || sleepers(&seconds) == 0).await;

    let mut owner = stage
        .session("hung-up", "trap 'exit 7' HUP; echo ready; while :; do sleep 0.02; done", json!({}))
        .await;
    owner.until("ready").await;
    let signal = |number: i32| json!({ "signal": number });
    assert_eq!(stage.nested("KILL", "hung-up", signal(65)).await.0, 400);
    assert_eq!(stage.nested("REMOVE", "hung-up", json!({})).await.0, 409);
    assert_eq!(stage.nested("KILL", "hung-up", signal(1)).await, (200, String::new()));
    owner.rest().await;
    assert_eq!(stage.wait("hung-up").await, waited(7 << 8));

    let mut owner = stage.session("beside", &command, json!({})).await;
    eventually("it runs", || sleepers(&seconds) == 1).await;
    let (address, id) = (stage.address.clone(), stage.id("beside"));
    stage.end().await;
    owner.rest().await;
    assert_eq!(sleepers(&seconds), 0, "{id} at {address}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_the_field_and_what_to_do() {
    let stage = Stage::set().await;
    let mut output = stage.session("s", "cat", json!({})).await;
    assert_eq!(stage.session("s", "cat", json!({})).await.status, 409, "the name is taken");
    assert_eq!(stage.session("x", "cat", json!({ "hostname": "h" })).await.status, 501);
    assert_eq!(stage.output("unknown", Media::Json).await.status, 404);

    let refused = async |attach: Value, status: u16, message: &str| {
        let mut input = stage.input("s").await;
        input.attach(attach.clone()).await.unwrap();
        let (found, said) = input.answer().await;
        assert!(found == status && said.contains(message), "{attach}: {said}");
    };
    let io = |io: Value| json!({ "type": "PROCESS_IO", "process_io": io });
    refused(json!({ "type": "CONTAINER_ID" }), 400, "to be PROCESS_IO after the first record").await;
    refused(json!({}), 400, "attach_container_input.type' to be PROCESS_IO").await;
    refused(json!({ "type": "PROCESS_IO" }), 400, "attach_container_input.process_io' to be present").await;
    refused(io(json!({})), 400, "process_io.type' to be DATA or CONTROL").await;
    refused(io(json!({ "type": "DATA" })), 400, "process_io.data' to be present").await;
    let data = json!({ "type": "DATA", "data": { "type": "STDOUT", "data": "eA==" } });
    refused(io(data), 400, "process_io.data.type' to be STDIN").await;
    refused(io(json!({ "type": "CONTROL" })), 400, "process_io.control' to be present").await;
    let control = json!({ "type": "CONTROL", "control": {} });
    refused(io(control), 400, "process_io.control.type' to be TTY_INFO or HEARTBEAT").await;
    let terminal = json!({ "type": "TTY_INFO", "tty_info": { "window_size": { "rows": 1, "columns": 1 } } });
    let control = json!({ "type": "CONTROL", "control": terminal });
    refused(io(control), 400, "launch it with 'container.tty_info'").await;

    // One at a time.
    let mut held = stage.input("s").await;
    held.write(b"the first has it\n").await.unwrap();
    output.until("the first has it\n").await;
    let (status, said) = stage.input("s").await.answer().await;
    assert!(status == 409 && said.contains("end that connection"), "{status}: {said}");
    assert_eq!(held.finish().await.0, 200);

    let deep = (0..40).fold(json!({ "value": "x" }), |parent, _| json!({ "value": "x", "parent": parent }));
    for (id, message) in [
        (json!({ "value": "../../etc/passwd" }), "contains invalid characters"),
        (json!({ "value": "unknown" }), "Container unknown cannot be found"),
        (deep, "at most 32 deep"),
    ] {
        let (status, said) = Input::open(&stage.address, Media::Json, &id).await.finish().await;
        assert!([400, 404].contains(&status) && said.contains(message), "{id}: {said}");
    }
    let mut input = stage.input("s").await;
    input.send(b"99999999999\n").await.unwrap();
    let (status, said) = input.answer().await;
    assert!(status == 413 && said.contains("several records"), "{said}");
    let mut input = stage.input("s").await;
    input.send(b"what is this\n").await.unwrap();
    assert_eq!(input.answer().await.0, 400);
    let whole = json!({ "type": "ATTACH_CONTAINER_INPUT" });
    let (status, said) = ask(&stage.address, whole).await;
    assert!(status == 415 && said.contains("application/recordio"), "{said}");

    // All of that has not disturbed it.
    let mut input = stage.input("s").await;
    input.write(b"still here\n").await.unwrap();
    assert_eq!(output.until("\n").await, "still here\n");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_and_input_without_an_end_are_taken_as_the_program_reads() {
    let stage = Stage::set().await;
    let mut output = stage.session("count", "wc -c", json!({})).await;
    let mut input = stage.input("count").await;
    let thousand = input.record(b"x").repeat(1000);
    for _ in 0..100 {
        input.send(&thousand).await.unwrap();
    }
    input.write(b"").await.unwrap();
    assert_eq!(output.rest().await[0].trim(), "100000");

    // This one reads nothing: who writes waits, and the agent goes on.
    let _deaf = stage.session("deaf", "exec sleep 1000", json!({})).await;
    let mut input = stage.input("deaf").await;
    let piece = vec![b'x'; 100_000];
    let flood = async { while input.write(&piece).await.is_ok() {} };
    tokio::select! {
        () = flood => panic!("somebody ended it"),
        answered = async {
            for _ in 0..50 {
                assert_eq!(ask(&stage.address, json!({ "type": "GET_CONTAINERS" })).await.0, 200);
            }
        } => answered,
    }
    let waiting = stage.wait("deaf");
    let killed = async { stage.nested("KILL", "deaf", json!({})).await };
    let (waited_for, killed) = tokio::join!(waiting, killed);
    assert_eq!((waited_for, killed.0), (waited(9), 200));
    stage.end().await;
}
