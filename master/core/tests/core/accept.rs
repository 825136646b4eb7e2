//! ACCEPT: what is launched, what is refused and in which words, and what becomes of the rest.

use std::time::Duration;

use chapada_master_core::{
    Accept, AgentCommand, Call, MalformedTask, Operation, Proposal, SchedulerEvent, StreamId,
};
use chapada_model::{
    AgentId, Disk, Filters, FrameworkCapability, FrameworkId, Limit, Milli, OfferId, Persistence, Reason,
    Resource, Resources, TaskDescription, TaskState,
};

use crate::world::{World, command_task, executor, framework};

const AT_ONCE: Filters = Filters { refuse: Duration::ZERO };

/// One agent, one framework with an offer of all it has.
fn offered() -> (World, FrameworkId, StreamId, AgentId) {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024;ports:[31000-31009]");
    let (framework, stream) = world.framework(framework("f", &["*"]));
    world.settle();
    let agent = world.agent_id(0);
    (world, framework, stream, agent)
}

fn accept(world: &mut World, framework: &FrameworkId, tasks: Vec<TaskDescription>) {
    let tasks = tasks.into_iter().map(|task| Proposal::Valid(Box::new(task))).collect();
    let offers = world.offers(framework);
    let accept = Accept { offers, operations: vec![Operation::Launch { tasks }], filters: AT_ONCE };
    world.call(framework, Call::Accept(accept)).expect("accepted");
}

fn change_each(resources: &Resources, change: impl Fn(&mut Resource)) -> Resources {
    let changed = resources.iter().cloned().map(|mut resource| {
        change(&mut resource);
        resource
    });
    Resources::from_list(changed).expect("valid")
}

fn shared_volume() -> Resources {
    let disk: Resources = "disk(ops):1".parse().expect("valid");
    change_each(&disk, |volume| {
        let persistence = Some(Persistence { id: "v".into(), principal: None });
        volume.disk = Some(Disk { persistence, ..Disk::default() });
        volume.shared = true;
    })
}

/// A task with an executor of its own, and a port.
fn with_executor(agent: &AgentId, change: fn(&mut chapada_model::ExecutorDescription)) -> TaskDescription {
    let mut own = executor("e", "cpus:0.1");
    change(&mut own);
    let task = command_task("t", agent, "cpus:1;ports:[31000-31000]");
    TaskDescription { has_command: false, executor: Some(own), ..task }
}

/// The state, reason and message that the framework hears of a task.
fn verdict(world: &mut World, stream: &StreamId) -> (TaskState, Reason, String) {
    let updates = world.take_updates(stream);
    let [status] = &updates[..] else { panic!("one update was expected: {updates:?}") };
    assert_eq!(status.uuid, None);
    (status.state, status.reason.expect("a reason"), status.message.as_deref().unwrap_or("").to_owned())
}

#[test]
fn tasks_that_fit_are_launched_and_the_rest_is_offered_again() {
    let (mut world, framework, stream, agent) = offered();
    let tasks = vec![
        command_task("t1", &agent, "cpus:0.5;mem:100"),
        command_task("t2", &agent, "cpus:1;ports:[31000-31001]"),
    ];
    accept(&mut world, &framework, tasks);
    assert_eq!(world.agents[0].tasks.len(), 2);
    assert!(world.agents[0].commands.iter().any(|command| matches!(command, AgentCommand::Launch { .. })));
    world.take(&stream);
    world.settle();
    let events = world.take(&stream);
    let [SchedulerEvent::Offers(offers)] = &events[..] else { panic!("{events:?}") };
    let left = "cpus:0.5;mem:924;ports:[31002-31009]".parse::<chapada_model::Resources>().expect("valid");
    assert_eq!(offers[0].resources, left.allocated_to(&chapada_model::Role::star()));
}

