//! Masters that die, stop, are deposed and are cut off from what coordinates them.

use std::time::Duration;

use chapada_master_core::{Call, Quota, RoleCall};
use chapada_model::{Milli, Role, TaskState};
use chapada_simulator::{Manner, Node, Plan, Sim};

use crate::seeded::{Run, each_seed};
use crate::{MINUTE, SECOND};

const MACHINE: &str = "cpus:4;mem:1024";
const MILLISECOND: Duration = Duration::from_millis(1);
/// As long as the ensemble waits for a session, and until it looks for those that are over.
const SESSION: Duration = Duration::from_secs(12);

fn scripted() -> Plan {
    Plan::quiet(1, MACHINE, vec![Manner::Scripted])
}

/// Two agents and a framework that keeps three tasks.
fn keeping() -> Plan {
    Plan::quiet(2, MACHINE, vec![Manner::Keeper { tasks: 3 }])
}

fn launch(run: &mut Run) {
    run.until(MINUTE, "there is an offer", |sim| !sim.offers(0).is_empty());
    assert!(run.sim.launch_task(0, "t", "cpus:1;mem:64"));
}

/// What runs, and how many launches there were: what no trouble of masters may change.
fn untouched(sim: &Sim) -> (Vec<String>, usize) {
    let mut running = sim.running(0);
    running.sort();
    (running, sim.launches())
}

fn role() -> Role {
    Role::new("someone").expect("a valid role")
}

/// An operator asks whoever leads for a quota.
fn ask_for_quota(sim: &mut Sim) {
    let limit = [("cpus".into(), Milli::whole(9))].into();
    let quotas = vec![(role(), Quota { limit, ..Quota::default() })];
    let leader = sim.leader().expect("somebody led");
    assert_eq!(sim.call_about_roles(leader, RoleCall::UpdateQuota { quotas, force: true }), None);
}

#[test]
fn a_leader_that_is_stopped_while_the_quorum_comes_and_goes_is_replaced() {
    let mut sim = Sim::new(1, keeping(), false);
    assert!(sim.run_until(MINUTE, |sim| sim.running(0).len() == 3));
    let machine = sim.leading_machine().expect("somebody leads");
    let former = sim.leader();
    sim.stop_process(machine, 10 * MINUTE);
    sim.lose_quorum(5 * SECOND);
    let is_replaced = sim.run_until(MINUTE, |sim| sim.leader() != former);
    assert!(is_replaced, "its session ends once there is a quorum to end it: {:?}", sim.failure());
    assert_eq!(sim.failure(), None);
}

#[test]
fn scenario_1_leader_dies_between_accepting_a_launch_and_telling_the_agent() {
    let (mut ran, mut dropped) = (0, 0);
    each_seed(&scripted(), |run| {
        launch(run);
        let wait = run.moment(4 * MILLISECOND);
        run.pass(wait);
        let outlives = run.moment(SESSION);
        run.sim.crash_leader(outlives);
        run.settle(3 * MINUTE);
        let tasks = vec![("t".parse().expect("a valid id"), None)];
        run.sim.framework_calls(0, Call::Reconcile { tasks });
        run.until(MINUTE, "the framework is told what became of it", |sim| {
            match sim.heard(0, "t").states.last() {
                Some(TaskState::Running) => sim.running(0) == ["t"],
                Some(state) => {
                    !matches!(state, TaskState::Staging | TaskState::Starting) && sim.running(0).is_empty()
                }
                None => false,
            }
        });
        if run.sim.running(0).is_empty() {
            dropped += 1
        } else {
            ran += 1
        }
        run.holds(run.sim.launches() <= 1, "it began at most once");
    });
    assert!(ran > 0 && dropped > 0, "{ran} ran, {dropped} did not");
}

