//! `/state`, `/frameworks` and `/tasks`: what may be large, written piece by piece from one moment's books.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_master_core::{Agent, AgentState, Framework, Snapshot, Task, TaskPhase};
use chapada_model::FrameworkId;
use chapada_wire::{Json as _, Media};
use serde_json::json;

use super::agents::AgentView;
use super::frameworks::{FrameworkHead, Held};
use super::lists::{agents, fields_of};
use super::object::{Object, write};
use super::tasks::task;
use crate::books;
use crate::pieces::{Answer, Fields, Progress, Room, ahead, fill};
use crate::scheduler::constraints_said;
use crate::shell::{API_VERSION, Led, Shell, authority};

/// `/state`.
pub(super) fn state(shell: Arc<Shell>, led: Arc<Led>, books: Arc<Snapshot>) -> Answer {
    Answer::new(Media::Json, move |media| {
        Fields::whole(media, |fields| {
            fields.json_fields(&head(&shell, &led, &books));
            fields.list("slaves", 0, agents(books.clone(), Agent::is_registered, write_agent));
            fields.list("recovered_slaves", 0, agents(books.clone(), is_recovered, write_agent));
            frameworks_of(fields, &books, None);
            fields.json("orphan_tasks", |out| out.extend_from_slice(b"[]"));
            fields.json("unregistered_frameworks", |out| out.extend_from_slice(b"[]"));
        })
    })
}

/// `/frameworks`, or one of them.
pub(super) fn frameworks(books: Arc<Snapshot>, only: Option<String>) -> Answer {
    Answer::new(Media::Json, move |media| {
        Fields::whole(media, |fields| {
            frameworks_of(fields, &books, only.as_deref());
            fields.json("unregistered_frameworks", |out| out.extend_from_slice(b"[]"));
        })
    })
}

/// `/tasks`: those that `select` gives.
pub(super) fn tasks(
    books: Arc<Snapshot>,
    select: impl Fn(&Snapshot) -> Vec<Arc<Task>> + Send + Sync + 'static,
) -> Answer {
    Answer::new(Media::Json, move |media| {
        let chosen = select(&books);
        let mut from = 0;
        let elements = move |room: &mut Room<'_>| {
            let rest = chosen.iter().enumerate().skip(from);
            match fill(room, ahead(rest), |one, room| task(one, room.json())) {
                Some(last) => from = last + 1,
                None => return Progress::End,
            }
            Progress::Full
        };
        Fields::whole(media, |fields| fields.list("tasks", 0, elements))
    })
}

fn frameworks_of(fields: &mut Fields, books: &Arc<Snapshot>, only: Option<&str>) {
    let held = Arc::new(Held::of(books));
    let only = only.map(str::to_owned);
    let is_wanted = move |one: &Framework| only.as_deref().is_none_or(|only| only == one.id.as_str());
    fields.list("frameworks", 0, current(books.clone(), held.clone(), is_wanted.clone()));
    fields.list("completed_frameworks", 0, completed(books.clone(), held, is_wanted));
}

fn current(
    books: Arc<Snapshot>,
    held: Arc<Held>,
    is_wanted: impl Fn(&Framework) -> bool + Send + Sync,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after: Option<FrameworkId> = None;
    move |room| {
        let mut rest = books.frameworks.range(books::after(after.as_ref()));
        let next = rest.find(|(_, framework)| !framework.is_completed() && is_wanted(framework));
        let Some((id, framework)) = next else { return Progress::End };
        after = Some(id.clone());
        room.inside(|fields| write_framework(fields, framework, &books, &held))
    }
}

fn completed(
    books: Arc<Snapshot>,
    held: Arc<Held>,
    is_wanted: impl Fn(&Framework) -> bool + Send + Sync,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut from = 0;
    move |room| {
        let mut rest = books.completed_frameworks.iter().enumerate().skip(from);
        let Some((index, framework)) = rest.find(|(_, one)| is_wanted(one)) else { return Progress::End };
        from = index + 1;
        room.inside(|fields| write_framework(fields, framework, &books, &held))
    }
}