#[test]
fn each_rule_has_its_words() {
    let agent = |world: &World| world.agent_id(0);
    type Make = fn(&AgentId) -> TaskDescription;
    let cases: [(Make, &str); 17] = [
        (|agent| command_task("t", agent, ""), "Task uses no resources"),
        (
            |_| command_task("t", &AgentId::new("other-agent").expect("valid"), "cpus:1"),
            "Task uses invalid agent other-agent while agent m1-S0 is expected",
        ),
        (
            |agent| TaskDescription { has_command: false, ..command_task("t", agent, "cpus:1") },
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            |agent| TaskDescription {
                executor: Some(executor("e", "cpus:1")),
                ..command_task("t", agent, "cpus:1")
            },
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            |agent| command_task("t", agent, "cpus:10000;mem:32"),
            "Total resources cpus(allocated: *):10000; mem(allocated: *):32 required by task and its executor is more than \
             available cpus(allocated: *):2; mem(allocated: *):1024; ports(allocated: *):[31000-31009]",
        ),
        (
            |agent| command_task("t", agent, "cpus:1;gpus:0.5"),
            "The 'gpus' resource must be an unsigned integer",
        ),
        (
            |agent| {
                let mut task = command_task("t", agent, "cpus:1");
                task.limits.insert("disk".into(), Limit::Infinite);
                task
            },
            "Resource limits are not supported for disk: only for cpus and mem",
        ),
        (
            |agent| {
                let mut task = command_task("t", agent, "cpus:1");
                task.limits.insert("cpus".into(), Limit::Amount(Milli(500)));
                task
            },
            "Task's limit for cpus, 0.5, is less than its request, 1",
        ),
        (
            |agent| {
                let mut custom = executor("e", "cpus:0.1");
                custom.has_command = false;
                TaskDescription {
                    has_command: false,
                    executor: Some(custom),
                    ..command_task("t", agent, "cpus:1")
                }
            },
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
        ),
        (
            |agent| with_executor(agent, |e| e.kind = chapada_model::ExecutorKind::Default),
            "'ExecutorInfo.type' must be CUSTOM or absent when a task is launched with LAUNCH",
        ),
        (
            |agent| with_executor(agent, |e| e.framework = "other".parse().ok()),
            "ExecutorInfo has an invalid FrameworkID (Actual: other vs Expected: m1-0000)",
        ),
        (
            |agent| with_executor(agent, |e| e.resources = shared_volume()),
            "Executor resources must not be shared, as disk(reservations: [(STATIC,ops)])[v]<SHARED>:1 is",
        ),
        (
            |agent| with_executor(agent, |e| e.resources = "ports:[31000-31000]".parse().expect("valid")),
            "Task and its executor use the same resource: ports:[31000-31000] cannot be added to ports:[31000-31000]",
        ),
        (
            |agent| {
                let mut task = command_task("t", agent, "cpus:1");
                task.limits.insert("mem".into(), Limit::Infinite);
                task
            },
            "Task has a limit for mem but requests none",
        ),
        (
            |agent| {
                let mut task = command_task("t", agent, "cpus:1");
                task.limits.insert("cpus".into(), Limit::Infinite);
                task
            },
            "Task has resource limits, but its agent does not support them",
        ),
        (
            |agent| {
                let mut task = command_task("t", agent, "cpus:1");
                task.resources = change_each(&task.resources, |r| r.allocation_role = "other".parse().ok());
                task
            },
            "Resource cpus(allocated: other):1 is allocated to another role than the offers' *",
        ),
        (
            |agent| {
                let mut task = command_task("t", agent, "cpus:1");
                let revocable = change_each(&task.resources, |r| r.revocable = true);
                task.resources.add(&revocable).expect("more");
                task
            },
            "Resource cpus is used both revocable and not",
        ),
    ];
    for (make, message) in cases {
        let (mut world, framework, stream, _) = offered();
        world.take(&stream);
        let task = make(&agent(&world));
        accept(&mut world, &framework, vec![task]);
        assert_eq!(verdict(&mut world, &stream), (TaskState::Error, Reason::TaskInvalid, message.to_owned()));
        assert!(world.agents[0].tasks.is_empty());
    }
}

#[test]
fn a_second_task_of_one_name_is_refused_and_the_first_lives() {
    let (mut world, framework, stream, agent) = offered();
    accept(&mut world, &framework, vec![command_task("t", &agent, "cpus:0.1")]);
    world.settle();
    world.take(&stream);
    accept(&mut world, &framework, vec![command_task("t", &agent, "cpus:0.1")]);
    let (state, reason, message) = verdict(&mut world, &stream);
    assert_eq!(
        (state, reason, &*message),
        (TaskState::Error, Reason::TaskInvalid, "Task has duplicate ID: t")
    );
    assert_eq!(world.agents[0].tasks.len(), 1);
}

