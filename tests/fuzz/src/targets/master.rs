//! The master's core behind its decoders, in a busy cluster, with the audit after every step.

use chapada_master::edge::{Form, OperatorChange, operator_call, operator_form, scheduler_call};
use chapada_wire::recordio::frame;
use chapada_wire::{Json, link, v1};
use prost::Message;

use crate::corpus::{json, listed, recorded};
use crate::worlds::master::World;
use crate::worlds::{MAX_STEPS, records};

/// Calls in JSON, one a line; or in protobuf, as records.
pub(super) fn calls(bytes: &[u8]) {
    let mut world = World::busy();
    bodies(bytes, scheduler_call).into_iter().flatten().for_each(|call| world.call(call));
    world.pass(std::time::Duration::from_secs(200));
}

/// Each body of an input, read.
fn bodies<T>(bytes: &[u8], read: impl Fn(&[u8], Form) -> T) -> Vec<T> {
    if bytes.first() == Some(&b'{') {
        let lines = bytes.split(|byte| *byte == b'\n').take(MAX_STEPS);
        return lines.map(|line| read(line, Form::Json)).collect();
    }
    records(bytes).iter().map(|record| read(record, Form::Protobuf)).collect()
}

/// Calls of operators that change something, in the same forms.
pub(super) fn operator(bytes: &[u8]) {
    let mut world = World::busy();
    let changes = bodies(bytes, operator_call).into_iter().flatten().flatten();
    changes.for_each(|change| world.operate(change));
    world.pass(std::time::Duration::from_secs(200));
}

/// The same in the forms before `/api/v1`, one a line: path, blank, body.
pub(super) fn forms(bytes: &[u8]) {
    let mut world = World::busy();
    for line in bytes.split(|byte| *byte == b'\n').take(MAX_STEPS) {
        if let Some(Ok(change)) = form(line) {
            world.operate(change);
        }
    }
    world.pass(std::time::Duration::from_secs(200));
}

fn form(line: &[u8]) -> Option<Result<OperatorChange, String>> {
    let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (path, body) = (String::from_utf8_lossy(&line[..at]), line.get(at + 1..).unwrap_or_default());
    operator_form(&path, body)
}

pub(super) fn forms_seeds() -> Vec<Vec<u8>> {
    let lines = listed("forms.txt");
    for line in &lines {
        assert!(matches!(form(line.as_bytes()), Some(Ok(_))), "a seed is read: {line}");
    }
    let all = lines.join("\n").into_bytes();
    lines.into_iter().map(String::into_bytes).chain([all]).collect()
}

pub(super) fn operator_seeds() -> Vec<Vec<u8>> {
    seeds::<v1::master::Call>(listed("operator.jsonl"), "master.Call")
}

/// Each call of ours and of the recordings by itself, and ours in a row, in both forms. The ids of the recordings are replaced
/// by those of the world.
pub(super) fn calls_seeds() -> Vec<Vec<u8>> {
    seeds::<v1::scheduler::Call>(listed("calls.jsonl"), "scheduler.Call")
}

pub(super) fn seeds<T: Json + Message + Default>(mut lines: Vec<String>, kind: &str) -> Vec<Vec<u8>> {
    let whole: Vec<String> = lines.chunks(4).map(|lines| lines.join("\n")).collect();
    lines.extend(recorded(kind).into_iter().map(|mut body| {
        world_ids(&mut body);
        body.to_string()
    }));
    let mut seeds: Vec<Vec<u8>> = lines.iter().chain(&whole).map(|line| line.clone().into_bytes()).collect();
    for line in lines {
        let call = T::from_json(line.as_bytes()).expect("a seed is read");
        seeds.push(frame(&call.encode_to_vec()).to_vec());
    }
    seeds
}

/// `…-0005` becomes the first framework, `…-S0` the first agent, `…-O26` the first offer.
fn world_ids(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.len() > 36 && text.as_bytes()[36] == b'-' => {
            *text = match text.as_bytes().get(37) {
                Some(b'S') => "m1-S0".to_owned(),
                Some(b'O') => "m1-O0".to_owned(),
                _ => "m1-0000".to_owned(),
            };
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(world_ids),
        serde_json::Value::Object(object) => object.values_mut().for_each(world_ids),
        _ => {}
    }
}

/// Messages of agents, as records.
pub(super) fn agents(bytes: &[u8]) {
    let mut world = World::busy();
    records(bytes).iter().for_each(|record| world.agent_says(record));
    world.pass(std::time::Duration::from_secs(200));
}

pub(super) fn agents_seeds() -> Vec<Vec<u8>> {
    let messages: Vec<Vec<u8>> = agent_messages().iter().map(framed).collect();
    let all = messages.concat();
    messages.into_iter().chain([all]).collect()
}

fn framed(message: &link::from_agent::Message) -> Vec<u8> {
    let message = link::FromAgent { seen_epoch: 1, message: Some(message.clone()) };
    frame(&message.encode_to_vec()).to_vec()
}

/// One of each kind, about what the world has.
fn agent_messages() -> Vec<link::from_agent::Message> {
    use link::from_agent::Message as M;
    let text = |text: &str| text.to_owned();
    let framework = text("m1-0000");
    let task: v1::TaskInfo = part("task");
    let status: v1::TaskStatus = part("status");
    let update = |state: i32| {
        let status = v1::TaskStatus { state: Some(state), ..status.clone() };
        link::Update {
            framework_id: framework.clone(),
            latest_state: state,
            status: Some(status),
            ..Default::default()
        }
    };
    let hello = link::Hello {
        protocol_version: 1,
        agent_info: Some(part("agent")),
        version: text("1.0.0"),
        address: text("127.0.0.1:5051"),
        boot_id: text("boot"),
        ..Default::default()
    };
    let held = link::HeldTask {
        framework_id: framework.clone(),
        task: task.encode_to_vec().into(),
        latest: Some(status.clone()),
        acknowledged_state: Some(6),
        executor_id: text("executor"),
    };
    let ended = v1::TaskStatus { state: Some(v1::TaskState::TaskFinished.into()), ..status.clone() };
    let over = link::HeldTask { latest: Some(ended), ..held.clone() };
    let holding = link::Holding {
        last: true,
        tasks: vec![held],
        frameworks: vec![part("framework")],
        executors: vec![link::HeldExecutor {
            framework_id: framework.clone(),
            executor: Some(part("executor")),
        }],
        ..Default::default()
    };
    let empty = link::Holding { last: true, ..Default::default() };
    let executor_id = text("executor");
    let gone =
        link::ExecutorGone { framework_id: framework.clone(), executor_id, status: 9, ..Default::default() };
    vec![
        M::Hello(hello),
        M::Holding(holding),
        M::Holding(empty),
        M::CompletedTasks(link::CompletedTasks { tasks: vec![over] }),
        M::Update(update(1)),
        M::Update(update(2)),
        M::Update(update(3)),
        M::ExecutorGone(gone),
        M::FrameworkMessage(link::FrameworkMessage {
            framework_id: framework,
            executor_id: text("executor"),
            data: vec![1],
        }),
        M::CommandRefused(link::CommandRefused { sequence: 3, reason: text("it makes no sense") }),
        M::Heartbeat(link::Heartbeat {}),
    ]
}

/// A message of `seeds/parts.json`.
fn part<T: Json>(name: &str) -> T {
    let parts = json(&listed("parts.json").join(""));
    T::from_json(parts[name].to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"))
}
