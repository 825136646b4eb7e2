//! What a change of an app with persistent volumes would do, and why one of its instances waits.

use std::collections::BTreeMap;

use chapada_model::TaskState;
use chapada_services_core::{Command, Landed, Update};
use serde_json::{Value, json};

use crate::bench::{Bench, app, object};

fn landed(bench: &Bench, fields: Value) -> Landed {
    let app = "/db".parse().expect("an id");
    let update = Update { app, fields: object(fields), partial: true, create: true };
    let proposal = bench.services.propose(bench.now, vec![update], true).expect("nothing is in the way");
    proposal.answer().swap_remove(0)
}

fn on(landed: &Landed) -> BTreeMap<&str, usize> {
    landed.on.values().map(|(host, count)| (host.as_str(), *count)).collect()
}

/// How many tasks there are by the host names of their agents.
fn really(bench: &Bench) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for agent in bench.agents() {
        *found.entry(format!("host-{agent}")).or_default() += 1;
    }
    found
}

#[test]
fn instances_begin_again_where_their_volumes_are() {
    let mut bench = Bench::with_app(&["a", "b", "c"], 2);
    let before = really(&bench);
    let plan = landed(&bench, json!({"cmd": "serve better"}));
    assert_eq!((plan.starts, plan.waits.is_none()), (2, true));
    assert!(on(&plan).into_iter().eq(before.iter().map(|(host, count)| (host.as_str(), *count))), "{plan:?}");
    bench.update(json!({"instances": 0})).expect("taken");
    bench.run();
    let plan = landed(&bench, json!({"instances": 2}));
    assert!(on(&plan).into_iter().eq(before.iter().map(|(host, count)| (host.as_str(), *count))), "{plan:?}");
    bench.update(json!({"instances": 2})).expect("taken");
    bench.run();
    assert_eq!(really(&bench), before);
}

#[test]
fn a_new_instance_lands_only_where_its_volume_can_be_made() {
    let bench = Bench::with_app(&["a"], 1);
    let plan = landed(&bench, json!({"instances": 2}));
    assert_eq!((plan.starts, on(&plan)), (1, [("host-a", 1)].into()));
    // There are 2 CPUs and 1000 MiB of disk.
    let mut bench = Bench::new(&["a", "b"]);
    bench.run();
    let mut large = app();
    large["container"]["volumes"][0]["persistent"] = json!({"size": 995});
    let plan = landed(&bench, large.clone());
    let why = plan.waits.expect("it does not fit");
    assert_eq!(
        why.sentence(),
        "Needs 10 MiB of disk on an agent; the largest of the 2 agents offered has 5 MiB free (host-a); \
         it would fit if disk were 5 MiB."
    );
    large["container"]["volumes"][0]["persistent"] = json!({"size": 5000});
    bench.command(Command::Create { definition: object(large), force: false }).expect("valid");
    bench.run();
    assert_eq!(bench.tasks.len(), 0);
    let id = "/db".parse().expect("an id");
    let why = bench.services.inquire(bench.now, &id).expect("there").answer();
    assert_eq!(
        (why.reasons[0].cause.name(), why.sentence().as_str()),
        (
            "disk",
            "Needs 4.8 GiB of disk for its volume data on an agent; the nearest is 1000 MiB on host-a; \
             it would fit if its volume data were 990 MiB."
        )
    );
}

#[test]
fn one_that_waits_for_its_volume_is_told_so_and_the_next_one_is_placed() {
    let mut bench = Bench::with_app(&["a"], 1);
    let lost = bench.free.remove("a").expect("an agent");
    bench.end(&bench.task(), TaskState::Failed);
    bench.run();
    let id = "/db".parse().expect("an id");
    let why = bench.services.inquire(bench.now, &id).expect("there").answer();
    assert_eq!((why.reasons.len(), why.reasons[0].cause.name()), (1, "volume"), "{why:?}");
    bench.free.insert("b".to_owned(), lost.filter(|resource| resource.reservations.is_empty()));
    bench.run();
    assert_eq!(bench.tasks.len(), 0, "not without its volume");
    let why = bench.services.inquire(bench.now, &id).expect("there").answer();
    assert_eq!((why.reasons.len(), why.reasons[0].cause.name()), (1, "volume"), "{why:?}");
}