#[test]
fn scenario_2_leader_dies_after_the_agent_has_the_launch_and_before_its_status() {
    each_seed(&scripted(), |run| {
        launch(run);
        run.sim.run_until(SECOND, |sim| sim.launches() == 1);
        let wait = run.moment(50 * MILLISECOND);
        run.pass(wait);
        let outlives = run.moment(SESSION);
        run.sim.crash_leader(outlives);
        run.until(3 * MINUTE, "the next leader learns it from the agent", |sim| {
            sim.unsettled().is_empty()
                && sim
                    .books()
                    .is_some_and(|books| books.tasks.values().any(|task| task.state == TaskState::Running))
        });
        run.until(MINUTE, "its framework hears", |sim| {
            sim.heard(0, "t").updates.last().is_some_and(|(_, state)| *state == TaskState::Running)
        });
        assert_eq!((run.sim.running(0), run.sim.launches()), (vec!["t".to_owned()], 1), "one copy");
    });
}

#[test]
fn scenario_3_a_leader_that_is_stopped_past_its_session_goes_on_and_fools_nobody() {
    let mut two = 0;
    each_seed(&keeping(), |run| {
        let before = untouched(&run.sim);
        let former = run.sim.leader();
        let machine = run.sim.leading_machine().expect("somebody leads");
        let time = 13 * SECOND + run.moment(30 * SECOND);
        run.sim.stop_process(machine, time);
        // Something comes in that it will find when it goes on.
        let agent = run.rng.place(2);
        run.sim.break_client(Node::Agent(agent));
        run.until(MINUTE, "another leads", |sim| sim.leader() != former);
        run.sim.run_until(time, |sim| sim.serving() == 2);
        two += usize::from(run.sim.serving() == 2);
        run.pass(SECOND);
        run.settle(3 * MINUTE);
        run.holds(run.sim.serving() == 1, "one master serves");
        assert_eq!(untouched(&run.sim), before, "seed {}", run.seed);
    });
    assert!(two > 0, "it went on for a moment as if it led");
}

#[test]
fn scenario_4_no_quorum_for_five_minutes() {
    each_seed(&keeping(), |run| {
        let before = untouched(&run.sim);
        let leader = run.sim.leader();
        run.sim.lose_quorum(5 * MINUTE);
        let wait = run.moment(4 * MINUTE);
        run.pass(wait);
        match run.rng.below(3) {
            // A link breaks meanwhile, as links do.
            0 => run.sim.break_client(Node::Agent(0)),
            1 => run.sim.break_client(Node::Framework(0)),
            _ => {}
        }
        run.pass(5 * MINUTE - wait - SECOND);
        run.holds(run.sim.serving() == 0, "nobody leads without a quorum");
        // Its own client has ended the session by its own clock; nobody could follow it.
        run.holds(!run.sim.is_suspended(), "the leader does not wait for longer than its session");
        assert_eq!((run.sim.leader(), untouched(&run.sim)), (leader, before.clone()));
        run.settle(3 * MINUTE);
        assert_ne!(
            run.sim.leader(),
            leader,
            "seed {}: another leadership, of this master or another",
            run.seed
        );
        run.pass(MINUTE);
        assert_eq!(untouched(&run.sim), before, "seed {}: nothing is launched again", run.seed);
        let lost = run.sim.books().map(|books| books.counters.agents_unreachable);
        assert_eq!(
            lost,
            Some(0),
            "seed {}: no agent counts as lost because masters could not write",
            run.seed
        );
    });
}

#[test]
fn scenario_5_session_expires_while_links_to_agents_are_fine() {
    each_seed(&keeping(), |run| {
        let before = untouched(&run.sim);
        let (former, machine) = (run.sim.leader(), run.sim.leading_machine().expect("somebody leads"));
        let time = SESSION + run.moment(MINUTE);
        run.sim.cut_from_ensemble(machine, time);
        let mut most = 0;
        run.until(MINUTE, "another leads", |sim| {
            most = most.max(sim.serving());
            sim.leader() != former
        });
        run.pass(time);
        run.holds(most <= 1 && run.sim.serving() == 1, "the former one steps down before the next one leads");
        run.settle(3 * MINUTE);
        assert_eq!(untouched(&run.sim), before, "seed {}: nobody is killed", run.seed);
    });
}

