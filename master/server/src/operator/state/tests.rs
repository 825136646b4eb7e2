use chapada_wire::v1::master::response::{
    self, GetAgents, GetExecutors, GetFrameworks, GetOperations, GetTasks,
};
use chapada_wire::v1::master::{Response, event};
use chapada_wire::{Json as _, decode_binary, recordio};
use serde_json::Value;

use super::*;
use crate::sample;

fn written(mut answer: Answer, limit: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = answer.more(&mut piece, limit);
        all.extend(piece);
        if !more {
            return all;
        }
    }
}

fn tasks_of_phase(books: &Snapshot, is_wanted: fn(TaskPhase) -> bool) -> Vec<v1::Task> {
    books::all_tasks(books).filter(|task| is_wanted(task.phase)).map(|task| view::task(task)).collect()
}

fn all_tasks(books: &Snapshot) -> GetTasks {
    GetTasks {
        tasks: tasks_of_phase(books, |phase| phase == TaskPhase::Live),
        unreachable_tasks: tasks_of_phase(books, |phase| phase == TaskPhase::Unreachable),
        completed_tasks: tasks_of_phase(books, |phase| {
            matches!(phase, TaskPhase::Ended | TaskPhase::Completed)
        }),
        ..GetTasks::default()
    }
}

fn all_agents(books: &Snapshot) -> GetAgents {
    let registered = books.agents.values().filter(|agent| agent.is_registered());
    GetAgents { agents: registered.map(|agent| view::agent(agent)).collect(), ..GetAgents::default() }
}

fn all_executors(books: &Snapshot) -> GetExecutors {
    let executors = books.agents.values().flat_map(|agent| view::executors(agent));
    GetExecutors { executors: executors.collect(), ..GetExecutors::default() }
}

/// What of this is an amount is summed, and the rest is listed.
fn held(parts: &[Resources]) -> Vec<v1::Resource> {
    let mut amounts = Resources::EMPTY;
    let of = |is_wanted: bool| {
        parts.iter().map(move |part| part.filter(|resource| (&*resource.name != "ports") == is_wanted))
    };
    of(true).for_each(|part| amounts.add(&part).unwrap());
    let others = of(false).flat_map(|part| view::resources(&part));
    view::resources(&amounts).into_iter().chain(others).collect()
}

fn all_frameworks(books: &Snapshot) -> GetFrameworks {
    let one = |framework: &Arc<Framework>| {
        let offers: Vec<_> =
            books.offers.values().filter(|offer| offer.framework == framework.id).cloned().collect();
        let live = books.tasks.values().filter(|task| task.is_live() && task.framework == framework.id);
        let live: Vec<_> = live.map(|task| task.resources.allocated_to(&task.role)).collect();
        let offered: Vec<_> = offers.iter().map(|offer| offer.resources.clone()).collect();
        let format = ReservationFormat::of(&framework.description);
        get_frameworks::Framework {
            offers: offers.iter().map(|offer| crate::scheduler::offer(offer, format)).collect(),
            allocated_resources: held(&live),
            offered_resources: held(&offered),
            offer_constraints: Some(v1::scheduler::OfferConstraints::default()),
            ..view::framework_alone(framework)
        }
    };
    GetFrameworks { frameworks: books.frameworks.values().map(one).collect(), ..GetFrameworks::default() }
}

fn whole_state(books: &Snapshot) -> response::GetState {
    response::GetState {
        get_tasks: Some(all_tasks(books)),
        get_executors: Some(all_executors(books)),
        get_frameworks: Some(all_frameworks(books)),
        get_agents: Some(all_agents(books)),
    }
}

/// The answers as whole messages.
fn whole(books: &Snapshot) -> [(Call, Response); 6] {
    [
        (Call::GetState, Response { get_state: Some(whole_state(books)), ..bare(Kind::GetState) }),
        (Call::GetAgents, Response { get_agents: Some(all_agents(books)), ..bare(Kind::GetAgents) }),
        (
            Call::GetFrameworks,
            Response { get_frameworks: Some(all_frameworks(books)), ..bare(Kind::GetFrameworks) },
        ),
        (
            Call::GetExecutors,
            Response { get_executors: Some(all_executors(books)), ..bare(Kind::GetExecutors) },
        ),
        (Call::GetTasks, Response { get_tasks: Some(all_tasks(books)), ..bare(Kind::GetTasks) }),
        (
            Call::GetOperations,
            Response { get_operations: Some(GetOperations::default()), ..bare(Kind::GetOperations) },
        ),
    ]
}

#[test]
fn what_is_written_piece_by_piece_is_the_message() {
    let books = sample::books();
    for (call, message) in whole(&books) {
        for limit in [1, 100, 2_000, usize::MAX] {
            let json = written(answer(call, &books, Media::Json).unwrap(), limit);
            let value = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
            assert_eq!(value(&json), value(&message.to_json()), "{call:?} cut at {limit}");
            let protobuf = written(answer(call, &books, Media::Protobuf).unwrap(), limit);
            let read: Response = decode_binary(&protobuf).unwrap();
            assert_eq!(read, message, "{call:?} cut at {limit}");
        }
    }
}

#[test]
fn the_sample_has_something_in_every_list() {
    let state = whole_state(&sample::books());
    let (tasks, frameworks) = (state.get_tasks.unwrap(), state.get_frameworks.unwrap().frameworks);
    assert!(!tasks.tasks.is_empty() && !tasks.unreachable_tasks.is_empty());
    assert!(!tasks.completed_tasks.is_empty());
    assert!(
        !state.get_executors.unwrap().executors.is_empty() && !state.get_agents.unwrap().agents.is_empty()
    );
    assert!(frameworks.iter().any(|framework| !framework.offers.is_empty()));
    assert!(frameworks.iter().any(|framework| framework.allocated_resources.len() > 2), "{frameworks:?}");
}

#[test]
fn a_record_begins_with_its_length() {
    let books = sample::books();
    for media in [Media::Json, Media::Protobuf] {
        let books = books.clone();
        let record = Answer::record(media, move |media| {
            Fields::whole(media, |fields| {
                fields.small(&v1::master::Event {
                    r#type: Some(event::Type::Subscribed.into()),
                    ..v1::master::Event::default()
                });
                fields.field("subscribed", 2, |fields| {
                    fields.field("get_state", 1, |fields| state(fields, &books));
                });
            })
        });
        let mut decoder = recordio::Decoder::new(1 << 20);
        decoder.push(&written(record, 100));
        let record = decoder.next_record().unwrap().expect("one whole record");
        let event: v1::master::Event = match media {
            Media::Json => v1::master::Event::from_json(&record).unwrap(),
            Media::Protobuf => decode_binary(&record).unwrap(),
        };
        assert_eq!(event.r#type(), event::Type::Subscribed);
        let shown = event.subscribed.unwrap().get_state.unwrap();
        assert_eq!(shown.to_json(), whole_state(&sample::books()).to_json());
        assert_eq!(decoder.next_record(), Ok(None));
    }
}
