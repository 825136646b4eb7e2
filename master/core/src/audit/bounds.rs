//! I8: nothing grows without a limit.

use crate::{
    MAX_AGENTS_PER_DRAIN, MAX_COMPLETED_FRAMEWORKS, MAX_COMPLETED_TASKS, MAX_DRAINS, MAX_EARLY_KILLS,
    MAX_GONE_AGENTS, MAX_LATE_KILLS, MAX_MACHINES, MAX_REMOVED_FRAMEWORKS, MAX_STATUSES, MAX_UNACKNOWLEDGED,
    MAX_UNREACHABLE_AGENTS, Master, Violation,
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
    let (frameworks, kills) = master.late_kills.sizes();
    bound("frameworks with late kills", frameworks, books.frameworks.len());
    bound("late kills of a framework", kills, MAX_LATE_KILLS);
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
    bound("removed frameworks", master.removed.len(), MAX_REMOVED_FRAMEWORKS);
    bound("removed frameworks of absent agents", master.removed_unheard.len(), master.removed.len());
    bound("unreachable agents", master.unreachable.len(), MAX_UNREACHABLE_AGENTS + 1);
    let asked = master.leaving.asked();
    bound(
        "timers",
        master.timers.len(),
        books.offers.len() + books.agents.len() * 2 + books.frameworks.len() + asked,
    );
    bound("agents that are gone", master.gone.len(), MAX_GONE_AGENTS);
    bound("drains of many agents", books.drains.len(), MAX_DRAINS);
    for plan in books.drains.values() {
        bound("agents of a drain", plan.waiting.len() + plan.begun.len(), MAX_AGENTS_PER_DRAIN);
    }
    bound("removals remembered", master.removals.remembered(), books.agents.len() + MAX_UNREACHABLE_AGENTS);
    bound("machines in the schedule", books.machines.len(), MAX_MACHINES);
    bound("reasons", books.why.len(), books.frameworks.len());
    let clients: usize = books.frameworks.values().map(|framework| framework.description.roles.len()).sum();
    bound("refusals", master.allocator.filters(), books.agents.len() * clients);
    bound("agents of the allocator", master.allocator.agents(), books.agents.len());
}
