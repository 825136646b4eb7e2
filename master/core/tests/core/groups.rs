//! LAUNCH_GROUP: what holds for a group as a whole.

use std::time::Duration;

use chapada_master_core::{
    Accept, AgentCommand, Call, Event, Operation, Proposal, SchedulerEvent, StreamId, TaskGroup,
};
use chapada_model::{
    ExecutorDescription, ExecutorKey, ExecutorKind, Filters, FrameworkId, Reason, Resources, TaskDescription,
    TaskKey, TaskState,
};

use crate::world::{World, command_task, executor, framework};

fn pod() -> ExecutorDescription {
    ExecutorDescription {
        kind: ExecutorKind::Default,
        has_command: false,
        ..executor("pod", "cpus:0.1;mem:32;disk:10")
    }
}

/// The state, reason and message that each task of a group gets.
fn verdicts(change: impl FnOnce(&mut TaskGroup)) -> Vec<(TaskState, Reason, String)> {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024;disk:100;ports:[31000-31009]");
    let (framework, stream) = world.framework(framework("f", &["*"]));
    world.settle();
    let agent = world.agent_id(0);
    world.take(&stream);
    let task = |id: &str| Proposal::Valid(Box::new(command_task(id, &agent, "cpus:0.5;mem:64")));
    let mut group =
        TaskGroup { executor: Some(Box::new(pod())), tasks: vec![task("a"), task("b")], problem: None };
    change(&mut group);
    let accept = Accept {
        offers: world.offers(&framework),
        operations: vec![Operation::LaunchGroup(group)],
        filters: Filters { refuse: Duration::ZERO },
    };
    world.call(&framework, Call::Accept(accept)).expect("accepted");
    assert!(world.agents[0].tasks.is_empty() && world.books().tasks.is_empty());
    let updates = world.take_updates(&stream).into_iter();
    updates
        .map(|s| (s.state, s.reason.expect("a reason"), s.message.as_deref().unwrap_or("").to_owned()))
        .collect()
}

fn task(group: &mut TaskGroup) -> &mut TaskDescription {
    match &mut group.tasks[1] {
        Proposal::Valid(task) => task,
        Proposal::Malformed(_) => panic!("the group is made of tasks that can be read"),
    }
}

fn of_executor(change: impl FnOnce(&mut ExecutorDescription)) -> impl FnOnce(&mut TaskGroup) {
    move |group| change(group.executor.as_mut().expect("set"))
}

/// A world with one agent, and a framework that has accepted everything for a group of two on executor `pod`.
fn started() -> (World, FrameworkId, StreamId) {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024;disk:100;ports:[31000-31009]");
    let (framework, stream) = world.framework(framework("f", &["*"]));
    world.settle();
    accept_group(&mut world, &framework, &["a", "b"]);
    (world, framework, stream)
}

fn accept_group(world: &mut World, framework: &FrameworkId, ids: &[&str]) {
    let agent = world.agent_id(0);
    let task = |id: &&str| Proposal::Valid(Box::new(command_task(id, &agent, "cpus:0.5;mem:64")));
    let tasks = ids.iter().map(task).collect();
    let group = TaskGroup { executor: Some(Box::new(pod())), tasks, problem: None };
    let accept = Accept {
        offers: world.offers(framework),
        operations: vec![Operation::LaunchGroup(group)],
        filters: Filters { refuse: Duration::ZERO },
    };
    world.call(framework, Call::Accept(accept)).expect("accepted");
}

/// Of each launch of a group: how many tasks it has, and whether their executor starts with them.
fn launches(world: &World) -> Vec<(usize, bool)> {
    let launch = |command: &AgentCommand| match command {
        AgentCommand::LaunchGroup { tasks, is_first, .. } => Some((tasks.len(), *is_first)),
        _ => None,
    };
    world.agents[0].commands.iter().filter_map(launch).collect()
}

