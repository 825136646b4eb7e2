//! What is durable: read by another build, restored from a backup, and cut short at every record.

use std::collections::{BTreeMap, BTreeSet};

use chapada_master_core::{
    AgentRecord, Drain, DrainOrder, DrainPlan, FrameworkRecord, KilledBefore, Machine, Quota,
    REGISTRY_VERSION, RegistryState, Removal, RoleCall, Standing,
};
use chapada_model::{AgentId, FrameworkId, MachineId, Milli, Role, Unavailability};
use chapada_simulator::{Manner, Plan, Sim};

use crate::seeded::{Run, each_seed, seeds};
use crate::{MINUTE, SECOND};

const MACHINE: &str = "cpus:4;mem:1024";

fn keeping() -> Plan {
    Plan::quiet(2, MACHINE, vec![Manner::Keeper { tasks: 3 }])
}

/// The names of what runs, and how many launches there were.
fn untouched(sim: &Sim) -> (Vec<String>, usize) {
    let mut running = sim.running(0);
    running.sort();
    (running, sim.launches())
}

/// What operators have said of all kinds, and agents and a framework that are not there any more, in one registry.
struct Made {
    state: RegistryState,
    drained: AgentId,
    deactivated: AgentId,
    removed: FrameworkId,
}

fn made(mut state: RegistryState) -> Made {
    let [drained, deactivated] = ["old-S0", "old-S1"].map(|id| AgentId::new(id).expect("a valid id"));
    let (_, known) = state.agents.first_key_value().expect("agents are registered");
    let since = known.registered;
    let away = AgentRecord { standing: Standing::Unreachable { since }, deactivated: true, ..known.clone() };
    let killed_before = Some(KilledBefore { from: since, until: since, mark_gone: false });
    let order = DrainOrder { notice: Some(SECOND), ..DrainOrder::default() };
    let drain = Drain { order, since, is_drained: true, part_of: None, is_notice_over: true, killed_before };
    state.agents.insert(drained.clone(), AgentRecord { drain: Some(drain), ..away.clone() });
    state.agents.insert(deactivated.clone(), away);

    let removed = FrameworkId::new("old-0000").expect("a valid id");
    let (_, framework) = state.frameworks.first_key_value().expect("a framework is subscribed");
    let removal = Removal { at: since, unconfirmed: BTreeSet::new(), absent: true };
    let framework = FrameworkRecord { removed: Some(removal), ..framework.clone() };
    state.frameworks.insert(removed.clone(), framework);
    state.unconfirmed = [(removed.clone(), [(0, [drained.clone()].into())].into())].into();

    let role: Role = "someone".parse().expect("a valid role");
    let limit = [("cpus".into(), Milli::whole(9))].into();
    state.quotas = [(role.clone(), Quota { limit, ..Quota::default() })].into();
    state.weights = [(role, Milli::whole(3))].into();
    let machine = MachineId::new("elsewhere", "").expect("a valid machine");
    let unavailability = Unavailability { start: since, duration: None };
    state.machines = [(machine, Machine { unavailability, is_down: false })].into();
    let plan = DrainPlan {
        since,
        selected_by: "all".into(),
        order,
        at_once: 1,
        waiting: BTreeSet::new(),
        begun: [drained.clone()].into(),
        ended: Some(since),
        is_cancelled: false,
    };
    state.drains = [("all".into(), plan)].into();
    Made { state, drained, deactivated, removed }
}

