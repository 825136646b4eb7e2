//! What brought a Mesos master down, or made it say what was not so, each by the number of its ticket (`tests/README.md` has
//! all of them).

use std::time::Duration;

use chapada_master_core::{
    Accept, AgentState, Call, Change, Event, Operation, SchedulerEvent, StreamId, TaskPhase,
};
use chapada_model::{
    ExecutorId, ExecutorKey, Filters, FrameworkCapability, FrameworkDescription, FrameworkId, Milli,
    OperationId, OperationState, Payload, Reservation, ReservationKind, Resource, Resources, Role, TaskKey,
    TaskState, UpdateUuid,
};

use crate::tasks::{launch, running};
use crate::world::{World, framework};

/// Longer than an agent may be silent.
const AWAY: Duration = Duration::from_secs(80);
/// Longer than a framework of these tests may be away.
const FORGOTTEN: Duration = Duration::from_secs(120);

fn description(world: &World, id: &FrameworkId) -> FrameworkDescription {
    (*world.books().frameworks[id].description).clone()
}

/// What a framework is told of one task, when it asks.
fn asked(world: &mut World, id: &FrameworkId, stream: &StreamId, key: &TaskKey) -> Vec<TaskState> {
    world.take(stream);
    let agent = world.books().tasks.get(key).map(|task| task.agent.clone());
    world.call(id, Call::Reconcile { tasks: vec![(key.task.clone(), agent)] }).expect("accepted");
    world.take_updates(stream).iter().map(|status| status.state).collect()
}

/// The master looked up the agent of an operation that it had removed.
#[test]
fn ticket_10011_feedback_on_an_operation_whose_agent_is_stale() {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024;disk:100");
    let mut description = framework("f", &["ops"]);
    description.capabilities.insert(FrameworkCapability::ReservationRefinement);
    let (id, stream) = world.framework(description);
    world.settle();
    let (role, kind) = (Role::new("ops").expect("valid"), ReservationKind::Dynamic);
    let mut disk = Resource::scalar("disk", Milli::whole(50));
    disk.reservations.push(Reservation { kind, role, principal: None, labels: Vec::new() });
    let resources = Resources::from_list([disk]).expect("one");
    let change = Change::Reserve { source: Resources::EMPTY, resources };
    let operation = OperationId::new("o").expect("valid");
    let operations = vec![Operation::Change { id: Some(operation.clone()), change }];
    let accept =
        Accept { offers: world.offers(&id), operations, filters: Filters { refuse: Duration::ZERO } };
    world.call(&id, Call::Accept(accept)).expect("accepted");
    let (agent, link) = (world.agent_id(0), world.agents[0].link.expect("linked"));
    let status = world.agents[0].operations[0].clone();
    // Of an update that nobody has sent: the true one would end the matter.
    let uuid = UpdateUuid([0; 16]);

    world.break_link(0);
    world.pass(AWAY);
    assert!(matches!(world.books().agents[&agent].state, AgentState::Unreachable { .. }));
    let feedback = |world: &mut World| {
        let (operation, at) = (operation.clone(), agent.clone());
        let known = vec![(operation.clone(), Some(at.clone())), (operation.clone(), None)];
        world.call(&id, Call::AcknowledgeOperation { agent: at, operation, uuid }).expect("accepted");
        world.call(&id, Call::ReconcileOperations { operations: known }).expect("accepted");
        // Of a link that is long gone.
        world.apply(Event::OperationUpdate { link, agent: agent.clone(), status: status.clone() });
    };
    feedback(&mut world);
    world.fail_over();
    let stream_again = world.subscribe(self::description(&world, &id));
    assert_ne!(stream, stream_again);
    feedback(&mut world);
    world.connect(0);
    feedback(&mut world);
    let events = world.take(&stream_again);
    let finished = |event: &SchedulerEvent| matches!(event, SchedulerEvent::UpdateOperation(s) if s.state == OperationState::Finished);
    assert!(events.iter().any(finished), "it is told in the end: {events:?}");
}

/// A role that came and was suppressed in one call was unknown to the allocator.
#[test]
fn ticket_9870_a_role_that_is_added_and_suppressed_at_once() {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024");
    let (id, stream) = world.framework(framework("f", &["a"]));
    let with = |roles: &[&str]| FrameworkDescription { id: Some(id.clone()), ..framework("f", roles) };
    let role = |name: &str| Role::new(name).expect("valid");
    let update = |world: &mut World, roles: &[&str], suppressed: &[&str]| {
        let (description, suppressed) = (with(roles), suppressed.iter().map(|name| role(name)).collect());
        let call = Call::UpdateFramework { description, suppressed, constraints: Default::default() };
        world.call(&id, call).expect("accepted");
        world.settle();
    };
    update(&mut world, &["b"], &["b"]);
    assert!(world.offers(&id).is_empty(), "it is suppressed");
    world.close(&stream);
    let stream = StreamId("again".into());
    world.streams.insert(stream.clone(), Some(id.clone()));
    let (framework, suppressed) = (with(&["b", "c/d"]), vec![role("b"), role("c/d")]);
    world.apply(Event::Subscribe { stream, framework, suppressed, constraints: Default::default() });
    world.settle();
    assert!(world.offers(&id).is_empty(), "both are suppressed");
    world.call(&id, Call::Revive { roles: vec![role("c/d")] }).expect("accepted");
    world.settle();
    assert_eq!(world.offers(&id).len(), 1);
}

