//! `/registrar(1)/registry`: what outlives this master, as far as Mesos' registry has it.

use std::sync::Arc;

use chapada_master_core::{Agent, AgentState, Snapshot};
use chapada_model::Wall;
use chapada_wire::v1;
use chapada_wire::{Json, Media};
use serde_json::json;

use super::lists::agents;
use super::object::write;
use crate::pieces::{Answer, Fields};
use crate::shell::Led;

/// Which agents are in a list, and how each is written there.
type Entry = (&'static str, fn(&Agent) -> bool, fn(&Agent, &mut Vec<u8>));

/// The lists of the registry, each an object with a list of its own inside. One without agents is left out.
const LISTS: [Entry; 3] =
    [("slaves", is_admitted, admitted), ("unreachable", is_unreachable, left), ("gone", is_gone, left)];

/// The page.
pub(super) fn registry(led: Arc<Led>, books: Arc<Snapshot>) -> Answer {
    Answer::new(Media::Json, move |media| {
        Fields::whole(media, |fields| {
            let info = v1::MasterInfo::from(&led.master);
            fields.field("master", 0, |master| master.json("info", |out| info.write_json(out)));
            for (name, is_there, write) in LISTS {
                if books.agents.values().any(|agent| is_there(agent)) {
                    fields.field(name, 0, |list| {
                        list.list("slaves", 0, agents(books.clone(), is_there, write));
                    });
                }
            }
        })
    })
}

fn is_admitted(agent: &Agent) -> bool {
    match agent.state {
        AgentState::Recovered { .. }
        | AgentState::Active { .. }
        | AgentState::Disconnected { .. }
        | AgentState::Leaving => true,
        AgentState::Admitting { .. } | AgentState::Unreachable { .. } | AgentState::Gone { .. } => false,
    }
}

fn is_unreachable(agent: &Agent) -> bool {
    matches!(agent.state, AgentState::Unreachable { .. })
}

fn is_gone(agent: &Agent) -> bool {
    matches!(agent.state, AgentState::Gone { .. })
}

fn admitted(agent: &Agent, out: &mut Vec<u8>) {
    let info = v1::AgentInfo { id: Some((&agent.id).into()), ..(&*agent.description).into() };
    out.extend_from_slice(b"{\"info\":");
    info.write_json(out);
    if let Some(drain) = &agent.drain {
        out.extend_from_slice(b",\"drain_info\":");
        crate::operator::agents::drain_info(drain).write_json(out);
    }
    let deactivated: &[u8] =
        if agent.deactivated { b",\"deactivated\":true}" } else { b",\"deactivated\":false}" };
    out.extend_from_slice(deactivated);
}

fn left(agent: &Agent, out: &mut Vec<u8>) {
    let since = match agent.state {
        AgentState::Unreachable { since } | AgentState::Gone { since } => since,
        _ => Wall::default(),
    };
    let id = agent.id.as_str();
    write(out, &json!({"id": {"value": id}, "timestamp": {"nanoseconds": since.0}}));
}
