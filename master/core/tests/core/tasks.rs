//! Updates, acknowledgements, kills, reconciliation.

use std::time::Duration;

use chapada_master_core::{Accept, AgentCommand, Call, Event, Operation, Proposal, StreamId, TaskPhase};
use chapada_model::{
    AgentId, Filters, FrameworkDescription, FrameworkId, KillPolicy, Milli, Reason, TaskId, TaskKey,
    TaskState,
};

use crate::world::{World, command_task, framework};

/// One agent with one running task of one framework.
pub(crate) fn running() -> (World, FrameworkId, StreamId, TaskKey) {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024");
    let (framework, stream) = world.framework(framework("f", &["*"]));
    world.settle();
    let key = launch(&mut world, &framework, "t", "cpus:0.5;mem:100");
    world.update(0, &key, TaskState::Running);
    (world, framework, stream, key)
}

/// Launches a task on the agent of the framework's first offer.
pub(crate) fn launch(world: &mut World, framework: &FrameworkId, id: &str, resources: &str) -> TaskKey {
    let offer = world.offers(framework)[0].clone();
    let agent = world.books().offers[&offer].agent.clone();
    launch_at(world, framework, &agent, id, resources)
}

/// Launches a task on an agent that the framework is offered.
fn launch_at(
    world: &mut World,
    framework: &FrameworkId,
    agent: &AgentId,
    id: &str,
    resources: &str,
) -> TaskKey {
    let offers = world.books().offers.clone();
    let offer = world.offers(framework).into_iter().find(|offer| offers[offer].agent == *agent);
    let (offer, agent) = (offer.expect("it is offered"), agent.clone());
    let task = command_task(id, &agent, resources);
    let key = TaskKey { framework: framework.clone(), task: task.id.clone() };
    let operations = vec![Operation::Launch { tasks: vec![Proposal::Valid(Box::new(task))] }];
    let accept = Accept { offers: vec![offer], operations, filters: Filters { refuse: Duration::ZERO } };
    world.call(framework, Call::Accept(accept)).expect("accepted");
    key
}

pub(crate) fn acknowledge(world: &mut World, key: &TaskKey) {
    let task = world.books().tasks[key].clone();
    let uuid = *task.unacknowledged.front().expect("an update is open");
    let call = Call::Acknowledge { agent: task.agent.clone(), task: key.task.clone(), uuid };
    world.call(&key.framework, call).expect("accepted");
}

#[test]
fn resources_are_free_at_the_end_and_the_record_stays_until_acknowledged() {
    let (mut world, id, stream, key) = running();
    acknowledge(&mut world, &key);
    world.update(0, &key, TaskState::Finished);
    let task = world.books().tasks[&key].clone();
    assert_eq!(
        (task.phase, task.state, task.unacknowledged.len()),
        (TaskPhase::Ended, TaskState::Finished, 1)
    );
    assert_eq!(world.books().agents[&world.agent_id(0)].used.cpus(), Milli(0));
    let states: Vec<TaskState> = world.take_updates(&stream).iter().map(|status| status.state).collect();
    assert_eq!(states, [TaskState::Running, TaskState::Finished]);
    acknowledge(&mut world, &key);
    assert!(!world.books().tasks.contains_key(&key));
    assert!(world.agents[0].tasks.is_empty());
    assert_eq!(world.books().completed_tasks[&id].len(), 1);
}

#[test]
fn what_another_agent_says_of_a_task_changes_nothing() {
    let (mut world, id, stream, key) = running();
    world.add_agent("cpus:1;mem:64");
    world.settle();
    world.take(&stream);
    let counts = |world: &World| {
        let books = world.books();
        (books.counters.invalid_updates, books.counters.valid_updates)
    };
    let (invalid, valid) = counts(&world);
    let say = |world: &mut World| {
        let (link, agent) = (world.agents[1].link.expect("linked"), world.agent_id(1));
        let status = chapada_model::TaskStatus::new(key.task.clone(), TaskState::Failed);
        let (framework, latest) = (id.clone(), TaskState::Failed);
        world.apply(Event::Update { link, agent, framework, status, latest });
        assert!(world.books().tasks[&key].is_live());
    };
    say(&mut world);
    assert_eq!(world.take(&stream), [], "its framework does not hear of it");
    assert_eq!(counts(&world), (invalid + 1, valid));
    world.call(&id, Call::Teardown).expect("accepted");
    say(&mut world);
    assert_eq!(counts(&world), (invalid + 2, valid));
}

