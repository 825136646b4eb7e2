//! The books as the large messages of the operator API, written an element at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_master_core::{Agent, AgentState, Framework, Offer, Snapshot, Task, TaskPhase};
use chapada_model::{AgentId, FrameworkId, OperationKey, Resource, ResourceValue, Resources, TaskKey};
use chapada_wire::Media;
use chapada_wire::convert::ReservationFormat;
use chapada_wire::v1;
use chapada_wire::v1::master::call::Type as Call;
use chapada_wire::v1::master::response::{Type as Kind, get_frameworks};

use super::calls::bare;
use super::view;
use crate::books;
use crate::pieces::{Answer, Fields, Progress, Room, ahead, fill};
use crate::scheduler::constraints_said;

/// Writes fields of a message from the books.
type Write = fn(&mut Fields, &Arc<Snapshot>);

/// The answer to a call of this type; nothing when it is not a large one.
pub(super) fn answer(call: Call, books: &Arc<Snapshot>, media: Media) -> Option<Answer> {
    let (kind, name, tag, write): (_, _, _, Write) = match call {
        Call::GetState => (Kind::GetState, "get_state", 9, state),
        Call::GetAgents => (Kind::GetAgents, "get_agents", 10, agents),
        Call::GetFrameworks => (Kind::GetFrameworks, "get_frameworks", 11, frameworks),
        Call::GetExecutors => (Kind::GetExecutors, "get_executors", 12, executors),
        Call::GetTasks => (Kind::GetTasks, "get_tasks", 13, tasks),
        Call::GetOperations => (Kind::GetOperations, "get_operations", 20, operations),
        _ => return None,
    };
    let books = books.clone();
    Some(Answer::new(media, move |media| {
        Fields::whole(media, |fields| {
            fields.small(&bare(kind));
            fields.field(name, tag, |fields| write(fields, &books));
        })
    }))
}

/// The fields of `GetState`.
pub(super) fn state(fields: &mut Fields, books: &Arc<Snapshot>) {
    fields.field("get_tasks", 1, |fields| tasks(fields, books));
    fields.field("get_executors", 2, |fields| executors(fields, books));
    fields.field("get_frameworks", 3, |fields| frameworks(fields, books));
    fields.field("get_agents", 4, |fields| agents(fields, books));
}

fn tasks(fields: &mut Fields, books: &Arc<Snapshot>) {
    fields.list("tasks", 2, tasks_in(books.clone(), |phase| phase == TaskPhase::Live));
    fields.list("unreachable_tasks", 5, tasks_in(books.clone(), |phase| phase == TaskPhase::Unreachable));
    fields.list("completed_tasks", 3, completed_tasks(books.clone()));
}

/// Tasks of these phases that are not history.
fn tasks_in(
    books: Arc<Snapshot>,
    is_wanted: fn(TaskPhase) -> bool,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after: Option<TaskKey> = None;
    move |room| {
        let rest = ahead(books.tasks.range(books::after(after.as_ref())));
        let found = rest.filter(|(_, task)| is_wanted(task.phase));
        match fill(room, found, |task, room| room.message(&view::task(task))) {
            Some(last) => after = Some(last.clone()),
            None => return Progress::End,
        }
        Progress::Full
    }
}

/// Those that wait for an acknowledgement, then history.
fn completed_tasks(books: Arc<Snapshot>) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let is_ended = |phase| matches!(phase, TaskPhase::Ended | TaskPhase::Completed);
    let mut waiting = Some(tasks_in(books.clone(), is_ended));
    let (mut after, mut from): (Option<FrameworkId>, usize) = (None, 0);
    move |room| {
        if let Some(ended) = &mut waiting {
            if let Progress::Full = ended(room) {
                return Progress::Full;
            }
            waiting = None;
        }
        for (framework, history) in books.completed_tasks.range(books::after(after.as_ref())) {
            let rest = ahead(history.iter().enumerate().skip(from));
            if let Some(last) = fill(room, rest, |task: &Task, room| room.message(&view::task(task))) {
                from = last + 1;
                return Progress::Full;
            }
            (after, from) = (Some(framework.clone()), 0);
        }
        Progress::End
    }
}

fn agents(fields: &mut Fields, books: &Arc<Snapshot>) {
    let write = |agent: &Agent, room: &mut Room<'_>| room.message(&view::agent(agent));
    fields.list("agents", 1, agents_in(books.clone(), Agent::is_registered, write));
    let is_recovered = |agent: &Agent| matches!(agent.state, AgentState::Recovered { .. });
    let write = |agent: &Agent, room: &mut Room<'_>| {
        room.message(&v1::AgentInfo::from(&*agent.description));
    };
    fields.list("recovered_agents", 2, agents_in(books.clone(), is_recovered, write));
}

fn executors(fields: &mut Fields, books: &Arc<Snapshot>) {
    let has_some = |agent: &Agent| !agent.executors.is_empty();
    let write = |agent: &Agent, room: &mut Room<'_>| {
        view::executors(agent).for_each(|executor| room.message(&executor));
    };
    fields.list("executors", 1, agents_in(books.clone(), has_some, write));
}

