use std::sync::Arc;

use chapada_master_core::{Effect, Event, Held as Stated, HeldTask, LinkId, Master, RegistryState, Settings};
use chapada_model::{AgentDescription, FrameworkDescription, Now, TaskDescription, TaskState, TaskStatus};
use chapada_wire::v1;
use serde_json::Value;

use super::*;

fn task_of(agent: usize, number: usize) -> HeldTask {
    let info = v1::TaskInfo {
        name: Some(format!("the \"{number}\"th")),
        task_id: Some(v1::TaskId { value: Some(format!("task-{agent}-{number}")) }),
        agent_id: Some(v1::AgentId { value: Some(format!("agent-{agent}")) }),
        command: Some(v1::CommandInfo { value: Some("true".to_owned()), ..v1::CommandInfo::default() }),
        container: Some(v1::ContainerInfo {
            r#type: Some(v1::container_info::Type::Mesos.into()),
            hostname: Some("inside".to_owned()),
            ..v1::ContainerInfo::default()
        }),
        ..v1::TaskInfo::default()
    };
    let description = TaskDescription::try_from(&info).unwrap();
    // Some have ended and are history at once, as nobody has to acknowledge it.
    let state = if number.is_multiple_of(3) { TaskState::Finished } else { TaskState::Running };
    let latest = TaskStatus::new(description.id.clone(), state);
    HeldTask {
        framework: format!("framework-{}", number % 2).parse().unwrap(),
        task: Arc::new(description),
        latest: Some(latest),
        acknowledged: None,
    }
}

fn framework(number: usize) -> FrameworkDescription {
    let info = v1::FrameworkInfo {
        user: Some("root".to_owned()),
        name: Some(format!("framework {number}")),
        id: Some(v1::FrameworkId { value: Some(format!("framework-{number}")) }),
        ..v1::FrameworkInfo::default()
    };
    FrameworkDescription::try_from(&info).unwrap()
}

fn agent(number: usize) -> AgentDescription {
    let info = v1::AgentInfo {
        hostname: Some(format!("host-{number}")),
        id: Some(v1::AgentId { value: Some(format!("agent-{number}")) }),
        ..v1::AgentInfo::default()
    };
    AgentDescription::try_from(&info).unwrap()
}

/// Some agents with tasks of two frameworks, and a third that has none.
fn books() -> Arc<Snapshot> {
    let now = Now::default();
    let mut master = Master::recover(now, Settings::new("master"), RegistryState::default());
    for number in 0..3 {
        let held = Stated {
            tasks: (0..7).map(|each| task_of(number, each)).collect(),
            frameworks: (0..3).map(framework).collect(),
            ..Stated::default()
        };
        let came = Event::AgentConnected { link: LinkId(number as u64), agent: agent(number), held };
        let mut effects = VecDeque::from(master.apply(now, came));
        while let Some(effect) = effects.pop_front() {
            if let Effect::Record { ticket, .. } = effect {
                effects.extend(master.apply(now, Event::Recorded { ticket }));
            }
        }
    }
    Arc::new(master.snapshot())
}

fn written(mut pieces: Pieces, limit: usize) -> String {
    let mut all = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = pieces.more(&mut piece, limit);
        all.extend(piece);
        if !more {
            return String::from_utf8(all).unwrap();
        }
    }
}

fn agents(books: &Arc<Snapshot>) -> Pieces {
    let mut pieces = Pieces::new(books.clone());
    pieces.text("{\"slaves\":[");
    pieces.parts.push_back(Part::Agents { after: None, is_wanted: Agent::is_registered });
    pieces.text("]}");
    pieces
}

#[test]
fn an_answer_is_the_same_however_it_is_cut() {
    let books = books();
    let all: Vec<_> = books::all_tasks(&books).cloned().collect();
    let answers: [&dyn Fn() -> Pieces; 3] =
        [&|| Pieces::frameworks(books.clone(), None), &|| Pieces::tasks(books.clone(), all.clone()), &|| {
            agents(&books)
        }];
    for answer in answers {
        let whole = written(answer(), usize::MAX);
        for limit in [1, 100, 500, 2_000] {
            assert_eq!(written(answer(), limit), whole, "cut at {limit}");
        }
    }
}

#[test]
fn every_task_is_shown_once_where_it_belongs() {
    let books = books();
    let shown: Value = serde_json::from_str(&written(Pieces::frameworks(books.clone(), None), 1)).unwrap();
    let count = |list: &str| {
        let frameworks = shown["frameworks"].as_array().unwrap();
        frameworks.iter().map(|one| one[list].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    let in_books = books.tasks.len() + books.completed_tasks.values().flatten().count();
    let lists =
        ["tasks", "unreachable_tasks", "completed_tasks"].map(|list| count(list).iter().sum::<usize>());
    assert_eq!((lists.iter().sum::<usize>(), in_books), (21, 21), "{shown}");
    assert_eq!(count("tasks").len(), 3);
    let first = &shown["frameworks"][0]["tasks"][0];
    assert_eq!(first["container"]["hostname"], "inside", "{first}");
    assert_eq!(first["name"].as_str().unwrap().matches('"').count(), 2, "{first}");
    let one: Value =
        serde_json::from_str(&written(Pieces::frameworks(books, Some("framework-1")), 50)).unwrap();
    assert_eq!(one["frameworks"].as_array().unwrap().len(), 1);
    assert_eq!(one["frameworks"][0]["id"], "framework-1");
}

#[test]
fn only_what_lists_show_is_taken_out_of_descriptions() {
    let task = task_of(0, 1).task;
    let (info, extras) = (v1::TaskInfo::from(&*task), chapada_wire::convert::task_extras(&task));
    assert_eq!(
        (extras.container, extras.discovery, extras.health_check),
        (info.container, info.discovery, info.health_check)
    );
}
