//! A drain that is not done says what it waits for.

use std::time::Duration;

use chapada_master_core::{AgentCall, Away, Call, DrainOrder, DrainWait};
use chapada_model::{AgentId, FrameworkDescription, FrameworkId, TaskKey, TaskState};

use crate::tasks::running;
use crate::world::{World, framework};

fn drain(world: &mut World, notice: Option<Duration>) -> AgentId {
    let agent = world.agent_id(0);
    let order = DrainOrder { notice, ..DrainOrder::default() };
    world.agent_call(AgentCall::Drain { agent: agent.clone(), order }).expect("taken");
    agent
}

fn waits(world: &World, agent: &AgentId) -> Vec<DrainWait> {
    world.books().drain_waits([agent].into()).remove(agent).unwrap_or_default()
}

fn said(world: &World, agent: &AgentId) -> Vec<String> {
    waits(world, agent).iter().map(ToString::to_string).collect()
}

fn acknowledge(world: &mut World, framework: &FrameworkId, key: &TaskKey) {
    let task = world.books().tasks[key].clone();
    for uuid in task.unacknowledged.clone() {
        let call = Call::Acknowledge { agent: task.agent.clone(), task: key.task.clone(), uuid };
        world.call(framework, call).expect("accepted");
    }
}

#[test]
fn a_drain_names_the_notice_then_the_tasks_then_who_has_not_acknowledged() {
    let (mut world, id, stream, key) = running();
    let agent = drain(&mut world, Some(Duration::from_secs(60)));
    assert_eq!(waits(&world, &agent), [DrainWait::Notice(1)]);
    world.pass(Duration::from_secs(61));
    assert_eq!(waits(&world, &agent), [DrainWait::Tasks(1)]);
    world.update(0, &key, TaskState::Killed);
    let wait = |is_subscribed| DrainWait::Acknowledgements {
        framework: id.clone(),
        name: Some("f".into()),
        is_subscribed,
        tasks: 1,
    };
    assert_eq!(waits(&world, &agent), [wait(true)]);
    assert_eq!(said(&world, &agent), [format!("1 ended task not acknowledged by framework {id} (f)")]);
    world.close(&stream);
    assert_eq!(waits(&world, &agent), [wait(false)]);
    assert!(said(&world, &agent)[0].ends_with("which is not subscribed: until it is back, or is removed"));
    world.subscribe(FrameworkDescription { id: Some(id.clone()), ..framework("f", &["*"]) });
    world.records_at_once = false;
    acknowledge(&mut world, &id, &key);
    assert_eq!(waits(&world, &agent), [DrainWait::Record]);
    world.record_all();
    assert_eq!(waits(&world, &agent), [], "it is drained");
}

#[test]
fn a_silent_agent_is_named_before_what_is_known_to_be_left() {
    let (mut world, _, _, _) = running();
    let agent = drain(&mut world, None);
    world.break_link(0);
    assert_eq!(waits(&world, &agent), [DrainWait::Away(Away::Disconnected), DrainWait::Tasks(1)]);
    assert!(said(&world, &agent)[0].contains("not connected"));
    world.pass(Duration::from_secs(100));
    assert_eq!(waits(&world, &agent)[0], DrainWait::Away(Away::Unreachable));
    assert!(said(&world, &agent)[0].contains("unreachable: it is drained when it comes back"));
    world.connect(0);
    assert_eq!(waits(&world, &agent), [DrainWait::Tasks(1)]);
    world.fail_over();
    assert_eq!(waits(&world, &agent), [DrainWait::Away(Away::Recovering)], "nobody knows what it holds");
}

#[test]
fn only_agents_that_drain_wait_for_something() {
    let (mut world, _, _, key) = running();
    let agent = world.agent_id(0);
    let nobody = AgentId::new("nobody").expect("valid");
    assert!(world.books().drain_waits([&agent, &nobody].into()).is_empty());
    drain(&mut world, None);
    assert!(world.books().tasks.contains_key(&key) && waits(&world, &agent) == [DrainWait::Tasks(1)]);
    world.agent_call(AgentCall::MarkGone { agent: agent.clone() }).expect("taken");
    assert_eq!(waits(&world, &agent), [], "it is gone, and drained no longer");
}