fn agents_in(
    books: Arc<Snapshot>,
    is_wanted: fn(&Agent) -> bool,
    write: fn(&Agent, &mut Room<'_>),
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after: Option<AgentId> = None;
    move |room| {
        let rest = books.agents.range(books::after(after.as_ref())).filter(|(_, agent)| is_wanted(agent));
        match fill(room, rest, |agent, room| write(agent, room)) {
            Some(last) => after = Some(last.clone()),
            None => return Progress::End,
        }
        Progress::Full
    }
}

fn operations(fields: &mut Fields, books: &Arc<Snapshot>) {
    if books.operations.is_empty() {
        return;
    }
    let (books, mut after): (_, Option<OperationKey>) = (books.clone(), None);
    fields.list("operations", 1, move |room| {
        let rest = books.operations.range(books::after(after.as_ref()));
        match fill(room, rest, |one, room| room.message(&view::operation(one))) {
            Some(last) => after = Some(last.clone()),
            None => return Progress::End,
        }
        Progress::Full
    });
}

/// Outstanding offers by framework.
type Offers = Arc<BTreeMap<FrameworkId, Vec<Arc<Offer>>>>;

fn frameworks(fields: &mut Fields, books: &Arc<Snapshot>) {
    let offers = Arc::new(books::offers_by_framework(books));
    fields.list("frameworks", 1, current(books.clone(), offers.clone()));
    let (books, mut from) = (books.clone(), 0);
    fields.list("completed_frameworks", 2, move |room| {
        let Some(framework) = books.completed_frameworks.get(from) else { return Progress::End };
        from += 1;
        room.inside(|fields| write_framework(fields, framework, &books, &offers))
    });
}

fn current(books: Arc<Snapshot>, offers: Offers) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after: Option<FrameworkId> = None;
    move |room| {
        let mut rest = books.frameworks.range(books::after(after.as_ref()));
        let Some((id, one)) = rest.find(|(_, one)| !one.is_completed()) else { return Progress::End };
        after = Some(id.clone());
        room.inside(|fields| write_framework(fields, one, &books, &offers))
    }
}

fn write_framework(fields: &mut Fields, framework: &Arc<Framework>, books: &Arc<Snapshot>, offers: &Offers) {
    fields.small(&view::framework_alone(framework));
    let id = &framework.id;
    let made = offers.get(id).map(Vec::as_slice).unwrap_or_default();
    if !made.is_empty() {
        fields.list("offers", 7, offers_of(offers.clone(), framework.clone()));
    }
    let live = books::tasks_of(books, id).filter(|task| task.is_live());
    let live = Sum::of(live.map(|task| task.resources.allocated_to(&task.role)));
    if !live.is_empty() {
        fields.list("allocated_resources", 9, live.then(others_allocated(books.clone(), id.clone())));
    }
    let offered = Sum::of(made.iter().map(|offer| offer.resources.clone()));
    if !offered.is_empty() {
        fields.list("offered_resources", 10, offered.then(others_offered(offers.clone(), id.clone())));
    }
    let constraints = Some(constraints_said(&framework.constraints));
    fields.small(&get_frameworks::Framework { offer_constraints: constraints, ..Default::default() });
}

fn offers_of(
    offers: Offers,
    framework: Arc<Framework>,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let format = ReservationFormat::of(&framework.description);
    let mut from = 0;
    move |room| {
        let rest = offers.get(&framework.id).into_iter().flatten().enumerate().skip(from);
        match fill(room, rest, |made, room| room.message(&crate::scheduler::offer(made, format))) {
            Some(last) => from = last + 1,
            None => return Progress::End,
        }
        Progress::Full
    }
}

/// What a framework has on all agents: amounts are summed. Ports, volumes and the like are listed by agent: the same one on
/// two agents is two.
struct Sum {
    amounts: Resources,
    has_others: bool,
}

impl Sum {
    fn of(parts: impl Iterator<Item = Resources>) -> Self {
        let mut sum = Self { amounts: Resources::EMPTY, has_others: false };
        for part in parts {
            let amounts = part.filter(is_amount);
            sum.has_others |= amounts.len() < part.len();
            // More than can be counted changes nothing.
            drop(sum.amounts.add(&amounts));
        }
        sum
    }

    fn is_empty(&self) -> bool {
        self.amounts.is_empty() && !self.has_others
    }

    /// The amounts, and then what `others` writes.
    fn then(
        self,
        mut others: impl FnMut(&mut Room<'_>) -> Progress + Send + Sync,
    ) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
        let mut amounts = view::resources(&self.amounts);
        move |room| {
            amounts.drain(..).for_each(|amount| room.message(&amount));
            others(room)
        }
    }
}

fn is_amount(resource: &Resource) -> bool {
    matches!(resource.value, ResourceValue::Scalar(_)) && resource.disk.is_none()
}

fn write_others(part: &Resources, room: &mut Room<'_>) {
    let others = view::resources(&part.filter(|resource| !is_amount(resource)));
    others.iter().for_each(|resource| room.message(resource));
}

fn others_allocated(
    books: Arc<Snapshot>,
    framework: FrameworkId,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after: Option<TaskKey> = None;
    move |room| {
        let rest = books::tasks_after(&books, &framework, after.as_ref()).filter(|(_, task)| task.is_live());
        let write = |task: &Arc<Task>, room: &mut Room<'_>| {
            write_others(&task.resources.allocated_to(&task.role), room);
        };
        match fill(room, rest, write) {
            Some(last) => after = Some(last.clone()),
            None => return Progress::End,
        }
        Progress::Full
    }
}

fn others_offered(
    offers: Offers,
    framework: FrameworkId,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut from = 0;
    move |room| {
        let rest = offers.get(&framework).into_iter().flatten().enumerate().skip(from);
        match fill(room, rest, |made, room| write_others(&made.resources, room)) {
            Some(last) => from = last + 1,
            None => return Progress::End,
        }
        Progress::Full
    }
}

#[cfg(test)]
mod tests;