#[test]
fn a_task_that_could_not_be_read_is_answered_by_its_own_id() {
    let (mut world, framework, stream, _) = offered();
    world.take(&stream);
    let malformed = MalformedTask { task_id: "a/b".into(), agent_id: "x".into(), message: "why".into() };
    let operations = vec![Operation::Launch { tasks: vec![Proposal::Malformed(malformed)] }];
    let accept = Accept { offers: world.offers(&framework), operations, filters: AT_ONCE };
    world.call(&framework, Call::Accept(accept)).expect("accepted");
    let events = world.take(&stream);
    let [SchedulerEvent::UpdateMalformed { task_id, state, reason, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&**task_id, *state, *reason), ("a/b", TaskState::Error, Reason::TaskInvalid));
}

#[test]
fn offers_that_are_not_valid_drop_their_tasks() {
    let (mut world, framework, stream, agent) = offered();
    let own = world.offers(&framework);
    let gone = OfferId::new("no-such-offer").expect("valid");
    let cases = [
        (vec![gone.clone()], "Offer no-such-offer is no longer valid"),
        (vec![own[0].clone(), own[0].clone()], "Duplicate offer m1-O0 in offer list"),
        (vec![], "No offers specified"),
    ];
    for (offers, message) in cases {
        world.take(&stream);
        let task = Proposal::Valid(Box::new(command_task("t", &agent, "cpus:1")));
        let accept =
            Accept { offers, operations: vec![Operation::Launch { tasks: vec![task] }], filters: AT_ONCE };
        world.call(&framework, Call::Accept(accept)).expect("a refusal of offers is not one of the call");
        let message = format!("Task launched with invalid offers: {message}");
        assert_eq!(verdict(&mut world, &stream), (TaskState::Dropped, Reason::InvalidOffers, message));
    }
    assert!(world.offers(&framework).is_empty(), "the offer named beside a bad one is given back");
}

#[test]
fn those_who_do_not_know_the_finer_states_hear_lost() {
    let mut world = World::new();
    let mut description = framework("f", &["*"]);
    description.capabilities.remove(&FrameworkCapability::PartitionAware);
    let (id, stream) = world.framework(description);
    world.take(&stream);
    let task = Proposal::Valid(Box::new(command_task("t", &AgentId::new("a").expect("valid"), "cpus:1")));
    let operations = vec![Operation::Launch { tasks: vec![task] }];
    let offers = vec![OfferId::new("none").expect("valid")];
    world.call(&id, Call::Accept(Accept { offers, operations, filters: AT_ONCE })).expect("accepted");
    assert_eq!(verdict(&mut world, &stream).0, TaskState::Lost);
}

#[test]
fn an_executor_takes_its_share_once_and_gives_it_back_at_its_end() {
    let (mut world, framework, _, agent) = offered();
    let with_executor = |id: &str| TaskDescription {
        has_command: false,
        executor: Some(executor("e", "cpus:0.5")),
        ..command_task(id, &agent, "cpus:0.5")
    };
    accept(&mut world, &framework, vec![with_executor("t1"), with_executor("t2")]);
    let used = |world: &World| world.books().agents[&world.agent_id(0)].used.cpus();
    assert_eq!(used(&world), Milli(1_500));
    let keys: Vec<_> = world.agents[0].tasks.keys().cloned().collect();
    for key in &keys {
        world.update(0, key, TaskState::Finished);
    }
    assert_eq!(used(&world), Milli(500));
    let executor = world.agents[0].executors.keys().next().expect("it runs").clone();
    world.apply(chapada_master_core::Event::ExecutorGone { agent, executor, status: 0 });
    assert_eq!(used(&world), Milli(0));
}

#[test]
fn what_is_declined_is_offered_again_only_after_its_time() {
    let (mut world, framework, stream, _) = offered();
    let offers = world.offers(&framework);
    let filters = Filters { refuse: Duration::from_secs(5) };
    world.call(&framework, Call::Decline { offers, filters }).expect("accepted");
    world.take(&stream);
    world.pass(Duration::from_millis(4_900));
    assert!(world.offers(&framework).is_empty());
    let why = world.master.explain(world.now, &framework, &world.agent_id(0));
    assert!(matches!(why[0].1, Some(chapada_master_core::Why::FilteredUntil(_))), "{why:?}");
    world.pass(Duration::from_millis(101));
    assert_eq!(world.offers(&framework).len(), 1);
}

#[test]
fn an_offer_that_is_hoarded_is_taken_back() {
    let (mut world, framework, stream, _) = offered();
    let offer = world.offers(&framework)[0].clone();
    world.take(&stream);
    world.pass(Duration::from_secs(120));
    assert!(world.take(&stream).contains(&SchedulerEvent::Rescind(offer.clone())));
    assert!(!world.offers(&framework).contains(&offer));
}