#[test]
fn who_says_something_of_a_task_elsewhere_and_waits_for_an_answer_is_answered() {
    let (mut world, id, stream, key) = running();
    world.add_agent("cpus:1;mem:64");
    world.take(&stream);
    let (link, agent) = (world.agents[1].link.expect("linked"), world.agent_id(1));
    let uuid = Some(chapada_model::UpdateUuid([7; 16]));
    let status = chapada_model::TaskStatus {
        uuid,
        ..chapada_model::TaskStatus::new(key.task.clone(), TaskState::Failed)
    };
    world.apply(Event::Update { link, agent, framework: id, status, latest: TaskState::Failed });
    let is_answer = |command: &AgentCommand| matches!(command, AgentCommand::Acknowledge { task, .. } if *task == key.task);
    assert!(world.agents[1].commands.iter().any(is_answer), "so that it does not say it for ever");
    assert_eq!(world.take_updates(&stream), []);
}

#[test]
fn what_an_agent_repeats_of_a_former_task_and_what_it_says_of_an_unknown_one_still_arrives() {
    let (mut world, id, stream, key) = running();
    world.update(0, &key, TaskState::Finished);
    let uuid = world.take_updates(&stream).last().and_then(|status| status.uuid).expect("to be acknowledged");
    let agent = world.agent_id(0);
    let call = Call::Acknowledge { agent: agent.clone(), task: key.task.clone(), uuid };
    world.call(&id, call).expect("accepted");
    let link = world.agents[0].link.expect("linked");
    let say = |world: &mut World, task: &TaskId| {
        let status = chapada_model::TaskStatus::new(task.clone(), TaskState::Finished);
        let (agent, framework, latest) = (agent.clone(), id.clone(), TaskState::Finished);
        world.apply(Event::Update { link, agent, framework, status, latest });
        world.take_updates(&stream).len()
    };
    assert_eq!(say(&mut world, &TaskId::new("nobody-s").expect("valid")), 1, "known on no agent");
    world.add_agent("cpus:4;mem:4096");
    world.settle();
    let elsewhere = world.agent_id(1);
    launch_at(&mut world, &id, &elsewhere, key.task.as_str(), "cpus:1;mem:32");
    assert_eq!(world.books().tasks[&key].agent, elsewhere);
    assert_eq!(say(&mut world, &key.task), 1, "it ran one of that name");
    assert!(world.books().tasks[&key].is_live());
}

#[test]
fn an_end_that_has_no_name_needs_no_acknowledgement() {
    let (mut world, id, _, key) = running();
    let (link, agent) = (world.agents[0].link.expect("linked"), world.agent_id(0));
    let status = chapada_model::TaskStatus::new(key.task.clone(), TaskState::Dropped);
    world.apply(Event::Update { link, agent, framework: id.clone(), status, latest: TaskState::Dropped });
    assert!(world.books().tasks.is_empty());
    assert_eq!(world.books().completed_tasks[&id].len(), 1);
}

#[test]
fn a_kill_reaches_the_agent_also_when_it_was_away() {
    let (mut world, id, _, key) = running();
    let kill = || Call::Kill { task: TaskId::new("t").expect("valid"), agent: None, policy: None };
    world.call(&id, kill()).expect("accepted");
    assert_eq!(world.agents[0].tasks[&key].kills, 1);
    world.break_link(0);
    world.call(&id, kill()).expect("accepted");
    world.connect(0);
    assert_eq!(world.agents[0].tasks[&key].kills, 2);
}

