//! Herds, loops and needles in haystacks: the scenarios whose size is their point. Tests run them with what a debug build does
//! in seconds, `cargo xtask sim --scenario N --full` in full. CPU is free here, so times say what the protocol costs.

use std::time::Duration;

use chapada_services_core::{Command, Update};
use serde_json::json;

use crate::{Manner, Plan, Sim};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const MACHINE: &str = "cpus:4;mem:1024";

/// Lets time pass until something holds, looking now and then; how long it took.
fn wait(
    sim: &mut Sim,
    most: Duration,
    what: &str,
    mut holds: impl FnMut(&mut Sim) -> bool,
) -> Result<Duration, String> {
    let began = sim.now();
    while !holds(sim) {
        sim.run_for(Duration::from_millis(10));
        if let Some(failure) = sim.failure() {
            return Err(failure.to_owned());
        }
        if sim.now().since(began) > most {
            return Err(format!("not within {most:?}: {what}"));
        }
    }
    Ok(sim.now().since(began))
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// The time within which 99 of 100 were there.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}

/// Scenario 24: the leader hands over, and all agents come to the next one within a second.
///
/// # Errors
/// What did not hold.
pub fn herd(agents: usize) -> Result<String, String> {
    let quiet = Plan::quiet(agents, MACHINE, vec![]);
    let plan = Plan { audit_every: agents as u64, found_late: Duration::ZERO, ..quiet };
    let mut sim = Sim::new(1, plan, false);
    wait(&mut sim, MINUTE, "all are registered", |sim| sim.registered() == agents)?;
    let (dials, began) = (sim.dials(), sim.now());
    sim.hand_over();
    sim.run_for(Duration::from_millis(10));
    must(sim.registered() == 0, || "all have lost the former leader".to_owned())?;
    let (mut reads, mut most) = (0_u32, 0);
    wait(&mut sim, MINUTE, "all are registered again", |sim| {
        let books = sim.books().expect("a leader answers reads");
        reads += 1;
        most = books.agents.values().filter(|agent| agent.link().is_some()).count().max(most);
        books.agents.len() == agents && most == agents && sim.registered() == agents
    })?;
    let attempts = sim.dials() - dials;
    let times = sim.registered_at().into_iter().map(|at| at.since(began)).collect();
    let p99 = p99(times);
    must(p99 <= SECOND * 3 / 2, || format!("p99 {p99:?} is more than 1.5 s"))?;
    must(attempts * 10 <= agents as u64 * 12, || format!("{attempts} attempts of {agents} agents"))?;
    must(reads > 50, || format!("only {reads} reads on the way"))?;
    Ok(format!(
        "24: {agents} agents again, p99 {p99:.3?}, {attempts} attempts, {reads} reads served on the way"
    ))
}

/// What a good part of a cluster sees: how long until its tasks ran, how long until they ran again after the leader was gone, and
/// how much the master's core had to do meanwhile.
fn with_strangers(strangers: usize, good: usize) -> Result<(Duration, Duration, u64, u64), String> {
    let plan = Plan { audit_every: 1_000, ..Plan::quiet(good, MACHINE, vec![Manner::Keeper { tasks: 20 }]) };
    let mut sim = Sim::new(1, plan, false);
    for _ in 0..strangers {
        sim.add_stranger(MACHINE);
    }
    let first = wait(&mut sim, MINUTE, "the good ones' tasks run", |sim| sim.kept(0) == 20)?;
    sim.run_for(MINUTE);
    let (events, rejected) = (sim.events(), sim.rejected());
    sim.run_for(MINUTE);
    let (events, rejected) = (sim.events() - events, sim.rejected() - rejected);
    sim.hand_over();
    let again = wait(&mut sim, MINUTE, "the good ones are back", |sim| sim.registered() == good)?;
    let books = sim.books().ok_or("nobody leads")?;
    must(books.agents.len() == good, || format!("{} agents are known", books.agents.len()))?;
    must(sim.kept(0) == 20, || "tasks were lost".to_owned())?;
    Ok((first, again, events, rejected))
}

/// Scenario 25: agents with wrong credentials. That the master's door turns them away before its core hears of them is made up
/// here, as the rest of the shell is; how often they come is the agent's back-off.
///
/// # Errors
/// What did not hold.
pub fn wrong_credentials(strangers: usize) -> Result<String, String> {
    let good = 100;
    let (first, again, events, none) = with_strangers(0, good)?;
    let (first_beside, again_beside, events_beside, rejected) = with_strangers(strangers, good)?;
    must(none == 0 && rejected > 0, || "nobody was turned away".to_owned())?;
    // Back-off of up to 16 s, so 8 s on average.
    let most = strangers as u64 * 10;
    must(rejected <= most, || format!("{rejected} attempts in a minute, more than {most}"))?;
    must(events_beside <= events * 11 / 10, || {
        format!("the core took {events_beside} events in a minute, {events} without strangers")
    })?;
    must(first_beside <= first + SECOND, || format!("tasks ran after {first_beside:?}, not {first:?}"))?;
    must(again_beside <= again + 5 * SECOND, || format!("back after {again_beside:?}, not {again:?}"))?;
    Ok(format!(
        "25: {rejected} attempts a minute of {strangers} strangers; core events a minute {events_beside} ({events} without); \
         good tasks ran after {first_beside:.2?} ({first:.2?} without)"
    ))
}

/// Scenario 26: frameworks that subscribe, decline and revive in a loop.
///
/// # Errors
/// What did not hold.
pub fn revivers(frameworks: usize, seconds: u32) -> Result<String, String> {
    let agents = 20;
    let mut manners = vec![Manner::Reviver; frameworks];
    manners.push(Manner::Keeper { tasks: 10 });
    let quiet = Plan::quiet(agents, MACHINE, manners);
    let mut sim = Sim::new(1, Plan { audit_every: 20_000, ..quiet }, false);
    let served =
        wait(&mut sim, 5 * SECOND, "the one that needs something has it", |sim| sim.kept(frameworks) == 10)?;
    let sent = |sim: &Sim| sim.books().map_or(0, |books| books.counters.offers_sent);
    let before = sent(&sim);
    sim.run_for(SECOND * seconds);
    if let Some(failure) = sim.failure() {
        return Err(failure.to_owned());
    }
    let offers = sent(&sim) - before;
    // An agent's resources are in one offer at a time, and there is a millisecond between two.
    let most = agents as u64 * 1_000 * u64::from(seconds);
    must(offers <= most, || format!("{offers} offers in {seconds} s"))?;
    let counts: Vec<usize> = (0..frameworks).map(|framework| sim.waits(framework).len()).collect();
    let mean = counts.iter().sum::<usize>() / frameworks;
    let least = counts.iter().min().copied().unwrap_or_default();
    must(mean > 2 && least * 4 >= mean, || format!("one had {least} offers, and the mean is {mean}"))?;
    let waits = (0..frameworks).flat_map(|framework| sim.waits(framework).iter().copied()).collect();
    let (p99, fair) = (p99(waits), SECOND * seconds / u32::try_from(mean).unwrap_or(u32::MAX) * 4);
    must(p99 <= fair, || format!("p99 of the time to an offer is {p99:?}, more than {fair:?}"))?;
    Ok(format!(
        "26: {frameworks} revivers: served after {served:.2?}; {offers} offers in {seconds} s, p99 of the wait {p99:.2?}, \
         {least} the fewest of one and {mean} the mean"
    ))
}

/// Scenario 28: the one agent with a GPU, while greedy frameworks compete.
///
/// # Errors
/// What did not hold.
pub fn needle(agents: usize, greedy: usize) -> Result<String, String> {
    let manners = vec![Manner::Greedy; greedy];
    let plan = Plan { audit_every: 10_000, ..Plan::quiet(agents - 1, MACHINE, manners) };
    let mut sim = Sim::new(1, plan, false);
    sim.add_agent("cpus:4;mem:1024;gpus:1");
    wait(&mut sim, MINUTE, "all are registered", |sim| sim.registered() == agents)?;
    let picky = sim.add_framework(Manner::Picky);
    // It takes up to half a second to start.
    let offered = wait(&mut sim, SECOND * 3 / 2, "it is offered the GPU", |sim| {
        sim.offers(picky).iter().any(|offer| !offer.resources.scalar("gpus").is_zero())
    })?;
    let launched = sim.launches();
    must(launched >= greedy, || format!("only {launched} launches of {greedy} greedy frameworks"))?;
    Ok(format!(
        "28: the one GPU among {agents} agents offered {offered:.2?} after its framework was started, beside {greedy} greedy frameworks"
    ))
}

/// Scenario 45: an app goes from nothing to so many instances and back while agents die and come back. I6 is checked at each
/// launch, I7 at either end, and nothing is shown that is not there.
///
/// # Errors
/// What did not hold.
pub fn up_and_down(agents: usize, instances: usize) -> Result<String, String> {
    let quiet = Plan::quiet(agents, "cpus:32;mem:16384", vec![Manner::Services { apps: 0 }]);
    let mut sim = Sim::new(1, Plan { audit_every: instances as u64, ..quiet }, false);
    wait(&mut sim, MINUTE, "all are there", |sim| sim.unsettled().is_empty())?;
    let definition = json!({
        "id": "/many", "cmd": "sleep 1000", "cpus": 0.1, "mem": 8, "instances": 0, "portDefinitions": [],
        "backoffSeconds": 0, "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
    });
    let definition = definition.as_object().cloned().unwrap_or_default();
    sim.ask_services(0, Command::Create { definition, force: false });
    wait(&mut sim, MINUTE, "the app is there", |sim| sim.unsettled().is_empty() && sim.known(0) == Some(0))?;
    let mut took = Vec::new();
    for target in [instances, 0] {
        let began = sim.now();
        let fields = json!({"instances": target}).as_object().cloned().unwrap_or_default();
        let app = "/many".parse().map_err(|error| format!("{error}"))?;
        let update = Update { app, fields, partial: true, create: false };
        sim.ask_services(0, Command::Update { updates: vec![update], force: true });
        wait(&mut sim, 10 * MINUTE, "some is done", |sim| {
            sim.running(0).len().abs_diff(target) < instances * 3 / 4
        })?;
        for agent in 0..agents / 4 {
            match agent % 3 {
                0 => _ = sim.cut_off(agent, 2 * MINUTE),
                1 => sim.crash_agent(agent, 5 * SECOND),
                _ => sim.reboot_agent(agent, MINUTE),
            }
        }
        sim.crash_leader(2 * SECOND);
        wait(&mut sim, 30 * MINUTE, "it is what was asked for", |sim| {
            sim.running(0).len() == target && sim.unsettled().is_empty()
        })?;
        must(sim.known(0) == Some(target), || format!("it shows {:?} tasks of {target}", sim.known(0)))?;
        took.push(sim.now().since(began));
    }
    let launches = sim.launches();
    Ok(format!("45: 0 to {instances} in {:.0?} and back in {:.0?}, {launches} launches", took[0], took[1]))
}
