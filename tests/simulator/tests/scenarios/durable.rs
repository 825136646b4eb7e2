//! What is durable: read by another build, restored from a backup, and cut short at every record.

use chapada_master_core::{Quota, RoleCall};
use chapada_model::Milli;
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

#[test]
fn scenario_49_records_of_former_versions_are_read_with_a_failover_in_the_middle() {
    each_seed(&keeping(), |run| {
        let before = untouched(&run.sim);
        for round in 0..2 {
            // A leader of a former version writes what it knows; one of this version takes over, and the other way round.
            let version = 1 + run.rng.below(3) as u32;
            run.sim.write_as_version(version);
            let (outlives, clean) = (run.moment(5 * SECOND), run.rng.once_in(2));
            match clean {
                true => run.sim.hand_over(),
                false => run.sim.crash_leader(outlives),
            }
            run.settle(3 * MINUTE);
            assert_eq!(untouched(&run.sim), before, "seed {} round {round}: no task is restarted", run.seed);
        }
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