#[test]
fn the_last_kill_says_how_gently_also_to_an_agent_that_was_away() {
    let (mut world, id, _, key) = running();
    let policy = |seconds| Some(KillPolicy { grace_period: Some(Duration::from_secs(seconds)) });
    let kill = |world: &mut World, policy| {
        world.call(&id, Call::Kill { task: key.task.clone(), agent: None, policy }).expect("accepted");
    };
    let said = |world: &World| {
        let kills = world.agents[0].commands.iter().filter_map(|command| match command {
            AgentCommand::Kill { policy, .. } => Some(*policy),
            _ => None,
        });
        kills.collect::<Vec<_>>()
    };
    kill(&mut world, policy(60));
    assert_eq!(said(&world), [policy(60)]);
    world.break_link(0);
    kill(&mut world, policy(5));
    world.connect(0);
    assert_eq!(said(&world), [policy(60), policy(5)]);
}

#[test]
fn reconciliation_answers_what_it_knows() {
    let (mut world, id, stream, key) = running();
    world.take(&stream);
    let task = |name: &str| TaskId::new(name).expect("valid");
    let tasks = vec![
        (key.task.clone(), None),
        (task("gone"), Some(world.agent_id(0))),
        (task("unknown"), None),
        (task("elsewhere"), Some(AgentId::new("x").expect("valid"))),
    ];
    world.call(&id, Call::Reconcile { tasks }).expect("accepted");
    let answers = world.take_updates(&stream);
    let states: Vec<TaskState> = answers.iter().map(|status| status.state).collect();
    assert_eq!(states, [TaskState::Running, TaskState::Gone, TaskState::Unknown, TaskState::Unknown]);
    assert!(
        answers.iter().all(|status| status.uuid.is_none() && status.reason == Some(Reason::Reconciliation))
    );
    world.call(&id, Call::Reconcile { tasks: vec![] }).expect("accepted");
    assert_eq!(world.take_updates(&stream).len(), 1);
    let kill = Call::Kill { task: task("nope"), agent: None, policy: None };
    world.call(&id, kill).expect("accepted");
    assert_eq!(
        world.take_updates(&stream)[0].state,
        TaskState::Unknown,
        "killing the unknown is asking for it"
    );
}

#[test]
fn reconciliation_is_silent_while_an_agent_may_still_return() {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.fail_over();
    let stream = world.subscribe(description);
    world.take(&stream);
    let ask = |key: &TaskKey| Call::Reconcile { tasks: vec![(key.task.clone(), None)] };
    world.call(&id, ask(&key)).expect("accepted");
    assert!(world.take(&stream).is_empty());
    world.connect(0);
    world.call(&id, ask(&key)).expect("accepted");
    assert_eq!(world.take_updates(&stream).last().expect("an answer").state, TaskState::Running);
}

#[test]
fn nothing_is_said_of_an_agent_that_may_be_ahead_of_the_registry() {
    let (mut world, id, _, _) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    let ask = |task: &str, agent: &str| Call::Reconcile {
        tasks: vec![(task.parse().expect("valid"), Some(agent.parse().expect("valid")))],
    };
    world.fail_over();
    world.connect(0);
    let stream = world.subscribe(description);
    world.take(&stream);
    world.call(&id, ask("other", "m1-S7")).expect("accepted");
    assert!(world.take(&stream).is_empty(), "the registry may be an older one that was put back");
    world.pass(Duration::from_secs(601));
    world.call(&id, ask("other", "m1-S7")).expect("accepted");
    assert_eq!(world.take_updates(&stream).last().expect("an answer").state, TaskState::Unknown);
}

#[test]
fn an_update_that_was_made_while_nobody_listened_comes_first_on_return() {
    let (mut world, id, stream, key) = running();
    acknowledge(&mut world, &key);
    let description = (*world.books().frameworks[&id].description).clone();
    world.close(&stream);
    world.update(0, &key, TaskState::Failed);
    let stream = world.subscribe(description);
    let updates = world.take_updates(&stream);
    assert_eq!(updates.iter().map(|status| status.state).collect::<Vec<_>>(), [TaskState::Failed]);
    acknowledge(&mut world, &key);
    assert!(world.agents[0].tasks.is_empty());
}

