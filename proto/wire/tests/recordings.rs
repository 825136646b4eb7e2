//! Bodies recorded from a real Mesos: each is read, and written again as the same JSON value.

use std::fmt::Debug;

use chapada_wire::{Json, decode_binary, v1};
use serde_json::Value;

/// What Mesos writes and we do not carry.
const NOT_CARRIED: [&str; 2] = [
    // An agent's own setting, in no description of the v1 API.
    ".agent_info.checkpoint is lost: true",
    // Sent by old clients; every subscription is forced since long.
    ".subscribe.force is lost: true",
];

/// Defaults that a client's call does not say and that are written once it was read.
const DEFAULTS: [&str; 4] = [
    ".checkpoint is new: false",
    ".failover_timeout is new: 0.0",
    ".command.shell is new: true",
    ".mark_gone is new: false",
];

/// One recorded body with the name of the recording.
fn recorded(lines: &str) -> impl Iterator<Item = (String, Value)> + '_ {
    lines.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("a line is JSON");
        let name = line["name"].as_str().expect("a recording has a name").to_owned();
        (name, line["body"].take())
    })
}

/// Reads a body and gives what we write for it, having sent it through protobuf on the way.
fn again<T: Json + prost::Message + PartialEq + Debug>(name: &str, body: &Value) -> Value {
    let message = T::from_json(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let binary: T = decode_binary(&message.encode_to_vec()).expect("what was read is complete");
    assert_eq!(binary, message, "{name}: changed on the way through protobuf");
    let text = message.to_json();
    assert!(text.iter().all(|byte| (0x20..0x7f).contains(byte)), "{name}: not one line of ASCII");
    // Not compared as messages: a default that was written is set from then on.
    assert_eq!(
        T::from_json(&text).map(|read| read.to_json()).as_ref(),
        Ok(&text),
        "{name}: JSON is not stable"
    );
    serde_json::from_slice(&text).expect("we write JSON")
}

/// Where `wanted` says something that `found` does not say, numbers compared by value.
fn differences(place: &str, wanted: &Value, found: &Value, out: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                let place = format!("{place}.{key}");
                match found.get(key) {
                    Some(other) => differences(&place, value, other, out),
                    None => out.push(format!("{place} is lost: {value}")),
                }
            }
            for (key, value) in found.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                out.push(format!("{place}.{key} is new: {value}"));
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (value, other)) in wanted.iter().zip(found).enumerate() {
                differences(&format!("{place}[{index}]"), value, other, out);
            }
        }
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => {}
        _ if wanted == found => {}
        _ => out.push(format!("{place}: {wanted} became {found}")),
    }
}

/// Every body comes out as it went in, but for what `allowed` ends in.
fn same<T: Json + prost::Message + PartialEq + Debug>(lines: &str, allowed: &[&str]) {
    let mut found = Vec::new();
    for (name, body) in recorded(lines) {
        differences(&name, &body, &again::<T>(&name, &body), &mut found);
    }
    found.retain(|difference| !allowed.iter().any(|end| difference.ends_with(end)));
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    assert!(lines.lines().count() > 4, "there is something to compare");
}

/// What Mesos wrote, we write.
fn written<T: Json + prost::Message + PartialEq + Debug>(lines: &str) {
    same::<T>(lines, &NOT_CARRIED);
}

/// What a client wrote comes through; an empty list says nothing.
fn read<T: Json + prost::Message + PartialEq + Debug>(lines: &str) {
    let empty_list = " is lost: []";
    same::<T>(lines, &[&NOT_CARRIED[..], &DEFAULTS, &[empty_list]].concat());
}

#[test]
fn events_for_schedulers() {
    written::<v1::scheduler::Event>(include_str!("data/recordings/scheduler.Event.jsonl"));
}

#[test]
fn events_for_executors() {
    written::<v1::executor::Event>(include_str!("data/recordings/executor.Event.jsonl"));
}

#[test]
fn events_for_operators() {
    written::<v1::master::Event>(include_str!("data/recordings/master.Event.jsonl"));
}

#[test]
fn answers_of_the_master() {
    written::<v1::master::Response>(include_str!("data/recordings/master.Response.jsonl"));
}

#[test]
fn answers_of_an_agent() {
    written::<v1::agent::Response>(include_str!("data/recordings/agent.Response.jsonl"));
}

#[test]
fn calls_of_schedulers() {
    read::<v1::scheduler::Call>(include_str!("data/recordings/scheduler.Call.jsonl"));
}

#[test]
fn calls_of_executors() {
    read::<v1::executor::Call>(include_str!("data/recordings/executor.Call.jsonl"));
}

#[test]
fn calls_of_operators() {
    read::<v1::master::Call>(include_str!("data/recordings/master.Call.jsonl"));
    read::<v1::agent::Call>(include_str!("data/recordings/agent.Call.jsonl"));
}
