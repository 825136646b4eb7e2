use chapada_model::TaskState;
use serde_json::Value;

use super::*;
use crate::plain::lists::{agents_in_full, roles};
use crate::plain::summary::summary;
use crate::sample;

fn written(mut answer: Answer, limit: usize) -> String {
    let mut all = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = answer.more(&mut piece, limit);
        all.extend(piece);
        if !more {
            return String::from_utf8(all).unwrap();
        }
    }
}

#[test]
fn an_answer_is_the_same_however_it_is_cut() {
    let books = sample::books();
    let all = |books: &Snapshot| books::all_tasks(books).cloned().collect::<Vec<_>>();
    let answers: [(&str, &dyn Fn() -> Answer); 5] = [
        ("frameworks", &|| frameworks(books.clone(), None)),
        ("tasks", &|| tasks(books.clone(), all)),
        ("slaves", &|| agents_in_full(books.clone(), None)),
        ("slaves", &|| summary("host".to_owned(), None, books.clone())),
        ("roles", &|| roles(books.clone())),
    ];
    for (list, answer) in answers {
        let whole = written(answer(), usize::MAX);
        let shown: Value = serde_json::from_str(&whole).unwrap();
        assert!(shown[list].as_array().is_some_and(|list| !list.is_empty()), "{whole}");
        for limit in [1, 100, 500, 2_000] {
            assert_eq!(written(answer(), limit), whole, "{list} cut at {limit}");
        }
    }
}

#[test]
fn a_summary_counts_every_task_where_it_is_and_whose_it_is() {
    let books = sample::books();
    let shown: Value =
        serde_json::from_str(&written(summary("host".to_owned(), None, books.clone()), 100)).unwrap();
    let count = |list: &str, state: &str| {
        shown[list].as_array().unwrap().iter().map(|one| one[state].as_u64().unwrap()).sum::<u64>()
    };
    for state in [TaskState::Running, TaskState::Finished, TaskState::Unreachable] {
        let there: Vec<_> = books::all_tasks(&books).filter(|task| task.state == state).collect();
        let registered = there.iter().filter(|task| books.agents[&task.agent].is_registered());
        let counts = (count("slaves", state.name()), count("frameworks", state.name()));
        assert_eq!(counts, (registered.count() as u64, there.len() as u64), "{state:?}: {shown}");
    }
    assert_eq!(shown["slaves"][0]["framework_ids"], serde_json::json!(["framework-0", "framework-1"]));
    assert_eq!(shown["frameworks"][0]["slave_ids"].as_array().unwrap().len(), 4);
}

#[test]
fn every_task_is_shown_once_where_it_belongs() {
    let books = sample::books();
    let shown: Value = serde_json::from_str(&written(frameworks(books.clone(), None), 1)).unwrap();
    let count = |list: &str| {
        let frameworks = shown["frameworks"].as_array().unwrap();
        frameworks.iter().map(|one| one[list].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    let in_books = books.tasks.len() + books.completed_tasks.values().flatten().count();
    let lists =
        ["tasks", "unreachable_tasks", "completed_tasks"].map(|list| count(list).iter().sum::<usize>());
    assert_eq!((lists.iter().sum::<usize>(), in_books), (28, 28), "{shown}");
    assert_eq!(count("tasks").len(), 3);
    let first = &shown["frameworks"][0]["tasks"][0];
    assert_eq!(first["container"]["hostname"], "inside", "{first}");
    assert_eq!(first["name"].as_str().unwrap().matches('"').count(), 2, "{first}");
    let one: Value =
        serde_json::from_str(&written(frameworks(books, Some("framework-1".to_owned())), 50)).unwrap();
    assert_eq!(one["frameworks"].as_array().unwrap().len(), 1);
    assert_eq!(one["frameworks"][0]["id"], "framework-1");
}

#[test]
fn only_what_lists_show_is_taken_out_of_descriptions() {
    let task = sample::task_of(0, 1).task;
    let (info, extras) =
        (chapada_wire::v1::TaskInfo::from(&*task), chapada_wire::convert::task_extras(&task));
    assert_eq!(
        (extras.container, extras.discovery, extras.health_check),
        (info.container, info.discovery, info.health_check)
    );
}
