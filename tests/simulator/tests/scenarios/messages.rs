//! Updates, launches and kills that come late, twice, or not at all.

use chapada_master_core::Call;
use chapada_model::TaskState;
use chapada_simulator::{Manner, Node, Sim};

use crate::{HOUR, MINUTE, SECOND, cluster, pass, until};

/// A scripted framework with a task that runs.
fn running() -> Sim {
    let mut sim = cluster(1, vec![Manner::Scripted]);
    assert!(sim.launch_task(0, "t", "cpus:1;mem:64"));
    until(&mut sim, MINUTE, "its task runs", |sim| {
        sim.heard(0, "t").updates.last().is_some_and(|(_, state)| *state == TaskState::Running)
    });
    sim
}

fn leader(sim: &Sim) -> Node {
    Node::Master(sim.leader().expect("someone leads"))
}

fn kill(task: &str) -> Call {
    Call::Kill { task: task.parse().expect("a valid id"), agent: None, policy: None }
}

#[test]
fn scenario_19_updates_repeated_for_an_hour_and_acknowledged_twice() {
    let mut sim = running();
    sim.crash_leader(5 * SECOND);
    pass(&mut sim, HOUR);
    let heard = sim.heard(0, "t");
    assert!(heard.states.len() > heard.updates.len() + 3, "repeated until acknowledged: {heard:?}");
    let states: Vec<TaskState> = heard.updates.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [TaskState::Starting, TaskState::Running], "in order, each new once");
    sim.acknowledge_all(0, "t");
    sim.acknowledge_all(0, "t");
    pass(&mut sim, SECOND);
    let count = sim.heard(0, "t").states.len();
    pass(&mut sim, HOUR);
    assert_eq!(sim.heard(0, "t").states.len(), count, "acknowledged, and so not repeated");
    sim.exit_task("t", 0);
    pass(&mut sim, SECOND);
    assert_eq!(sim.heard(0, "t").ended, Some(TaskState::Finished));
    sim.acknowledge_all(0, "t");
    sim.acknowledge_all(0, "t");
    pass(&mut sim, HOUR);
    assert_eq!(sim.heard(0, "t").states.len(), count + 1);
    assert_eq!(sim.unsettled(), Vec::<String>::new());
}

#[test]
fn scenario_20_update_lost_between_agent_and_master_for_an_hour() {
    let mut sim = running();
    sim.acknowledge_all(0, "t");
    pass(&mut sim, SECOND);
    let log = sim.log_length(0);
    let to = leader(&sim);
    sim.partition(Node::Agent(0), to, false, HOUR);
    sim.exit_task("t", 3);
    pass(&mut sim, HOUR);
    assert_eq!(sim.heard(0, "t").ended, None);
    assert_eq!(sim.heard(0, "t").states.last(), Some(&TaskState::Unreachable), "said once, not flapping");
    let unreachable =
        sim.heard(0, "t").states.iter().filter(|state| **state == TaskState::Unreachable).count();
    assert_eq!(unreachable, 1);
    assert!(sim.log_length(0) <= log + 5, "the log does not grow while nobody listens");
    until(&mut sim, MINUTE, "the end is heard", |sim| sim.heard(0, "t").ended == Some(TaskState::Failed));
}

#[test]
fn scenario_21_launch_message_lost() {
    let mut sim = cluster(1, vec![Manner::Scripted]);
    let from = leader(&sim);
    sim.partition(from, Node::Agent(0), false, 40 * SECOND);
    assert!(sim.launch_task(0, "t", "cpus:1;mem:64"));
    until(&mut sim, 2 * MINUTE, "the framework hears that it was not started", |sim| {
        sim.heard(0, "t").states.contains(&TaskState::Dropped)
    });
    assert!(sim.running(0).is_empty());
    until(&mut sim, MINUTE, "what it was to hold is free", |sim| sim.unsettled().is_empty());
}

#[test]
fn scenario_21_launch_message_lost_and_launched_again_by_the_sdk() {
    let mut sim = cluster(2, vec![]);
    let from = leader(&sim);
    for agent in [0, 1] {
        sim.partition(from, Node::Agent(agent), false, 40 * SECOND);
    }
    // That no thing is launched while its former launch may live is checked at every launch.
    let keeper = sim.add_framework(Manner::Keeper { tasks: 6 });
    until(&mut sim, 3 * MINUTE, "all run", |sim| sim.kept(keeper) == 6 && sim.unsettled().is_empty());
    assert_eq!(sim.running(keeper).len(), 6);
}

#[test]
fn scenario_22_kill_message_lost() {
    let mut sim = running();
    let from = leader(&sim);
    sim.partition(from, Node::Agent(0), false, 40 * SECOND);
    sim.framework_calls(0, kill("t"));
    pass(&mut sim, 10 * SECOND);
    assert_eq!(sim.running(0), ["t"], "the kill is lost");
    until(&mut sim, 2 * MINUTE, "it is killed when the agent is back", |sim| {
        sim.heard(0, "t").ended == Some(TaskState::Killed)
    });
    assert!(sim.running(0).is_empty());
}

#[test]
fn scenario_22_kill_overtakes_the_launch_on_another_connection() {
    for late in [1, 30, 200, 1_000, 4_900] {
        let mut sim = cluster(1, vec![Manner::Scripted]);
        let launch = sim.accept_of(0, "t", "cpus:1;mem:64").expect("it has an offer");
        sim.calls_swap(0, launch, kill("t"), late * SECOND / 1_000);
        let killed = |sim: &mut Sim| sim.heard(0, "t").states.last() == Some(&TaskState::Killed);
        until(&mut sim, 10 * SECOND, "it is killed", killed);
        assert_eq!(sim.launches(), 0, "it never began");
        assert_eq!(sim.heard(0, "t").states, [TaskState::Unknown, TaskState::Killed]);
        until(&mut sim, 10 * SECOND, "what it was to use is offered again", |sim| !sim.offers(0).is_empty());
    }
}

#[test]
fn scenario_22_kill_comes_while_the_task_is_on_its_way() {
    for wait in 0..40 {
        let mut sim = cluster(1, vec![Manner::Scripted]);
        assert!(sim.launch_task(0, "t", "cpus:1;mem:64"));
        pass(&mut sim, 4 * SECOND / 1_000 + wait * SECOND / 100);
        sim.framework_calls(0, kill("t"));
        until(&mut sim, 10 * SECOND, "it ends", |sim| sim.heard(0, "t").ended == Some(TaskState::Killed));
        assert!(sim.running(0).is_empty());
    }
}
