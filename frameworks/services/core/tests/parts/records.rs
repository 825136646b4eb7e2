//! What was kept is read back, whatever the rules are by now.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_model::Role;
use chapada_services_core::{Command, Recovered};
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

#[test]
fn the_roles_to_subscribe_in_are_known_before_the_records_are_put_in_order() {
    let mut bench = Bench::new();
    for id in ["/web", "/prod/web", "/store/db"] {
        let mut app = json!({"id": id, "cmd": "x", "cpus": 0.1, "mem": 1, "portDefinitions": []});
        if let Some((role, _)) = id[1..].split_once('/') {
            app["role"] = json!(role);
        }
        bench.create(&app);
    }
    assert_eq!(bench.answers.iter().filter(|answer| answer.is_ok()).count(), 3, "{:?}", bench.answers);
    bench.records.insert("sweep.left".to_owned(), br#"{"format":1,"sweep":"left"}"#.to_vec());
    let read = |(key, value): (&String, &Vec<u8>)| Recovered::read(key, value).expect("own records").role();
    let mut roles: BTreeSet<Role> = bench.records.iter().filter_map(read).collect();
    roles.insert(Role::star());
    bench.restart(Duration::ZERO);
    assert_eq!((roles.len(), roles), (4, bench.services.roles()));
}

/// A large change is written in several transactions, and the process may end between two of them.
#[test]
fn of_two_deployments_of_an_app_the_later_has_taken_over() {
    let mut bench = Bench::new();
    bench.create(&json!({"id": "/web", "cmd": "x", "cpus": 0.1, "mem": 1, "portDefinitions": []}));
    let former: Vec<_> =
        bench.records.iter().filter(|(key, _)| key.starts_with("deployment.")).map(own).collect();
    bench.wait(Duration::from_secs(1));
    bench.command(Command::Restart { app: "/web".parse().expect("an id"), force: true });
    bench.records.extend(former);
    let kept = |bench: &Bench| bench.records.keys().filter(|key| key.starts_with("deployment.")).count();
    assert_eq!(kept(&bench), 2);
    bench.restart(Duration::ZERO);
    assert_eq!((bench.services.deployments().count(), kept(&bench)), (1, 1));
    bench.run();
    assert_eq!((bench.services.deployments().count(), bench.app("/web").instances.len()), (0, 1));
}

fn own((key, value): (&String, &Vec<u8>)) -> (String, Vec<u8>) {
    (key.clone(), value.clone())
}