/// What a build of this version knew is in the registry, and the leader goes by it; nothing else is there.
fn must_be_kept(run: &Run, made: &Made, version: u32) {
    let (kept, state, seed) = (run.sim.backup(), &made.state, run.seed);
    let what = format!("seed {seed}, version {version}");
    let knows = |since: u32| version >= since;
    assert_eq!(kept.weights, state.weights, "{what}");
    assert_eq!(kept.quotas, if knows(2) { state.quotas.clone() } else { BTreeMap::new() }, "{what}");
    assert_eq!(kept.machines, if knows(3) { state.machines.clone() } else { BTreeMap::new() }, "{what}");
    assert_eq!(kept.drains, if knows(4) { state.drains.clone() } else { BTreeMap::new() }, "{what}");
    assert_eq!(kept.unconfirmed, state.unconfirmed, "{what}: every build knows who must confirm");
    let removal = state.frameworks[&made.removed].removed.clone();
    let removal = removal.map(|removal| Removal { absent: knows(3), ..removal });
    assert_eq!(kept.frameworks[&made.removed].removed, removal, "{what}");
    let drain = state.agents[&made.drained].drain.clone().map(|drain| Drain {
        is_notice_over: knows(5),
        killed_before: drain.killed_before.filter(|_| knows(6)),
        ..drain
    });
    for (agent, drain) in [(&made.drained, drain.filter(|_| knows(4))), (&made.deactivated, None)] {
        let (kept, known) = (&kept.agents[agent], &state.agents[agent]);
        assert_eq!((kept.deactivated, &kept.drain), (knows(4), &drain), "{what}");
        assert_eq!(kept.standing, known.standing, "{what}");
    }
    let books = run.sim.books().expect("somebody leads");
    assert!(books.weights.iter().eq(kept.weights.iter()), "{what}");
    assert!(books.quotas.iter().eq(kept.quotas.iter()), "{what}");
    assert!(books.machines.iter().eq(kept.machines.iter()), "{what}");
    assert!(books.drains.iter().eq(kept.drains.iter()), "{what}");
    for (id, record) in &kept.agents {
        let agent = &books.agents[id];
        assert_eq!((agent.deactivated, &agent.drain), (record.deactivated, &record.drain), "{what}");
    }
}

/// The records that builds of each version misread are these, and the registry says of itself that they are no builds for it.
fn must_be_refused(run: &Run) {
    let misread = [
        (5, "agent old-S0"),
        (4, "unconfirmed old-0000.0"),
        (3, "agent old-S1"),
        (3, "drain all"),
        (2, "framework old-0000"),
        (2, "machine elsewhere/"),
        (1, "quota someone"),
    ];
    let said = run.sim.backup().version();
    for version in 1..=REGISTRY_VERSION {
        let found = run.sim.misread_by_version(version);
        assert_eq!(found.is_empty(), said <= version, "seed {}: {version} of {said}: {found:?}", run.seed);
        let mut names: Vec<&str> = misread.iter().filter(|one| version <= one.0).map(|one| one.1).collect();
        names.sort_unstable();
        assert!(said < REGISTRY_VERSION || found == names, "seed {}: {version}: {found:?}", run.seed);
    }
}

#[test]
fn scenario_49_records_of_former_versions_are_read_with_a_failover_in_the_middle() {
    each_seed(&keeping(), |run| {
        let before = untouched(&run.sim);
        let made = made(run.sim.backup());
        let version = 1 + (run.seed % u64::from(REGISTRY_VERSION)) as u32;
        run.sim.restore(made.state.clone());
        must_be_refused(run);
        // Builds of a former version have led so far; one of this version takes over, and then another.
        run.sim.write_as_version(version);
        for round in 0..2 {
            run.settle(3 * MINUTE);
            assert_eq!(untouched(&run.sim), before, "seed {} round {round}: no task is restarted", run.seed);
            must_be_kept(run, &made, version);
            // What it has written makes builds of some former versions none that may lead.
            must_be_refused(run);
            let (outlives, clean) = (run.moment(5 * SECOND), run.rng.once_in(2));
            match clean {
                true => run.sim.hand_over(),
                false => run.sim.crash_leader(outlives),
            }
        }
        run.settle(3 * MINUTE);
        must_be_kept(run, &made, version);
    });
}

/// After the backup: another agent, another framework with tasks, and a quota.
fn goes_on(run: &mut Run) {
    run.sim.add_agent(MACHINE);
    run.sim.add_framework(Manner::Keeper { tasks: 2 });
    let limit = [("cpus".into(), Milli::whole(9))].into();
    let quotas = vec![("someone".parse().expect("a valid role"), Quota { limit, ..Quota::default() })];
    let leader = run.sim.leader().expect("somebody leads");
    assert_eq!(run.sim.call_about_roles(leader, RoleCall::UpdateQuota { quotas, force: true }), None);
    run.pass(SECOND);
    run.settle(MINUTE);
}

