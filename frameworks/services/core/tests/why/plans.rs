//! What a change would do, against what it does.

use std::collections::BTreeMap;

use chapada_services_core::{AppId, Command, Landed, Refusal, Update};
use serde_json::{Value, json};

use crate::bed::{Agent, Bed};

fn update(fields: &Value) -> Vec<Update> {
    let fields = fields.as_object().expect("an object").clone();
    vec![Update { app: "/a".parse().expect("an id"), fields, partial: true, create: true }]
}

fn bed() -> Bed {
    let mut bed = Bed::new([Agent::new("h1", 2_000, 1_024), Agent::new("h2", 1_000, 1_024)]);
    bed.create(json!({"id": "/a", "cmd": "true", "cpus": 1, "mem": 64, "ports": [], "instances": 2}));
    bed
}

fn on(landed: &Landed) -> BTreeMap<&str, usize> {
    landed.on.values().map(|(host, count)| (host.as_str(), *count)).collect()
}

#[test]
fn the_steps_and_places_of_a_plan_are_those_of_the_change() {
    for (fields, starts, places, waiting) in [
        (json!({"instances": 3}), 1, vec![("h1", 1)], 0),
        (json!({"instances": 6}), 4, vec![("h1", 1)], 3),
        (json!({"instances": 1}), 0, vec![], 0),
        (json!({"env": {"A": "b"}}), 2, vec![("h1", 1), ("h2", 1)], 0),
        (json!({"mem": 2048}), 2, vec![], 2),
        (json!({"labels": {"a": "b"}, "instances": 0}), 0, vec![], 0),
        (json!({}), 0, vec![], 0),
    ] {
        let mut bed = bed();
        let strategy = json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0});
        bed.update("/a", json!({"upgradeStrategy": strategy}).as_object().expect("an object").clone());
        bed.end_old();
        let before = bed.tasks.len();
        let proposal = bed.services.propose(bed.now, update(&fields), false).expect("nothing is in the way");
        let landed = proposal.answer();
        let [landed] = landed.as_slice() else { panic!("one app, not {landed:?}") };
        assert_eq!(landed.starts, starts, "{fields}");
        assert_eq!(on(landed), places.into_iter().collect(), "{fields}: {landed:?}");
        assert_eq!(landed.waits.as_ref().map_or(0, |why| why.waiting), waiting, "{fields}");

        bed.steps = Vec::new();
        bed.command(Command::Update { updates: update(&fields), force: false });
        assert_eq!(bed.steps, proposal.deployment.steps, "{fields}");
        bed.end_old();
        let mut really: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, host, _) in &bed.tasks[before..] {
            *really.entry(host.as_str()).or_default() += 1;
        }
        assert_eq!(really, on(landed), "{fields}");
    }
}

#[test]
fn what_is_refused_is_refused_of_a_plan_too_and_force_names_what_it_cancels() {
    let mut bed = Bed::new([]);
    bed.create(json!({"id": "/a", "cmd": "true"}));
    let locked = bed.services.propose(bed.now, update(&json!({"cpus": 2})), false);
    assert!(matches!(locked, Err(Refusal::Locked(_))), "{locked:?}");
    let forced = bed.services.propose(bed.now, update(&json!({"cpus": 2})), true).expect("forced");
    let under_way: Vec<_> = bed.services.deployments().map(|deployment| deployment.id).collect();
    assert_eq!(forced.cancels, under_way);
    let many = (0..201).flat_map(|number| {
        let app: AppId = format!("/many/{number}").parse().expect("an id");
        update(&json!({"cmd": "x"})).into_iter().map(move |one| Update { app: app.clone(), ..one })
    });
    let many = bed.services.propose(bed.now, many.collect(), false);
    assert!(matches!(&many, Err(Refusal::Invalid(why)) if why[0].errors[0].contains("200 apps")), "{many:?}");
    let wrong = bed.services.propose(bed.now, update(&json!({"cpus": -1})), true);
    assert!(matches!(wrong, Err(Refusal::Invalid(_) | Refusal::WrongType(_))), "{wrong:?}");
}
