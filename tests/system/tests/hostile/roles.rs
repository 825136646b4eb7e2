//! Ten thousand roles.

use serde_json::json;

use crate::honest::{Framework, subscription};
use crate::raw::Stream;
use crate::victim::Victim;

#[test]
fn ten_thousand_roles_of_one_framework_are_refused_by_their_size() {
    let victim = Victim::start();
    let names: Vec<String> = (0..10_000).map(|number| format!("role-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stream = Stream::open(victim.address(), "/api/v1/scheduler", &subscription("greedy", &names));
    let error = stream.until("ERROR");
    let message = error["error"]["message"].as_str().expect("a sentence");
    assert!(message.contains("FrameworkInfo") && message.contains("49152 bytes"), "{message}");
    assert_eq!(stream.event(), None, "the stream ends");
    victim.is_well("after ten thousand roles in one call");
}

/// A hundred frameworks with a hundred roles each, which then ask about all of them.
#[test]
fn ten_thousand_roles_of_a_hundred_frameworks() {
    let victim = Victim::start();
    let mut frameworks = Vec::new();
    for framework in 0..100 {
        let names: Vec<String> = (0..100).map(|number| format!("team-{framework}/part-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // Without their offers, for they would hold each for its time: what counts here is how many roles there are.
        let mut subscription = subscription(&format!("f{framework}"), &names);
        subscription["subscribe"]["suppressed_roles"] = json!(names);
        frameworks.push(Framework::open(victim.address(), &subscription));
    }
    victim.is_well("among ten thousand roles");
    for framework in &frameworks {
        let name = framework.id.clone();
        assert_eq!(framework.call("REVIVE", &json!({"roles": []})).0, 202, "{name}");
        assert_eq!(framework.call("SUPPRESS", &json!({"roles": []})).0, 202, "{name}");
        let bad = framework.call("REVIVE", &json!({"roles": ["a//b"]}));
        assert_eq!(bad.0, 400);
        assert!(bad.1.contains("revive.roles[0]"), "{}", bad.1);
    }
    victim.is_well("when ten thousand roles were revived and suppressed");
}
