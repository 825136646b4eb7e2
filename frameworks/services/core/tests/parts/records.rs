//! What was kept is read back, whatever the rules are by now.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::Bench;

#[test]
fn a_definition_that_breaks_a_newer_rule_does_not_keep_the_process_from_its_apps() {
    let mut bench = Bench::new();
    bench.create(&json!({"id": "/web", "cmd": "x", "cpus": 0.1, "mem": 1, "portDefinitions": []}));
    bench.run();
    for (key, record) in &mut bench.records {
        if key.starts_with("app.") || key.starts_with("version.") {
            let mut json: Value = serde_json::from_slice(record).expect("JSON");
            let kind = if key.starts_with("app.") { "app" } else { "version" };
            json[kind]["definition"]["backoffFactor"] = json!(0.5);
            *record = json.to_string().into_bytes();
        }
    }
    bench.restart(Duration::ZERO);
    assert_eq!(bench.app("/web").app.definition.backoff_factor, 0.5);
    assert_eq!(bench.app("/web").instances.len(), 1);
}
