//! Fault scenarios by the numbers of the list of what must hold. The audit runs in each after every step.

mod durable;
mod followers;
mod frameworks;
mod hostile;
mod masters;
mod messages;
mod partitions;
mod quota;
mod scale;
mod seeded;
mod services;

use std::time::Duration;

use chapada_simulator::{Manner, Plan, SCENARIOS, Sim};

#[test]
fn each_scenario_is_a_test() {
    let files = [
        include_str!("durable.rs"),
        include_str!("followers.rs"),
        include_str!("frameworks.rs"),
        include_str!("masters.rs"),
        include_str!("messages.rs"),
        include_str!("partitions.rs"),
        include_str!("quota.rs"),
        include_str!("scale.rs"),
        include_str!("services.rs"),
    ];
    for number in SCENARIOS {
        let name = format!("#[test]\nfn scenario_{number}_");
        assert!(files.iter().any(|file| file.contains(&name)), "no test is scenario {number}");
    }
}

/// The tickets of Marathon and DC/OS that the field's lessons name, as the names of tests begin.
const TICKETS: [&str; 13] = [
    "marathon_1553_",
    "marathon_1652_",
    "marathon_2308_",
    "marathon_839_",
    "marathon_4777_",
    "marathon_7104_",
    "marathon_3142_",
    "marathon_2353_",
    "marathon_731_",
    "marathon_8422_",
    "marathon_8566_",
    "dcos_51375_",
    "dcos_54927_",
];

#[test]
fn each_ticket_is_a_test() {
    for ticket in TICKETS {
        let name = format!("#[test]\n    fn {ticket}");
        assert!(include_str!("services.rs").contains(&name), "no test is {ticket}");
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A quiet cluster that has come up.
fn cluster(agents: usize, frameworks: Vec<Manner>) -> Sim {
    let mut sim = Sim::new(1, Plan::quiet(agents, "cpus:4;mem:1024", frameworks), true);
    until(&mut sim, MINUTE, "everyone is there", |sim| sim.unsettled().is_empty());
    pass(&mut sim, SECOND);
    sim
}

/// Lets time pass until something holds; says what did not.
#[track_caller]
fn until(sim: &mut Sim, most: Duration, what: &str, holds: impl FnMut(&mut Sim) -> bool) {
    let held = sim.run_until(most, holds);
    let why = sim.failure().map_or_else(|| sim.unsettled().join("; "), str::to_owned);
    assert!(held, "{}\nnot within {most:?}: {what}: {why}", tail(sim));
}

/// Lets time pass; nothing may be found to be wrong.
#[track_caller]
fn pass(sim: &mut Sim, time: Duration) {
    sim.run_for(time);
    assert_eq!(sim.failure(), None, "{}", tail(sim));
}

fn tail(sim: &Sim) -> String {
    let lines: Vec<&str> = sim.history.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