#[test]
fn scenario_6_leader_reaches_its_agents_and_not_the_ensemble() {
    let mut kept = 0;
    each_seed(&keeping(), |run| {
        let machine = run.sim.leading_machine().expect("somebody leads");
        let time = run.moment(2 * SESSION);
        let ahead = run.rng.once_in(2);
        if ahead {
            ask_for_quota(&mut run.sim);
        }
        run.sim.cut_from_ensemble(machine, time);
        if !ahead && !run.sim.is_suspended() {
            ask_for_quota(&mut run.sim);
        }
        run.pass(time / 2);
        let has = |sim: &Sim| sim.books().is_some_and(|books| books.quotas.contains_key(&role()));
        let is_first = run.sim.leader() == Some(0);
        run.holds(!has(&run.sim) || !is_first || time < SECOND, "nothing is in force that is not written");
        // Whoever leads then has it or has it not; what was answered is there, which the history says.
        run.pass(time);
        run.settle(3 * MINUTE);
        kept += usize::from(has(&run.sim));
    });
    assert!(kept > 0, "some writes are carried out in the end");
}

#[test]
fn scenario_32_no_space_in_the_registry() {
    each_seed(&keeping(), |run| {
        let before = untouched(&run.sim);
        let writes = run.sim.writes();
        let time = 10 * SECOND + run.moment(5 * MINUTE);
        run.sim.fill_registry(time);
        ask_for_quota(&mut run.sim);
        run.pass(time - 5 * SECOND);
        assert_eq!(run.sim.writes(), writes, "nothing is written, and so nothing is answered");
        run.holds(run.sim.serving() == 0, "who cannot write steps down");
        assert_eq!(untouched(&run.sim), before);
        run.pass(10 * SECOND);
        run.settle(3 * MINUTE);
        assert_eq!(untouched(&run.sim), before, "seed {}", run.seed);
        ask_for_quota(&mut run.sim);
        run.until(SECOND, "it writes again", |sim| {
            sim.books().is_some_and(|books| books.quotas.contains_key(&role()))
        });
    });
}

#[test]
fn scenario_34_registry_on_a_disk_that_syncs_in_two_seconds() {
    each_seed(&Plan::quiet(1, MACHINE, vec![Manner::Keeper { tasks: 2 }]), |run| {
        run.sim.slow_registry(2 * SECOND);
        let former = run.sim.leader();
        let agent = run.sim.add_agent(MACHINE);
        ask_for_quota(&mut run.sim);
        let stalls = run.rng.once_in(2);
        if stalls {
            // Once it takes longer than a session: another leads, and never two at a time.
            let machine = run.sim.leading_machine().expect("somebody leads");
            run.sim.cut_from_ensemble(machine, SESSION + 3 * SECOND);
        }
        let mut most = 0;
        run.until(3 * MINUTE, "the new agent is registered", |sim| {
            most = most.max(sim.serving());
            sim.unsettled().is_empty() && sim.agent_id(agent).is_some()
        });
        run.pass(SESSION);
        run.holds(most <= 1, "one master serves at a time");
        assert_eq!(run.sim.leader() != former, stalls, "seed {}", run.seed);
        assert_eq!(run.sim.launches(), 2);
    });
}

#[test]
fn scenario_36_wall_clocks_jump_a_day_ahead_and_an_hour_back() {
    each_seed(&keeping(), |run| {
        let before = untouched(&run.sim);
        let leader = run.sim.leader().expect("somebody leads");
        let nodes = [Node::Master(leader), Node::Agent(0), Node::Agent(1), Node::Framework(0)];
        for _ in 0..2 {
            let node = nodes[run.rng.place(nodes.len())];
            let seconds = if run.rng.once_in(2) { 24 * 3_600 } else { -3_600 };
            run.sim.set_clock(node, seconds);
            let wait = run.moment(30 * SECOND);
            run.pass(wait);
        }
        assert_eq!(run.sim.leader(), Some(leader), "no session ends by the wall clock");
        let lost = run.sim.books().map(|books| books.counters.agents_unreachable);
        assert_eq!((lost, untouched(&run.sim)), (Some(0), before.clone()));
        run.sim.crash_leader(SECOND);
        run.settle(3 * MINUTE);
        run.pass(if run.seed % 20 == 1 { 11 * MINUTE } else { SECOND });
        assert_eq!(untouched(&run.sim), before, "seed {}: nor does the next leader count by it", run.seed);
    });
}
