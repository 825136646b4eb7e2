//! What each call says, field by field; and what makes it none.

use std::time::Duration;

use chapada_master_core::Call;
use chapada_model::{Filters, KillPolicy};
use chapada_wire::Json as _;
use serde_json::{Value, json};

use super::*;

fn parsed(call: Value) -> Result<Parsed, Invalid> {
    parse(wire::Call::from_json(call.to_string().as_bytes()).unwrap())
}

/// A call of framework `f`.
fn call(kind: &str, field: &str, body: Value) -> Result<Call, String> {
    match parsed(json!({"framework_id": {"value": "f"}, "type": kind, field: body})) {
        Ok(Parsed::Call { framework, call }) => {
            assert_eq!(framework.as_str(), "f");
            Ok(*call)
        }
        Ok(other) => panic!("{kind}: {other:?}"),
        Err(invalid) => Err(invalid.0),
    }
}

fn id(value: &str) -> Value {
    json!({ "value": value })
}

fn info(more: Value) -> Value {
    let mut info =
        json!({"user": "root", "name": "n", "roles": ["a", "b"], "capabilities": [{"type": "MULTI_ROLE"}]});
    info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    info
}

fn constrained(role: &str) -> Value {
    let rule = json!({"selector": {"attribute_name": "rack"}, "predicate": {"exists": {}}});
    json!({"role_constraints": {role: {"groups": [{"attribute_constraints": [rule]}]}}})
}

#[test]
fn what_a_call_says_is_what_it_means() {
    let refuse = |seconds| Filters { refuse: Duration::from_secs(seconds) };
    let offers = || vec!["o1".parse().unwrap(), "o2".parse().unwrap()];
    let named = json!([id("o1"), id("o2")]);
    let decline =
        |filters: Value| call("DECLINE", "decline", json!({"offer_ids": named, "filters": filters}));
    let declined = |seconds| Ok(Call::Decline { offers: offers(), filters: refuse(seconds) });
    assert_eq!(decline(json!({"refuse_seconds": 60.0})), declined(60));
    assert_eq!(decline(json!({})), declined(5));
    assert_eq!(decline(Value::Null), declined(5));
    let accept = json!({"offer_ids": named, "operations": [], "filters": {"refuse_seconds": 7.0}});
    let accepted = chapada_master_core::Accept { offers: offers(), operations: vec![], filters: refuse(7) };
    assert_eq!(call("ACCEPT", "accept", accept), Ok(Call::Accept(accepted)));
    let kill =
        json!({"task_id": id("t"), "agent_id": id("a"), "kill_policy": {"grace_period": {"nanoseconds": 9}}});
    let policy = Some(KillPolicy { grace_period: Some(Duration::from_nanos(9)) });
    let (task, agent) = ("t".parse().unwrap(), Some("a".parse().unwrap()));
    assert_eq!(call("KILL", "kill", kill), Ok(Call::Kill { task, agent, policy }));
    let reconcile = json!({"tasks": [{"task_id": id("t"), "agent_id": id("a")}, {"task_id": id("u")}]});
    let tasks = vec![("t".parse().unwrap(), Some("a".parse().unwrap())), ("u".parse().unwrap(), None)];
    assert_eq!(call("RECONCILE", "reconcile", reconcile), Ok(Call::Reconcile { tasks }));
    let operations = json!({"operations": [{"operation_id": id("r"), "agent_id": id("a")}]});
    let asked = vec![("r".parse().unwrap(), Some("a".parse().unwrap()))];
    assert_eq!(
        call("RECONCILE_OPERATIONS", "reconcile_operations", operations),
        Ok(Call::ReconcileOperations { operations: asked })
    );
    let message = json!({"agent_id": id("a"), "executor_id": id("e"), "data": "AQI="});
    let (agent, executor) = ("a".parse().unwrap(), "e".parse().unwrap());
    let said = Call::Message { agent, executor, data: vec![1, 2].into() };
    assert_eq!(call("MESSAGE", "message", message), Ok(said));
    let shutdown = json!({"agent_id": id("a"), "executor_id": id("e")});
    let (agent, executor) = ("a".parse().unwrap(), "e".parse().unwrap());
    assert_eq!(call("SHUTDOWN", "shutdown", shutdown), Ok(Call::Shutdown { agent, executor }));
    let roles = vec!["a".parse().unwrap()];
    assert_eq!(call("REVIVE", "revive", json!({"roles": ["a"]})), Ok(Call::Revive { roles: roles.clone() }));
    assert_eq!(call("SUPPRESS", "suppress", json!({"roles": ["a"]})), Ok(Call::Suppress { roles }));
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let words = |kind: &str, field: &str, body: Value| call(kind, field, body).unwrap_err();
    let large = "A".repeat(4 * (MAX_MESSAGE_BYTES / 3 + 1));
    let message = json!({"agent_id": id("a"), "executor_id": id("e"), "data": large});
    assert!(words("MESSAGE", "message", message).contains("'message.data' is larger than"));
    let uuid = json!({"agent_id": id("a"), "task_id": id("t"), "uuid": "AA=="});
    assert_eq!(words("ACKNOWLEDGE", "acknowledge", uuid), "Not a valid UUID");
    let slash = json!({"offer_ids": [id("o"), id("a/b")]});
    assert!(words("DECLINE", "decline", slash).contains("decline.offer_ids[1]"));
    let other = json!({"framework_info": info(json!({"id": id("g")}))});
    assert_eq!(
        words("UPDATE_FRAMEWORK", "update_framework", other),
        "'framework_id' differs from 'update_framework.framework_info.id'"
    );
    let nobody = parsed(json!({"framework_id": id("a/b"), "type": "REVIVE"}));
    assert!(matches!(nobody, Ok(Parsed::UnknownFramework)), "{nobody:?}");
    assert_eq!(parsed(json!({})).unwrap_err().0, "Expecting 'type' to be present");
}

