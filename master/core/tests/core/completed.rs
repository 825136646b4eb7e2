//! What ended before a failover is told to the next leader by the agents on which it ran.

use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Event, HeldTask, LinkId, MAX_COMPLETED_TASKS, TaskPhase};
use chapada_model::{FrameworkId, TaskId, TaskKey, TaskState, TaskStatus, Wall};

use crate::tasks::{acknowledge, launch, running};
use crate::world::World;

/// Runs a task to its acknowledged end.
fn run(world: &mut World, framework: &FrameworkId, id: &str, end: TaskState) -> TaskKey {
    world.pass(Duration::from_secs(10));
    let key = launch(world, framework, id, "cpus:0.1;mem:10");
    world.update(0, &key, end);
    acknowledge(world, &key);
    key
}

fn history(world: &World, framework: &FrameworkId) -> Vec<(String, TaskState, Option<Wall>)> {
    let tasks = world.books().completed_tasks.get(framework).cloned().unwrap_or_default();
    assert!(tasks.iter().all(|task| task.phase == TaskPhase::Completed));
    tasks.iter().map(|task| (task.description.id.to_string(), task.state, task.finished)).collect()
}

#[test]
fn a_new_leader_hears_of_tasks_that_were_over_before() {
    let (mut world, id, _, _) = running();
    assert_eq!(world.agents[0].completed_wanted, 0, "a new agent has none that this leader does not know");
    run(&mut world, &id, "good", TaskState::Finished);
    run(&mut world, &id, "bad", TaskState::Failed);
    let before = history(&world, &id);
    assert_eq!(before.len(), 2);
    world.fail_over();
    world.connect(0);
    assert!(world.agents[0].completed_wanted > 0);
    assert_eq!(history(&world, &id), []);
    // What ends under the new leader comes behind, however late the agent tells.
    world.tell_completed(0);
    assert_eq!(history(&world, &id), before);
    let task = world.books().completed_tasks[&id][0].clone();
    assert_eq!(
        (&task.agent, task.latest().map(|last| last.state)),
        (&world.agent_id(0), Some(TaskState::Finished))
    );
    // Asked once: it tells nothing again.
    world.break_link(0);
    world.connect(0);
    assert_eq!(world.agents[0].completed_wanted, 0);
    assert_eq!(history(&world, &id), before);
}

#[test]
fn one_whose_link_breaks_before_it_has_told_is_asked_again() {
    let (mut world, id, _, _) = running();
    run(&mut world, &id, "good", TaskState::Finished);
    world.fail_over();
    world.connect(0);
    world.break_link(0);
    world.connect(0);
    world.tell_completed(0);
    assert_eq!(history(&world, &id).len(), 1);
}

/// What an agent could say of a task.
fn said(framework: &FrameworkId, id: &str, state: TaskState, at: Wall) -> HeldTask {
    let task = crate::world::command_task(id, &"a".parse().expect("valid"), "cpus:1");
    let mut latest = TaskStatus::new(TaskId::new(id).expect("valid"), state);
    latest.timestamp = Some(at);
    HeldTask { framework: framework.clone(), task: Arc::new(task), latest: Some(latest), acknowledged: None }
}

#[test]
fn what_cannot_be_is_passed_over() {
    let (mut world, id, _, key) = running();
    world.fail_over();
    world.connect(0);
    let (agent, now) = (world.agent_id(0), world.now.wall);
    let nobody = FrameworkId::new("nobody").expect("valid");
    let tasks = vec![
        said(&id, "runs", TaskState::Running, now),
        said(&nobody, "of-nobody", TaskState::Finished, now),
        said(&id, key.task.as_str(), TaskState::Finished, now),
        said(&id, "early", TaskState::Finished, Wall(1)),
        said(&id, "twice", TaskState::Finished, now + Duration::from_secs(1_000)),
        said(&id, "twice", TaskState::Failed, now),
    ];
    let elsewhere =
        Event::CompletedTasks { link: LinkId(u64::MAX), agent: agent.clone(), tasks: tasks.clone() };
    world.apply(elsewhere);
    assert_eq!(history(&world, &id), []);
    let link = world.agents[0].link.expect("it is connected");
    world.apply(Event::CompletedTasks { link, agent: agent.clone(), tasks: tasks.clone() });
    let expected = [
        ("early".to_owned(), TaskState::Finished, Some(Wall(1))),
        // Its clock is ahead of the master's.
        ("twice".to_owned(), TaskState::Finished, Some(now)),
    ];
    assert_eq!(history(&world, &id), expected);
    assert_eq!(world.books().completed_tasks.get(&nobody), None);
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Live);
    assert_eq!(world.dropped.len(), 1, "{:?}", world.dropped);
    world.apply(Event::CompletedTasks { link, agent, tasks });
    assert_eq!(history(&world, &id), expected);
}

#[test]
fn a_history_has_the_youngest_of_all_agents() {
    let (mut world, id, _, _) = running();
    world.add_agent("cpus:1;mem:64");
    world.fail_over();
    let now = world.now.wall;
    let at = |number: usize| Wall(now.0 - 1_000_000 + number as u64);
    let of = |numbers: Vec<usize>| -> Vec<HeldTask> {
        numbers.into_iter().map(|n| said(&id, &format!("t{n}"), TaskState::Finished, at(n))).collect()
    };
    // The agents' tasks ended in turn.
    for (index, rest) in [(0, 0), (1, 1)] {
        world.connect(index);
        let (agent, link) = (world.agent_id(index), world.agents[index].link.expect("it is connected"));
        let tasks = of((0..2 * MAX_COMPLETED_TASKS).filter(|n| n % 2 == rest).rev().collect());
        world.apply(Event::CompletedTasks { link, agent, tasks });
    }
    let found: Vec<Option<Wall>> = history(&world, &id).into_iter().map(|(_, _, at)| at).collect();
    let youngest: Vec<Option<Wall>> =
        (MAX_COMPLETED_TASKS..2 * MAX_COMPLETED_TASKS).map(|number| Some(at(number))).collect();
    assert!(found == youngest);
}
