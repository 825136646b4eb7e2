//! Lists of agents and of roles, an element at a time.

use std::sync::Arc;

use chapada_master_core::{Agent, Snapshot};
use chapada_model::AgentId;
use chapada_wire::Media;
use serde::Serialize;

use super::agents::AgentInFull;
use super::object::write;
use super::roles::PlainRole;
use super::state::{is_recovered, write_agent};
use crate::books;
use crate::pieces::{Answer, Fields, Progress, Room, fill};

/// Agents for which `is_wanted` holds, each written by `write`.
pub(super) fn agents(
    books: Arc<Snapshot>,
    is_wanted: impl Fn(&Agent) -> bool + Send + Sync + 'static,
    write: impl Fn(&Agent, &mut Vec<u8>) + Send + Sync + 'static,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync + 'static {
    let mut after: Option<AgentId> = None;
    move |room| {
        let rest = books.agents.range(books::after(after.as_ref())).filter(|(_, agent)| is_wanted(agent));
        match fill(room, rest, |agent, room| write(agent, room.json())) {
            Some(last) => after = Some(last.clone()),
            None => return Progress::End,
        }
        Progress::Full
    }
}

/// `/slaves`, or one of them.
pub(super) fn agents_in_full(books: Arc<Snapshot>, only: Option<String>) -> Answer {
    Answer::new(Media::Json, move |media| {
        let (only, here) = (only.clone(), only.clone());
        let is_asked = |only: &Option<String>, agent: &Agent| {
            only.as_deref().is_none_or(|only| only == agent.id.as_str())
        };
        let registered = move |agent: &Agent| agent.is_registered() && is_asked(&only, agent);
        let recovered = move |agent: &Agent| is_recovered(agent) && is_asked(&here, agent);
        let in_full = |agent: &Agent, out: &mut Vec<u8>| write(out, &AgentInFull::from(agent));
        Fields::whole(media, |fields| {
            fields.list("slaves", 0, agents(books.clone(), registered, in_full));
            fields.list("recovered_slaves", 0, agents(books.clone(), recovered, write_agent));
        })
    })
}

/// `/roles`. What roles hold is summed afresh for each piece: kept, it would be held for a reader that does not read.
pub(super) fn roles(books: Arc<Snapshot>) -> Answer {
    Answer::new(Media::Json, move |media| {
        let (books, mut from) = (books.clone(), 0);
        let elements = move |room: &mut Room<'_>| {
            let roles = books.roles();
            let rest = roles.iter().enumerate().skip(from);
            match fill(room, rest, |role, room| write(room.json(), &PlainRole::from(role))) {
                Some(last) => from = last + 1,
                None => return Progress::End,
            }
            Progress::Full
        };
        Fields::whole(media, |fields| fields.list("roles", 0, elements))
    })
}

/// The fields of an object, without its braces.
pub(super) fn fields_of<T: Serialize>(object: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, object);
    out.pop();
    out.split_off(out.len().min(1))
}