#[test]
fn a_framework_says_its_wishes_when_it_subscribes_and_when_it_changes() {
    let wishes = |suppressed: &str, role: &str, more: Value| json!({"framework_info": info(more), "suppressed_roles": [suppressed], "offer_constraints": constrained(role)});
    let subscribe = |body: Value| parsed(json!({"type": "SUBSCRIBE", "subscribe": body})).unwrap();
    let Parsed::Subscribe(said) = subscribe(wishes("b", "a", json!({}))) else { panic!("it is valid") };
    assert_eq!(said.suppressed, ["b".parse().unwrap()]);
    assert_eq!(said.constraints.said().keys().map(Role::as_str).collect::<Vec<_>>(), ["a"]);
    assert_eq!(said.framework.id, None);
    let changed = call("UPDATE_FRAMEWORK", "update_framework", wishes("b", "a", json!({"id": id("f")})));
    let Ok(Call::UpdateFramework { description, suppressed, constraints }) = changed else {
        panic!("{changed:?}")
    };
    assert_eq!((description.roles, suppressed), (said.framework.roles, said.suppressed));
    assert_eq!(constraints, said.constraints);
    // On SUBSCRIBE these are said on the stream, in UPDATE_FRAMEWORK they are a 400.
    let large = json!({"labels": {"labels": [{"key": "k", "value": "v".repeat(MAX_FRAMEWORK_BYTES)}]}});
    for (suppressed, more, words) in [
        ("c", json!({}), "suppressed role 'c' is not one of the framework's roles"),
        ("b", json!({"roles": ["a", "a"]}), "'a' is there twice"),
        ("b", large, "FrameworkInfo is larger than"),
    ] {
        let refused = subscribe(wishes(suppressed, "a", more.clone()));
        assert!(matches!(&refused, Parsed::Unacceptable(why) if why.contains(words)), "{refused:?}");
        let mut with_id = more;
        with_id["id"] = id("f");
        let refused = call("UPDATE_FRAMEWORK", "update_framework", wishes(suppressed, "a", with_id));
        assert!(refused.unwrap_err().contains(words), "{words}");
    }
}

#[test]
fn a_subscription_names_its_framework_twice_or_not_at_all() {
    let subscribe = |call: Value, own: Value| {
        let mut body = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info(own)}});
        body.as_object_mut().unwrap().extend(call.as_object().unwrap().clone());
        parsed(body).map(|parsed| match parsed {
            Parsed::Subscribe(said) => said.framework.id.map(|id| id.to_string()),
            other => panic!("{other:?}"),
        })
    };
    let named = |value: &str| json!({"framework_id": id(value)});
    let own = |value: &str| json!({"id": id(value)});
    let none = || json!({});
    assert_eq!(subscribe(named("f"), own("f")), Ok(Some("f".to_owned())));
    assert_eq!(subscribe(none(), none()), Ok(None));
    // Some clients always send an id.
    assert_eq!(subscribe(named(""), own("")), Ok(None));
    assert_eq!(subscribe(none(), own("")), Ok(None));
    for (call, own) in [(named("f"), own("g")), (named("f"), none()), (none(), own("g"))] {
        let why = subscribe(call, own).unwrap_err().0;
        assert_eq!(why, "'framework_id' differs from 'subscribe.framework_info.id'");
    }
}
