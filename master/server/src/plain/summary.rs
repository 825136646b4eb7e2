//! `/state-summary`: counts for each agent and framework.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_master_core::{Agent, Framework, Snapshot, Task};
use chapada_model::TaskState;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::agents::AgentView;
use super::frameworks::{FrameworkSummary, Held, Holdings};
use super::state::is_recovered;

/// Writes each element only when its turn comes.
pub(super) struct Each<F>(pub(super) F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Agents that are registered.
pub(super) fn registered(books: &Snapshot) -> impl Iterator<Item = &Arc<Agent>> {
    books.agents.values().filter(|agent| agent.is_registered())
}

/// Agents of the registry that have not come back yet.
pub(super) fn recovered(books: &Snapshot) -> impl Iterator<Item = &Arc<Agent>> {
    books.agents.values().filter(|agent| is_recovered(agent))
}

/// Frameworks that may still be talked to.
pub(super) fn current(books: &Snapshot) -> impl Iterator<Item = &Framework> {
    books.frameworks.values().filter(|framework| !framework.is_completed()).map(|framework| &**framework)
}

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

/// `/state-summary`.
pub(super) struct Summary {
    pub(super) hostname: String,
    pub(super) cluster: Option<String>,
    pub(super) books: Arc<Snapshot>,
}

#[derive(serde::Serialize)]
struct Counted<V, I> {
    #[serde(flatten)]
    view: V,
    #[serde(flatten)]
    counts: BTreeMap<&'static str, u64>,
    #[serde(flatten)]
    others: I,
}

#[derive(Default)]
struct Tally {
    counts: BTreeMap<TaskState, u64>,
    others: BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, task: &Task, other: &str) {
        *self.counts.entry(task.state).or_default() += 1;
        self.others.insert(other.to_owned());
    }

    fn counts(&self) -> BTreeMap<&'static str, u64> {
        COUNTED
            .iter()
            .map(|state| (state.name(), self.counts.get(state).copied().unwrap_or_default()))
            .collect()
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let books = &*self.books;
        let (mut by_agent, mut by_framework) = (BTreeMap::<_, Tally>::new(), BTreeMap::<_, Tally>::new());
        for task in crate::books::all_tasks(books) {
            by_agent.entry(&task.agent).or_default().add(task, task.framework.as_str());
            by_framework.entry(&task.framework).or_default().add(task, task.agent.as_str());
        }
        let (nothing, held) = (Tally::default(), Held::of(books));
        let agents = || {
            registered(books).map(|agent| {
                let tally = by_agent.get(&agent.id).unwrap_or(&nothing);
                let others = BTreeMap::from([("framework_ids", &tally.others)]);
                Counted { view: AgentView::from(&**agent), counts: tally.counts(), others }
            })
        };
        let frameworks = || {
            current(books).map(|framework| {
                let tally = by_framework.get(&framework.id).unwrap_or(&nothing);
                let view = FrameworkSummary::new(framework, &Holdings::of(framework, books, &held));
                let others = BTreeMap::from([("slave_ids", &tally.others)]);
                Counted { view, counts: tally.counts(), others }
            })
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("hostname", &self.hostname)?;
        if let Some(cluster) = &self.cluster {
            map.serialize_entry("cluster", cluster)?;
        }
        map.serialize_entry("slaves", &Each(agents))?;
        map.serialize_entry("frameworks", &Each(frameworks))?;
        map.end()
    }
}
