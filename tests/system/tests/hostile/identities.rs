//! Ids that are unknown, twice there, or somebody else's.

use serde_json::{Value, json};

use crate::honest::{Framework, accept, scalar};
use crate::victim::Victim;

#[test]
fn unknown_and_duplicate_ids() {
    let victim = Victim::start();
    let mut framework = Framework::subscribe(victim.address(), "liar", &["liar"]);
    let offer = framework.stream.until("OFFERS")["offers"]["offers"][0].clone();
    let task = |name: &str| {
        json!({
            "name": name, "task_id": {"value": name}, "agent_id": offer["agent_id"], "command": {"value": "true"},
            "resources": [scalar("cpus", &json!(0.1)), scalar("mem", &json!(32))],
        })
    };
    let twice = json!({
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task("same"), task("same")]}}],
    });
    assert_eq!(framework.call("ACCEPT", &twice).0, 202);
    let mut states: Vec<Value> = Vec::new();
    while !states.contains(&json!("TASK_ERROR")) {
        states.push(framework.stream.until("UPDATE")["update"]["status"]["state"].clone());
    }
    let uuid = "BwcHBwcHBwcHBwcHBwcHBw==";
    let nobody = json!({"value": "nobody"});
    let calls = [
        ("ACCEPT", accept(&json!({"id": nobody}), &task("t"))),
        ("ACCEPT", json!({"offer_ids": vec![nobody.clone(); 10_000], "operations": []})),
        ("DECLINE", json!({"offer_ids": [offer["id"], offer["id"], nobody]})),
        ("KILL", json!({"task_id": nobody, "agent_id": nobody})),
        ("SHUTDOWN", json!({"executor_id": nobody, "agent_id": nobody})),
        ("MESSAGE", json!({"executor_id": nobody, "agent_id": nobody, "data": "aGVsbG8="})),
        ("ACKNOWLEDGE", json!({"task_id": nobody, "agent_id": nobody, "uuid": uuid})),
        ("RECONCILE", json!({"tasks": vec![json!({"task_id": nobody}); 1_000]})),
        ("RECONCILE_OPERATIONS", json!({"operations": [{"operation_id": nobody, "agent_id": nobody}]})),
        ("ACKNOWLEDGE_OPERATION_STATUS", json!({"operation_id": nobody, "agent_id": nobody, "uuid": uuid})),
    ];
    for (kind, body) in &calls {
        let (status, words) = framework.call(kind, body);
        assert_eq!(status, 202, "{kind}: {words}");
    }
    for (id, words) in
        [("", "task_id"), ("a/b", "task_id"), ("..", "task_id"), (&*"x".repeat(300), "task_id")]
    {
        let (status, said) = framework.call("KILL", &json!({"task_id": {"value": id}}));
        assert_eq!(status, 400, "{id}: {said}");
        assert!(said.contains(words), "{id}: {said}");
    }
    victim.is_well("after wrong ids");
}

/// A call in another framework's name, and one of a framework that was never there.
#[test]
fn another_frameworks_name() {
    let victim = Victim::start();
    let mut first = Framework::subscribe(victim.address(), "first", &["first"]);
    let second = Framework::subscribe(victim.address(), "second", &["second"]);
    let own = std::mem::replace(&mut first.id, second.id.clone());
    let (status, words) = first.call("TEARDOWN", &Value::Null);
    assert_eq!(status, 400, "{words}");
    assert!(words.contains("stream"), "{words}");
    first.id = "nobody".to_owned();
    assert_eq!(first.call("TEARDOWN", &Value::Null).0, 400);
    first.id = own;
    assert_eq!(first.call("TEARDOWN", &Value::Null).0, 202);
    victim.is_well("after calls in another's name");
}