fn write_framework(fields: &mut Fields, framework: &Arc<Framework>, books: &Arc<Snapshot>, held: &Arc<Held>) {
    fields.json_fields(&fields_of(&FrameworkHead::new(framework, books, held)));
    let id = &framework.id;
    fields.list("tasks", 0, tasks_of(books.clone(), id.clone(), false));
    fields.list("unreachable_tasks", 0, tasks_of(books.clone(), id.clone(), true));
    fields.list("completed_tasks", 0, history_of(books.clone(), id.clone()));
    fields.list("offers", 0, held.clone().offers(id.clone()));
    fields.list("executors", 0, held.clone().executors(framework.clone()));
    fields.json("offer_constraints", |out| constraints_said(&framework.constraints).write_json(out));
}

/// Tasks of a framework that are not history.
fn tasks_of(
    books: Arc<Snapshot>,
    framework: FrameworkId,
    unreachable: bool,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after = None;
    move |room| {
        let rest = books::tasks_after(&books, &framework, after.as_ref());
        let found = ahead(rest).filter(|(_, one)| (one.phase == TaskPhase::Unreachable) == unreachable);
        match fill(room, found, |one, room| task(one, room.json())) {
            Some(last) => after = Some(last.clone()),
            None => return Progress::End,
        }
        Progress::Full
    }
}

fn history_of(
    books: Arc<Snapshot>,
    framework: FrameworkId,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut from = 0;
    move |room| {
        let Some(history) = books.completed_tasks.get(&framework) else { return Progress::End };
        match fill(room, ahead(history.iter().enumerate().skip(from)), |one, room| task(one, room.json())) {
            Some(last) => from = last + 1,
            None => return Progress::End,
        }
        Progress::Full
    }
}

/// An agent as `/state` has it.
pub(super) fn write_agent(agent: &Agent, out: &mut Vec<u8>) {
    write(out, &AgentView::from(agent));
}

/// Whether an agent of the registry has not come back yet.
pub(super) fn is_recovered(agent: &Agent) -> bool {
    matches!(agent.state, AgentState::Recovered { .. })
}

/// All of `/state` that comes before the lists.
fn head(shell: &Shell, led: &Led, books: &Snapshot) -> Vec<u8> {
    let master = &led.master;
    let pid = format!("master@{}", authority(&master.ip.to_string(), master.port));
    let mut out = Vec::new();
    let mut map = Object::fields(&mut out);
    map.value("version", API_VERSION);
    map.value("start_time", &shell.started.as_secs_f64());
    map.value("elected_time", &led.elected.as_secs_f64());
    map.value("id", &*master.id);
    map.value("pid", &pid);
    map.value("hostname", &*master.hostname);
    map.value("capabilities", &["AGENT_UPDATE", "AGENT_DRAINING"]);
    map.optional("cluster", shell.config.cluster.as_ref());
    let count = |state: fn(&AgentState) -> bool| {
        books.agents.values().filter(|agent| state(&agent.state)).count() as f64
    };
    let active = books.agents.values().filter(|agent| crate::operator::view::is_active(agent)).count() as f64;
    let registered = books.agents.values().filter(|agent| agent.is_registered()).count() as f64;
    map.value("activated_slaves", &active);
    map.value("deactivated_slaves", &(registered - active));
    map.value("unreachable_slaves", &count(|state| matches!(state, AgentState::Unreachable { .. })));
    if let Some(held) = books.brake.sentence() {
        map.value("agent_removals_held", &held);
    }
    map.value("leader", &pid);
    let leader = json!({"id": &*master.id, "pid": pid, "port": master.port, "hostname": &*master.hostname});
    map.value("leader_info", &leader);
    map.value("flags", &shell.config.flags().into_iter().collect::<BTreeMap<_, _>>());
    out
}

#[cfg(test)]
mod tests;
