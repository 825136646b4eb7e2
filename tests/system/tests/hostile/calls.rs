//! Calls with amounts that are none, and with ids that are wrong (MESOS-7197, MESOS-10008).

use chapada_wire::v1;
use prost::Message;
use serde_json::{Value, json};

use crate::honest::{Framework, accept, scalar};
use crate::victim::Victim;

/// Whoever answers offers here answers every one, also on a machine under load; what it holds at its end, it gives back by leaving.
const ANSWERED: &str = "10m";

/// Waits for an offer and tries to launch a task of this many CPUs.
fn launch(framework: &mut Framework, number: usize, cpus: f64, in_protobuf: bool) -> Value {
    let offer = framework.offer();
    let name = format!("odd-{number}");
    let task = json!({
        "name": name, "task_id": {"value": name}, "agent_id": offer["agent_id"], "command": {"value": "true"},
        "resources": [scalar("cpus", &json!(1)), scalar("mem", &json!(32))],
    });
    let mut call =
        json!({"type": "ACCEPT", "framework_id": {"value": framework.id}, "accept": accept(&offer, &task)});
    let sent = if in_protobuf {
        let mut call: v1::scheduler::Call =
            chapada_wire::Json::from_json(call.to_string().as_bytes()).expect("a call");
        let accept = call.accept.as_mut().expect("an accept");
        let tasks = &mut accept.operations[0].launch.as_mut().expect("a launch").task_infos;
        tasks[0].resources[0].scalar = Some(v1::value::Scalar { value: Some(cpus) });
        framework.send("application/x-protobuf", &call.encode_to_vec())
    } else {
        call["accept"]["operations"][0]["launch"]["task_infos"][0]["resources"][0]["scalar"]["value"] =
            json!(cpus);
        framework.send("application/json", call.to_string().as_bytes())
    };
    assert_eq!(sent.0, 202, "{}", sent.1);
    framework.status_of(&name)
}

fn refused(values: &[f64], in_protobuf: bool) {
    let victim = Victim::with_offers_for(ANSWERED);
    let mut framework = Framework::subscribe(victim.address(), "odd", &["odd"]);
    for (number, value) in values.iter().enumerate() {
        let status = launch(&mut framework, number, *value, in_protobuf);
        assert_eq!(status["state"], "TASK_ERROR", "{value}: {status}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("cpus") || message.contains("resources"),
            "{value} names its field: {message}"
        );
    }
    drop(framework);
    victim.is_well("after odd amounts");
}

#[test]
fn amounts_that_are_no_numbers() {
    refused(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.001, f64::MIN, f64::MAX], true);
}

#[test]
fn ticket_10008_huge_amounts() {
    refused(&[1e308, 1e300, 9_007_199_254_740.992, 18_446_744_073_709_551_616.0, 1e12], false);
}

/// Less than a thousandth is nothing, and a request for nothing crashed the allocator. Here it is a task with what is left of
/// its request.
#[test]
fn ticket_7197_tiny_amounts() {
    let victim = Victim::with_offers_for(ANSWERED);
    let mut framework = Framework::subscribe(victim.address(), "odd", &["odd"]);
    for (number, value) in [0.000_1, 0.000_499, 1e-300, f64::MIN_POSITIVE, 0.0].into_iter().enumerate() {
        for in_protobuf in [false, true] {
            let status = launch(&mut framework, 2 * number + usize::from(in_protobuf), value, in_protobuf);
            assert_ne!(status["state"], Value::Null, "{value} is answered for");
        }
    }
    drop(framework);
    victim.is_well("after tiny amounts");
}

/// Ranges that end before they begin, overlap, or are as long as can be; sets with a name twice.
#[test]
fn ranges_and_sets_that_cannot_be() {
    let victim = Victim::with_offers_for(ANSWERED);
    let mut framework = Framework::subscribe(victim.address(), "odd", &["odd"]);
    let range = |begin: u64, end: u64| json!({"begin": begin, "end": end});
    let shapes = [
        json!({"name": "ports", "type": "RANGES", "ranges": {"range": [range(5, 1)]}}),
        json!({"name": "ports", "type": "RANGES", "ranges": {"range": [range(0, u64::MAX)]}}),
        json!({"name": "ports", "type": "RANGES", "ranges": {"range": [range(31000, 31000), range(31000, 31000)]}}),
        json!({"name": "ports", "type": "RANGES", "ranges": {"range": vec![range(1, 1); 20_000]}}),
        json!({"name": "ports", "type": "SET", "set": {"item": ["31000", "31000"]}}),
        json!({"name": "cpus", "type": "SET", "set": {"item": ["1"]}}),
        json!({"name": "", "type": "SCALAR", "scalar": {"value": 1}}),
    ];
    for (number, shape) in shapes.iter().enumerate() {
        let offer = framework.offer();
        let name = format!("odd-{number}");
        let task = json!({
            "name": name, "task_id": {"value": name}, "agent_id": offer["agent_id"], "command": {"value": "true"},
            "resources": [scalar("cpus", &json!(0.1)), scalar("mem", &json!(32)), shape],
        });
        let (status, words) = framework.call("ACCEPT", &accept(&offer, &task));
        // A description too large for the agent link is told by its task, as the others are.
        assert_eq!(status, 202, "{shape}: {words}");
        let status = framework.status_of(&name);
        let is_told_why = status["message"].as_str().is_some_and(|message| !message.is_empty());
        assert!(status["state"] != "TASK_ERROR" || is_told_why, "{shape} is told why: {status}");
    }
    drop(framework);
    victim.is_well("after odd ranges");
}