/// A message and the end of an executor whose framework or agent the master does not know any more, or not yet.
#[test]
fn ticket_9419_stale_messages_of_executors_after_a_failover() {
    let (mut world, id, _, key) = running();
    let agent = world.agent_id(0);
    let say = |world: &mut World, framework: &FrameworkId| {
        let executor = ExecutorId::new(key.task.as_str()).expect("valid");
        let executor = ExecutorKey { framework: framework.clone(), executor };
        let (data, from) = (Payload::from(vec![1]), agent.clone());
        world.apply(Event::ExecutorMessage { agent: from.clone(), executor: executor.clone(), data });
        world.apply(Event::ExecutorGone { agent: from, executor, status: 9 });
    };
    let nobody = FrameworkId::new("nobody").expect("valid");
    world.fail_over();
    say(&mut world, &id);
    world.connect(0);
    say(&mut world, &id);
    say(&mut world, &nobody);
    world.pass(FORGOTTEN);
    assert!(!world.books().frameworks.contains_key(&id), "it did not come back in time");
    say(&mut world, &id);
}

/// A framework without time to come back crashes again and again, with offers and tasks; the others notice nothing.
#[test]
fn ticket_8623_a_framework_that_crashes_does_not_take_the_cluster_along() {
    let mut world = World::new();
    world.add_agent("cpus:4;mem:4096");
    let (honest, _) = world.framework(framework("honest", &["a"]));
    world.settle();
    let key = launch(&mut world, &honest, "t", "cpus:0.5;mem:100");
    world.update(0, &key, TaskState::Running);
    for round in 0..20 {
        world.settle();
        let (offers, filters) = (world.offers(&honest), Filters { refuse: Duration::from_secs(1) });
        world.call(&honest, Call::Decline { offers, filters }).expect("accepted");
        let mut crashing = framework("crashing", &["b"]);
        crashing.failover_timeout = Duration::ZERO;
        let (id, stream) = world.framework(crashing);
        world.settle();
        let its = launch(&mut world, &id, "c", "cpus:0.1;mem:32");
        world.settle();
        world.close(&stream);
        assert!(!world.books().frameworks.contains_key(&id), "round {round}");
        // Its agent comes back with what ran for it.
        world.break_link(0);
        world.connect(0);
        world.update(0, &its, TaskState::Killed);
        world.pass(Duration::from_secs(2));
    }
    assert_eq!(world.books().tasks[&key].state, TaskState::Running);
    world.settle();
    assert_eq!(world.offers(&honest).len(), 1, "it is offered what is left");
}

/// Cut off and given up by the master, the agent kept its task; its framework had started another in its place.
#[test]
fn ticket_10018_an_agent_that_was_given_up_returns_and_no_task_is_there_twice() {
    let (mut world, id, stream, key) = running();
    world.add_agent("cpus:2;mem:1024");
    world.break_link(0);
    world.pass(AWAY);
    assert_eq!(asked(&mut world, &id, &stream, &key), [TaskState::Unreachable]);
    world.settle();
    let offers = world.offers(&id);
    assert!(!offers.is_empty(), "the other agent is offered");
    let replaced = launch(&mut world, &id, "t-2", "cpus:0.5;mem:100");
    world.update(1, &replaced, TaskState::Running);
    world.connect(0);
    // The framework hears that the first runs again, and decides which is to end: nothing is killed behind its back.
    assert_eq!(world.books().tasks[&key].state, TaskState::Running);
    assert_eq!(world.take_updates(&stream).last().map(|status| status.state), Some(TaskState::Running));
    world.call(&id, Call::Kill { task: key.task.clone(), agent: None, policy: None }).expect("accepted");
    assert_eq!(world.agents[0].tasks[&key].kills, 1);
    world.update(0, &key, TaskState::Killed);
    let live: Vec<TaskKey> = world.books().tasks.values().filter(|t| t.is_live()).map(|t| t.key()).collect();
    assert_eq!(live, [replaced]);
}

/// A framework that asks while the end of its task waits to be acknowledged hears that end, not LOST.
#[test]
fn ticket_1389_reconciliation_does_not_say_lost_before_the_end() {
    let (mut world, id, stream, key) = running();
    world.update(0, &key, TaskState::Finished);
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Ended);
    assert_eq!(asked(&mut world, &id, &stream, &key), [TaskState::Finished]);
    world.take(&stream);
    world.call(&id, Call::Reconcile { tasks: Vec::new() }).expect("accepted");
    let lost = |states: &[TaskState]| {
        states.iter().any(|s| matches!(s, TaskState::Lost | TaskState::Unknown | TaskState::Gone))
    };
    let all: Vec<TaskState> = world.take_updates(&stream).iter().map(|status| status.state).collect();
    assert!(!lost(&all), "{all:?}");
    // The same of a new leader that has not heard the agent yet, and of one that has.
    let description = description(&world, &id);
    world.fail_over();
    let stream = world.subscribe(description);
    assert_eq!(asked(&mut world, &id, &stream, &key), []);
    world.connect(0);
    let heard = asked(&mut world, &id, &stream, &key);
    assert_eq!(heard, [TaskState::Finished]);
}

/// A new leader knew nothing of agents that had become unreachable under the old one, and called their tasks unknown.
#[test]
fn ticket_6445_an_unreachable_agent_is_unreachable_after_a_failover() {
    let (mut world, id, _, key) = running();
    let agent = world.agent_id(0);
    world.break_link(0);
    world.pass(AWAY);
    let description = description(&world, &id);
    world.fail_over();
    assert!(matches!(world.books().agents[&agent].state, AgentState::Unreachable { .. }));
    let stream = world.subscribe(description);
    world.take(&stream);
    let ask = Call::Reconcile { tasks: vec![(key.task.clone(), Some(agent.clone()))] };
    world.call(&id, ask).expect("accepted");
    let heard: Vec<TaskState> = world.take_updates(&stream).iter().map(|status| status.state).collect();
    assert_eq!(heard, [TaskState::Unreachable]);
    world.connect(0);
    assert_eq!(world.books().tasks[&key].state, TaskState::Running);
}
