//! I8: nothing grows without a limit.

use chapada_model::AgentId;

use crate::reconcile::Standing;
use crate::{
    Agent, AgentState, MAX_AGENTS_PER_DRAIN, MAX_AGENTS_PER_PART, MAX_COMPLETED_FRAMEWORKS,
    MAX_COMPLETED_TASKS, MAX_DRAINS, MAX_EARLY_KILLS, MAX_LATE_KILLS, MAX_LATE_KILLS_OF_ALL, MAX_MACHINES,
    MAX_OWN_ENDS, MAX_OWN_ENDS_OF_ALL, MAX_REMOVED_FRAMEWORKS, MAX_STATUSES, MAX_UNACKNOWLEDGED, Master,
    Violation,
};

pub(super) fn check(master: &Master, found: &mut Vec<Violation>) {
    let books = &master.books;
    let mut bound = |what, size: usize, bound: usize| {
        if size > bound {
            found.push(Violation::Bound { what, size, bound });
        }
    };
    bound("completed frameworks", books.completed_frameworks.len(), MAX_COMPLETED_FRAMEWORKS);
    let histories = books.frameworks.len() + MAX_COMPLETED_FRAMEWORKS;
    bound("histories of tasks", books.completed_tasks.len(), histories);
    for history in books.completed_tasks.values() {
        bound("completed tasks of a framework", history.len(), MAX_COMPLETED_TASKS);
    }
    for task in books.tasks.values() {
        bound("statuses of a task", task.statuses.len(), MAX_STATUSES);
        bound("unacknowledged updates of a task", task.unacknowledged.len(), MAX_UNACKNOWLEDGED);
    }
    let (frameworks, kills) = master.early_kills.sizes();
    bound("frameworks with early kills", frameworks, books.frameworks.len());
    bound("early kills of a framework", kills, MAX_EARLY_KILLS);
    let (frameworks, kills, of_all) = master.late_kills.sizes();
    bound("frameworks with late kills", frameworks, books.frameworks.len());
    bound("late kills of a framework", kills, MAX_LATE_KILLS);
    bound("late kills of all frameworks", of_all, MAX_LATE_KILLS_OF_ALL);
    let (frameworks, ends, of_all) = master.own_ends.sizes();
    bound("frameworks with ends of the master's own", frameworks, books.frameworks.len());
    bound("ends of the master's own of a framework", ends, MAX_OWN_ENDS);
    bound("ends of the master's own of all frameworks", of_all, MAX_OWN_ENDS_OF_ALL);
    let nobody_has = |agent: &&Option<chapada_model::AgentId>| {
        !matches!(master.standing_of(agent.as_ref()), Standing::MayReturn)
    };
    // A call that was refused does not do what time has made due.
    if master.strangers_until.is_none_or(|until| master.now.mono < until) {
        let in_vain = master.late_kills.agents().filter(nobody_has).count();
        bound("agents whose late kills wait in vain", in_vain, 0);
    }
    let unknown = |id: &&chapada_model::FrameworkId| !books.frameworks.contains_key(*id);
    bound(
        "frameworks that are gone and left offers unanswered",
        master.patience.frameworks().filter(unknown).count(),
        0,
    );
    bound("offers to frameworks that have answered none", master.patience.offers(), books.offers.len());
    if master.silent.is_empty() {
        bound(
            "frameworks that are away and hold nothing",
            master.idle.len(),
            master.settings.max_idle_frameworks,
        );
    }
    let (removed, unheard) = (master.tombstones.all.len(), master.tombstones.unheard.len());
    bound("removed frameworks", removed, MAX_REMOVED_FRAMEWORKS);
    bound("removed frameworks of absent agents", unheard, removed);
    let parts = master.registry.unconfirmed.values().flat_map(|parts| parts.values());
    bound(
        "agents of one part that must confirm a removal",
        parts.map(|part| part.len()).max().unwrap_or(0),
        MAX_AGENTS_PER_PART,
    );
    bound("unreachable agents", master.unreachable.len(), master.settings.most_unreachable() + 1);
    let is_gone = |agent: &Agent| matches!(agent.state, AgentState::Gone { .. });
    let may_tell = |id: &&AgentId| books.agents.get(*id).is_some_and(|agent| !is_gone(agent));
    let never = master.untold.iter().filter(|id| !may_tell(id)).count();
    bound("agents that will not tell what was over and are waited for", never, 0);
    let asked = master.leaving.asked();
    bound(
        "timers",
        master.timers.len(),
        books.offers.len() + books.agents.len() * 2 + books.frameworks.len() + asked,
    );
    bound("agents that are gone", master.gone.len(), master.settings.most_gone());
    bound("drains of many agents", books.drains.len(), MAX_DRAINS);
    for plan in books.drains.values() {
        bound("agents of a drain", plan.waiting.len() + plan.begun.len(), MAX_AGENTS_PER_DRAIN);
    }
    bound(
        "removals remembered",
        master.removals.remembered(),
        books.agents.len() + master.settings.most_unreachable(),
    );
    bound("machines in the schedule", books.machines.len(), MAX_MACHINES);
    bound("reasons", books.why.len(), books.frameworks.len());
    let clients: usize = books.frameworks.values().map(|framework| framework.description.roles.len()).sum();
    bound("refusals", master.allocator.filters(), books.agents.len() * clients);
    bound("agents of the allocator", master.allocator.agents(), books.agents.len());
}
