//! `/state-summary`: counts for each agent and framework.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_master_core::{Agent, Framework, Snapshot, Task};
use chapada_model::{AgentId, FrameworkId, TaskState};
use chapada_wire::Media;

use super::agents::AgentView;
use super::frameworks::{FrameworkSummary, Held, Holdings};
use super::lists::{agents, fields_of};
use super::object::{Object, write};
use crate::books;
use crate::pieces::{Answer, Fields, Progress, Room, fill};

const COUNTED: [TaskState; 10] = [
    TaskState::Staging,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Finished,
    TaskState::Killed,
    TaskState::Failed,
    TaskState::Lost,
    TaskState::Error,
    TaskState::Unreachable,
];

/// Tasks by state, and whose or where they are.
struct Tally<Id> {
    counts: [u32; COUNTED.len()],
    others: BTreeSet<Id>,
}

impl<Id: Ord + Clone> Tally<Id> {
    fn add(&mut self, task: &Task, other: &Id) {
        if let Some(index) = COUNTED.iter().position(|state| *state == task.state) {
            self.counts[index] += 1;
        }
        if !self.others.contains(other) {
            self.others.insert(other.clone());
        }
    }
}

impl<Id> Tally<Id> {
    fn write(&self, fields: &mut Object<'_>) {
        COUNTED.iter().zip(self.counts).for_each(|(state, count)| fields.value(state.name(), &count));
    }
}

impl<Id> Default for Tally<Id> {
    fn default() -> Self {
        Self { counts: [0; COUNTED.len()], others: BTreeSet::new() }
    }
}

/// All tasks that are remembered, counted once for the whole answer.
#[derive(Default)]
struct Tallies {
    agents: BTreeMap<AgentId, Tally<FrameworkId>>,
    frameworks: BTreeMap<FrameworkId, Tally<AgentId>>,
}

impl Tallies {
    fn of(books: &Snapshot) -> Self {
        let mut tallies = Self::default();
        for task in books::all_tasks(books) {
            tallies.agents.entry(task.agent.clone()).or_default().add(task, &task.framework);
            tallies.frameworks.entry(task.framework.clone()).or_default().add(task, &task.agent);
        }
        tallies
    }

    fn write_agent(&self, agent: &Agent, out: &mut Vec<u8>) {
        let nothing = Tally::default();
        let tally = self.agents.get(&agent.id).unwrap_or(&nothing);
        let mut object = Object::open_with(out, &fields_of(&AgentView::from(agent)));
        tally.write(&mut object);
        object.list("framework_ids", &tally.others, |id, out| write(out, id.as_str()));
        object.close();
    }
}

/// `/state-summary`.
pub(super) fn summary(hostname: String, cluster: Option<String>, books: Arc<Snapshot>) -> Answer {
    Answer::new(Media::Json, move |media| {
        let (tallies, held) = (Arc::new(Tallies::of(&books)), Arc::new(Held::of(&books)));
        Fields::whole(media, |fields| {
            fields.json("hostname", |out| write(out, &hostname));
            if let Some(cluster) = &cluster {
                fields.json("cluster", |out| write(out, cluster));
            }
            let of_agents = tallies.clone();
            let write_agent = move |agent: &Agent, out: &mut Vec<u8>| of_agents.write_agent(agent, out);
            fields.list("slaves", 0, agents(books.clone(), Agent::is_registered, write_agent));
            fields.list("frameworks", 0, frameworks(books.clone(), tallies, held));
        })
    })
}

/// Frameworks that may still be talked to.
fn frameworks(
    books: Arc<Snapshot>,
    tallies: Arc<Tallies>,
    held: Arc<Held>,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after: Option<FrameworkId> = None;
    move |room| {
        let mut rest = books.frameworks.range(books::after(after.as_ref()));
        let Some((id, one)) = rest.find(|(_, one)| !one.is_completed()) else { return Progress::End };
        after = Some(id.clone());
        let fields = framework_fields(one, &books, &tallies, &held);
        room.inside(|inside| {
            inside.json_fields(&fields);
            inside.list("slave_ids", 0, agents_of(tallies.clone(), id.clone()));
        })
    }
}

fn framework_fields(one: &Framework, books: &Snapshot, tallies: &Tallies, held: &Held) -> Vec<u8> {
    let view = FrameworkSummary::new(one, &Holdings::of(one, books, held));
    let mut out = fields_of(&view);
    let mut counts = Object::fields(&mut out);
    let nothing = Tally::default();
    tallies.frameworks.get(&one.id).unwrap_or(&nothing).write(&mut counts);
    out
}

fn agents_of(
    tallies: Arc<Tallies>,
    framework: FrameworkId,
) -> impl FnMut(&mut Room<'_>) -> Progress + Send + Sync {
    let mut after = None;
    move |room| {
        let Some(tally) = tallies.frameworks.get(&framework) else { return Progress::End };
        let rest = tally.others.range(books::after(after.as_ref())).map(|id| (id, id));
        match fill(room, rest, |id, room| write(room.json(), id.as_str())) {
            Some(last) => after = Some(last.clone()),
            None => return Progress::End,
        }
        Progress::Full
    }
}
