//! I4 and the references between records.

use crate::index::Index;
use crate::{AgentState, Master, Task, TaskPhase, Violation};

pub(super) fn check(master: &Master, found: &mut Vec<Violation>) {
    for task in master.books.tasks.values() {
        if let Some(what) = wrong_with(master, task) {
            found.push(Violation::Phase { task: task.key(), what });
        }
    }
    for task in master.books.completed_tasks.values().flatten() {
        if task.phase != TaskPhase::Completed {
            found.push(Violation::Phase { task: task.key(), what: "in the history but not completed" });
        }
    }
    for offer in master.books.offers.values() {
        let has_agent = master.books.agents.get(&offer.agent).is_some_and(|agent| agent.link().is_some());
        let framework = master.books.frameworks.get(&offer.framework);
        let has_framework = framework.is_some_and(|framework| framework.stream().is_some());
        if !has_agent || !has_framework || offer.resources.is_empty() {
            found.push(Violation::Offer(offer.id.clone()));
        }
    }
    if index_of(master) != master.index {
        found.push(Violation::Index("groups of offers, tasks, executors and operations"));
    }
    let is_used = |key: &chapada_model::TaskKey| master.books.tasks.contains_key(key);
    let is_of_nobody = |key: &chapada_model::TaskKey| !master.books.frameworks.contains_key(&key.framework);
    if !master.own_ends.agrees() || master.own_ends.tasks().any(|key| is_used(&key) || is_of_nobody(&key)) {
        found.push(Violation::Index("ends that the master would say again"));
    }
    if !master.pending.is_named_right() {
        found.push(Violation::Index("what waits for the registry and who it is about"));
    }
    if crate::tombstones::Tombstones::of(&master.registry) != master.tombstones {
        found.push(Violation::Index("removed frameworks and who must confirm that"));
    }
}

fn wrong_with(master: &Master, task: &Task) -> Option<&'static str> {
    let agent = master.books.agents.get(&task.agent);
    match task.phase {
        TaskPhase::Live if task.state.is_terminal() => Some("live in a terminal state"),
        TaskPhase::Live
            if agent.is_none_or(|agent| agent.total.is_empty() && agent.overcommit.is_empty()) =>
        {
            Some("live on an agent without resources")
        }
        TaskPhase::Live if task.finished.is_some() => Some("live after its end"),
        TaskPhase::Unreachable if !agent.is_some_and(is_away) => Some("unreachable on an agent that is not"),
        TaskPhase::Ended if !task.state.is_terminal() => Some("ended in a state that is not terminal"),
        TaskPhase::Completed => Some("completed but not in the history"),
        TaskPhase::Live | TaskPhase::Unreachable | TaskPhase::Ended => None,
    }
}

/// Whether tasks of the agent may be unreachable: it is given up, or on its way back.
fn is_away(agent: &std::sync::Arc<crate::Agent>) -> bool {
    match agent.state {
        AgentState::Unreachable { .. }
        | AgentState::Admitting { .. }
        | AgentState::Disconnected { .. }
        | AgentState::Leaving => true,
        AgentState::Recovered { .. } | AgentState::Active { .. } | AgentState::Gone { .. } => false,
    }
}

/// The groups as the records have them.
fn index_of(master: &Master) -> Index {
    let mut index = Index::default();
    for (id, offer) in &master.books.offers {
        index.offers_by_agent.insert(&offer.agent, id.clone());
        index.offers_by_framework.insert(&offer.framework, id.clone());
    }
    for (key, task) in &master.books.tasks {
        index.tasks_by_agent.insert(&task.agent, key.clone());
        if task.phase == TaskPhase::Unreachable {
            index.unreachable_by_framework.insert(&key.framework, (task.updated, key.clone()));
        }
    }
    for (key, operation) in &master.books.operations {
        index.operations_by_agent.insert(&operation.agent, key.clone());
        if let Some(framework) = &operation.framework {
            index.operations_by_framework.insert(framework, key.clone());
        }
    }
    for (id, agent) in &master.books.agents {
        for key in agent.executors.keys() {
            index.executors_by_framework.insert(&key.framework, id.clone());
        }
    }
    index
}