#[test]
fn a_message_goes_to_the_agent_or_nowhere() {
    let (mut world, id, _, _) = running();
    let executor = chapada_model::ExecutorId::new("e").expect("valid");
    let data = chapada_model::Payload::from(vec![1, 2]);
    let message =
        || Call::Message { agent: world.agent_id(0), executor: executor.clone(), data: data.clone() };
    let (first, second) = (message(), message());
    world.call(&id, first).expect("accepted");
    assert!(matches!(world.agents[0].commands.last(), Some(AgentCommand::ExecutorMessage { .. })));
    world.break_link(0);
    let dropped = world.dropped.len();
    world.call(&id, second).expect("accepted, best effort");
    assert_eq!(world.dropped.len(), dropped + 1);
}

#[test]
fn a_framework_that_comes_after_its_agent_hears_updates_in_order() {
    let (mut world, id, stream, key) = running();
    world.update(0, &key, TaskState::Failed);
    let said = world.take_updates(&stream);
    world.fail_over();
    world.connect(0);
    world.records_at_once = true;
    let (link, agent) = (world.agents[0].link.expect("connected"), world.agent_id(0));
    for (status, come) in said.iter().zip(1..) {
        let status = (**status).clone();
        let (agent, framework) = (agent.clone(), id.clone());
        world.apply(Event::Update { link, agent, framework, status, latest: TaskState::Failed });
        let mut returned = framework_again(&world, &id);
        returned.id = Some(id.clone());
        let stream = world.subscribe(returned);
        let heard: Vec<TaskState> = world.take_updates(&stream).iter().map(|s| s.state).collect();
        let expected: Vec<TaskState> = said.iter().take(come).map(|s| s.state).collect();
        assert_eq!(heard, expected, "after {come} came again");
    }
}

fn framework_again(world: &World, id: &FrameworkId) -> chapada_model::FrameworkDescription {
    (*world.books().frameworks[id].description).clone()
}

/// So many tasks of one framework on an agent that it is offered, in one call.
fn launch_many(world: &mut World, id: &FrameworkId, agent: &AgentId, count: usize) {
    let offers = world.books().offers.clone();
    let offer = world.offers(id).into_iter().find(|offer| offers[offer].agent == *agent).expect("is offered");
    let name = |at| format!("{}-{at}", agent.as_str());
    let tasks = (0..count).map(|at| Proposal::Valid(Box::new(command_task(&name(at), agent, "cpus:0.1"))));
    let operations = vec![Operation::Launch { tasks: tasks.collect() }];
    let accept = Accept { offers: vec![offer], operations, filters: Filters { refuse: Duration::ZERO } };
    world.call(id, Call::Accept(accept)).expect("accepted");
}

#[test]
fn of_too_many_tasks_out_of_reach_those_that_are_so_for_longest_are_forgotten() {
    let mut world = World::new();
    let agents = [world.add_agent("cpus:100;mem:1024"), world.add_agent("cpus:100;mem:1024")];
    let (id, _) = world.framework(FrameworkDescription {
        failover_timeout: Duration::from_secs(3_600),
        ..framework("f", &["*"])
    });
    world.settle();
    let most = chapada_master_core::MAX_UNREACHABLE_TASKS;
    for agent in agents {
        let agent = world.agent_id(agent);
        launch_many(&mut world, &id, &agent, most * 6 / 10);
    }
    let unreachable = |world: &World, agent: usize| {
        let (books, agent) = (world.books(), world.agent_id(agent));
        let is_such = |task: &&std::sync::Arc<chapada_master_core::Task>| {
            task.phase == TaskPhase::Unreachable && task.agent == agent
        };
        books.tasks.values().filter(is_such).count()
    };
    for agent in agents {
        world.break_link(agent);
        world.pass(Duration::from_secs(76));
    }
    assert_eq!(agents.map(|agent| unreachable(&world, agent)), [most * 4 / 10, most * 6 / 10]);
    for agent in agents {
        world.connect(agent);
        assert_eq!(unreachable(&world, agent), 0);
    }
    assert_eq!(world.books().tasks.len(), most * 12 / 10, "all are back");
}