fn all(sim: &Sim) -> (Vec<String>, usize) {
    let mut running: Vec<String> = sim.running(0).into_iter().chain(sim.running(1)).collect();
    running.sort();
    (running, sim.launches())
}

#[test]
fn scenario_50_an_older_backup_is_restored_and_agents_are_ahead_of_it() {
    each_seed(&keeping(), |run| {
        let mut backup = run.sim.backup();
        goes_on(run);
        let epochs = run.rng.below(3);
        for _ in 0..epochs {
            run.sim.hand_over();
            run.settle(3 * MINUTE);
        }
        let before = all(&run.sim);
        let is_behind = run.rng.once_in(2) && epochs > 1;
        if is_behind {
            // With the epoch of the backup a leader would be deposed in the eyes of every agent: they hang up and do nothing.
            run.sim.restore(backup.clone());
            run.pass(2 * MINUTE);
            assert_eq!(run.sim.running(0).len() + run.sim.running(1).len(), 5, "seed {}", run.seed);
            assert_eq!(run.sim.registered(), 0, "seed {}: no agent obeys", run.seed);
        }
        // An import keeps the higher epoch.
        backup.epoch = run.sim.backup().epoch.max(backup.epoch) + 10;
        run.sim.restore(backup);
        run.settle(5 * MINUTE);
        if run.seed % 20 == 1 {
            // As long as agents have to come back to a new leader.
            run.pass(11 * MINUTE);
            run.settle(MINUTE);
        }
        run.pass(SECOND);
        assert_eq!(all(&run.sim), before, "seed {}: nothing is killed, nothing launched again", run.seed);
    });
}

/// A small deployment from nothing: what it writes in agents' logs and in the registry.
fn deployment(seed: u64) -> Sim {
    let plan = Plan::quiet(1, MACHINE, vec![Manner::Keeper { tasks: 2 }]);
    Sim::new(seed, plan, false)
}

fn is_deployed(sim: &mut Sim) -> bool {
    sim.kept(0) == 2 && sim.unsettled().is_empty()
}

fn must_recover(mut sim: Sim, what: &str) {
    // One that lost its id comes back as another agent, and what it ran is out of reach until an operator says that it is gone.
    let recovered = sim.run_until(10 * MINUTE, is_deployed) || {
        sim.give_up_unreachable();
        sim.run_until(10 * MINUTE, is_deployed)
    };
    assert_eq!(sim.failure(), None, "{what}");
    assert!(recovered, "{what}: {:?}", sim.unsettled());
    sim.run_for(2 * MINUTE);
    assert_eq!((sim.failure(), sim.running(0).len()), (None, 2), "{what}");
    assert_eq!(sim.check_history(), Vec::<String>::new(), "{what}");
}

#[test]
fn scenario_52_crash_at_every_record_of_a_deployment() {
    let mut sim = deployment(1);
    assert!(sim.run_until(MINUTE, is_deployed), "{:?}", sim.unsettled());
    sim.run_for(MINUTE);
    let (records, writes) = (sim.log_length(0) as u64, sim.writes());
    assert!(records > 8 && writes >= 2, "{records} records, {writes} writes");
    let points = (1..=records).flat_map(|record| (0..3).map(move |survivors| (record, survivors)));
    let points: Vec<(u64, usize)> = points.collect();
    let mut runs = 0;
    for seed in 1.. {
        for (record, survivors) in &points {
            let mut sim = deployment(seed);
            sim.end_agent_at_record(0, *record, *survivors);
            must_recover(
                sim,
                &format!("seed {seed}: the agent ends at record {record}, {survivors} more survive"),
            );
        }
        for (write, is_made) in (0..writes).flat_map(|write| [(write, true), (write, false)]) {
            let mut sim = deployment(seed);
            sim.end_leader_at_write(write, is_made);
            must_recover(sim, &format!("seed {seed}: the leader ends at write {write}, made: {is_made}"));
        }
        runs += points.len() as u64 + 2 * writes;
        if runs >= seeds() {
            return;
        }
    }
}