#[test]
fn a_good_group_goes_to_its_agent_as_one_with_its_executor() {
    let (world, framework, _) = started();
    assert_eq!(launches(&world), [(2, true)]);
    let agent = world.agent_id(0);
    let books = world.books();
    assert!(books.tasks.values().all(|task| task.executor == Some("pod".parse().expect("valid"))));
    let held = &books.agents[&agent];
    assert!(held.executors.contains_key(&ExecutorKey { framework, executor: "pod".parse().expect("valid") }));
    let used: Resources = "cpus:1.1;mem:160;disk:10".parse().expect("valid");
    assert_eq!(held.used.unallocated(), used);
}

#[test]
fn a_second_group_joins_the_executor_that_runs_and_what_it_had_is_free_when_it_is_gone() {
    let (mut world, framework, stream) = started();
    world.settle();
    accept_group(&mut world, &framework, &["c"]);
    assert_eq!(launches(&world), [(2, true), (1, false)]);
    for id in ["a", "b", "c"] {
        let key = TaskKey { framework: framework.clone(), task: id.parse().expect("valid") };
        world.update(0, &key, TaskState::Finished);
    }
    let agent = world.agent_id(0);
    let executor = ExecutorKey { framework: framework.clone(), executor: "pod".parse().expect("valid") };
    let left: Resources = "cpus:0.1;mem:32;disk:10".parse().expect("valid");
    assert_eq!(world.books().agents[&agent].used.unallocated(), left);
    world.take(&stream);
    world.apply(Event::ExecutorGone { agent: agent.clone(), executor, status: 0 });
    assert!(world.books().agents[&agent].used.is_empty());
    let failure = |event: &SchedulerEvent| matches!(event, SchedulerEvent::Failure { executor: Some(id), status: Some(0), .. } if id.as_str() == "pod");
    assert!(world.take(&stream).iter().any(failure));
}

#[test]
fn a_group_fails_as_a_whole_and_each_rule_has_its_words() {
    type Break = Box<dyn FnOnce(&mut TaskGroup)>;
    let cases: Vec<(Break, &str)> = vec![
        (Box::new(|g| g.problem = Some("seen at the edge".into())), "seen at the edge"),
        (Box::new(|g| g.executor = None), "'launch_group.executor' must be set"),
        (Box::new(of_executor(|e| e.kind = ExecutorKind::Unknown)), "'ExecutorInfo.type' must be set"),
        (Box::new(of_executor(|e| e.has_command = true)), "must not be set for 'DEFAULT' executor"),
        (Box::new(of_executor(|e| e.kind = ExecutorKind::Custom)), "must be set for 'CUSTOM' executor"),
        (
            Box::new(of_executor(|e| e.resources = "mem:32;disk:1".parse().expect("valid"))),
            "Executor's cpus 0 is less",
        ),
        (
            Box::new(of_executor(|e| e.resources = "cpus:1;mem:31;disk:1".parse().expect("valid"))),
            "Executor's mem 31 is less",
        ),
        (
            Box::new(of_executor(|e| e.resources = "cpus:1;mem:32".parse().expect("valid"))),
            "Executor's disk is not set",
        ),
        (
            Box::new(of_executor(|e| {
                e.framework = Some(chapada_model::FrameworkId::new("other").expect("valid"))
            })),
            "invalid FrameworkID",
        ),
        (Box::new(|g| task(g).executor = Some(executor("e2", "cpus:1"))), "must have the group's executor"),
        (Box::new(|g| task(g).id = "a".parse().expect("valid")), "its ID is there twice"),
        (
            Box::new(|g| task(g).resources = "cpus:1;gpus:0.5".parse().expect("valid")),
            "must be an unsigned integer",
        ),
        (
            Box::new(|g| task(g).resources = "cpus:1.5".parse().expect("valid")),
            "required by the task group and its executor",
        ),
        (
            Box::new(|g| {
                let message = "why".into();
                g.tasks[0] = Proposal::Malformed(chapada_master_core::MalformedTask {
                    task_id: "a".into(),
                    agent_id: "x".into(),
                    message,
                });
            }),
            "why",
        ),
    ];
    for (change, words) in cases {
        let said = verdicts(change);
        assert!(!said.is_empty(), "{words}");
        for (state, reason, message) in said {
            assert_eq!((state, reason), (TaskState::Error, Reason::TaskGroupInvalid), "{message}");
            assert!(message.contains(words), "'{message}' has no '{words}'");
        }
    }
}
