//! After a change of leader or master it is said that nothing goes on before it is known who is there.

use chapada_services_core::{Event, Explanation};
use serde_json::{Map, Value, json};

use crate::bed::{Agent, Bed};

fn fields(json: Value) -> Map<String, Value> {
    json.as_object().expect("an object").clone()
}

/// Two instances that run, and are well when they are asked.
fn two(more: Value) -> Bed {
    let mut bed = Bed::new([Agent::new("h1", 2_000, 1_024)]);
    let mut app = fields(json!({"id": "/a", "cmd": "true", "cpus": 0.1, "mem": 8, "instances": 2}));
    app.extend(fields(json!({"portDefinitions": [], "healthChecks": [{"protocol": "TCP", "port": 80, "intervalSeconds": 3600}]})));
    app.extend(fields(more));
    bed.create(Value::Object(app));
    answer(&mut bed, 0);
    answer(&mut bed, 1);
    assert_eq!(said(&bed.why("/a")), ["nothing: Everything runs that should"]);
    bed
}

fn answer(bed: &mut Bed, task: usize) {
    let task = bed.tasks[task].0.clone();
    bed.apply(Event::Probed { task, check: 0, result: Ok(()) });
}

fn said(explanation: &Explanation) -> Vec<String> {
    let said =
        explanation.reasons.iter().map(|reason| format!("{}: {}", reason.cause.name(), reason.sentence));
    said.collect()
}

#[test]
fn an_app_that_is_made_smaller_says_whom_it_waits_for() {
    let mut bed = two(json!({}));
    bed.restart();
    assert_eq!(said(&bed.why("/a")), ["nothing: Everything runs that should"], "nothing rests on it");
    bed.update("/a", fields(json!({"instances": 1})));
    assert_eq!(said(&bed.why("/a")), ["disconnected: No master is connected; nothing goes on until one is"]);
    bed.apply(Event::Subscribed);
    let unheard = |count| {
        format!(
            "unheard: Waits for the master, which has not spoken of {count} of 2 instances since it was reached"
        )
    };
    assert_eq!(said(&bed.why("/a")), [unheard(2)]);
    bed.say(0, chapada_model::TaskState::Running, "");
    assert_eq!(said(&bed.why("/a")), [unheard(1)]);
    bed.say(1, chapada_model::TaskState::Running, "");
    let unasked =
        "unheard: Waits for the health checks of 2 of 2 instances, of which this process has no answer yet";
    assert_eq!(said(&bed.why("/a")), [unasked]);
    answer(&mut bed, 0);
    answer(&mut bed, 1);
    assert!(said(&bed.why("/a"))[0].starts_with("stopping: "), "{:?}", said(&bed.why("/a")));
}

#[test]
fn a_replacement_that_waits_to_hear_does_not_advise_to_start_more() {
    let mut bed = two(json!({"upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 0}}));
    bed.update("/a", fields(json!({"cmd": "false"})));
    let capacity = |bed: &Bed| {
        let why = bed.why("/a");
        let reason = why.reasons.iter().find(|reason| reason.cause.name() == "capacity").cloned();
        (said(&why)[0].clone(), reason.expect("no more than three may be there").suggestions.len())
    };
    assert_eq!(capacity(&bed).1, 1);
    bed.apply(Event::Disconnected);
    bed.apply(Event::Subscribed);
    let unheard =
        "unheard: Waits for the master, which has not spoken of 2 of 2 instances since it was reached";
    assert_eq!(capacity(&bed), (unheard.to_owned(), 0));
}
