//! An agent's books put in place as a whole, and taken away as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_allocator::AgentInput;
use chapada_model::{AgentDescription, AgentId, ExecutorKey, FrameworkId, Resources, Role, TaskKey};

use crate::books::{add, subtract};
use crate::interned::are_amounts;
use crate::{Agent, AgentState, Executor, LinkId, Master, Stray};

/// The books of an agent in the making.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) total: Resources,
    pub(crate) executors: BTreeMap<ExecutorKey, Executor>,
    pub(crate) strays: BTreeMap<TaskKey, Stray>,
    pub(crate) tasks: u32,
    /// What is held, and for whom. Amounts that follow each other for the same are one.
    pub(crate) charges: Vec<(FrameworkId, Role, Resources)>,
}

impl Load {
    pub(crate) fn hold(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        match self.charges.last_mut() {
            Some((of, within, sum))
                if of == framework && within == role && are_amounts(sum) && are_amounts(resources) =>
            {
                add(sum, resources);
            }
            _ => self.charges.push((framework.clone(), role.clone(), resources.clone())),
        }
    }

    fn used(&self) -> Resources {
        let mut used = Resources::EMPTY;
        for (_, role, resources) in &self.charges {
            add(&mut used, &resources.allocated_to(role));
        }
        used
    }

    /// What is free, and what is held that the agent does not have.
    fn rest(&self, used: &Resources) -> (Resources, Resources) {
        let held = used.unallocated();
        let (shared, plain) = (held.shared(), held.unshared());
        let covered = self.total.intersection(&plain);
        let (mut free, mut overcommit) = (self.total.clone(), plain.into_owned());
        subtract(&mut free, &covered);
        subtract(&mut overcommit, &covered);
        add(&mut overcommit, &shared.filter(|used| !self.total.iter().any(|there| there == used)));
        (free, overcommit)
    }
}

impl Master {
    /// Puts the agent's new books in place.
    pub(crate) fn install(
        &mut self,
        id: &AgentId,
        link: LinkId,
        description: Arc<AgentDescription>,
        load: Load,
    ) {
        let used = load.used();
        let (free, overcommit) = load.rest(&used);
        self.set_agent_state(id, AgentState::Active { link });
        for (framework, role, resources) in &load.charges {
            self.allocator.charge(framework, role, resources);
        }
        for key in load.executors.keys() {
            self.index.executors_by_framework.insert(&key.framework, id.clone());
        }
        let Some(agent) = self.agent_mut(id) else { return };
        agent.description = description;
        agent.total = load.total;
        agent.used = used;
        agent.offered = Resources::EMPTY;
        agent.free = free;
        agent.overcommit = overcommit;
        agent.executors = load.executors;
        agent.strays = load.strays;
        agent.tasks = load.tasks;
        let (input, free) = (AgentInput::new(&agent.description, &agent.total), agent.free.clone());
        self.allocator.add_agent(id, input, free);
        self.books.total = self.allocator.total();
        self.settle_activity(id);
        self.ask_to_leave(id);
    }

    /// The agent's operations hold nothing any more; gives what they held.
    fn let_operations_go(&mut self, id: &AgentId) -> Vec<(FrameworkId, Role, Resources)> {
        let mut held = Vec::new();
        for key in self.index.operations_by_agent.of(id) {
            let Some(operation) = self.books.operations.get_mut(&key) else { continue };
            if let Some(framework) = operation.framework.clone().filter(|_| !operation.holds.is_empty()) {
                let resources = std::mem::take(&mut Arc::make_mut(operation).holds);
                held.push((framework, operation.role.clone(), resources));
            }
        }
        held
    }

    /// The agent's resources no longer count, neither as had nor as held; its tasks stay in the books.
    pub(crate) fn unload(&mut self, id: &AgentId) {
        for offer in self.index.offers_by_agent.of(id) {
            self.rescind(&offer);
        }
        self.rescind_inverse_offers_of(id);
        let live = self
            .index
            .tasks_by_agent
            .of(id)
            .into_iter()
            .filter_map(|key| self.books.tasks.get(&key).cloned());
        let mut held: Vec<(FrameworkId, Role, Resources)> = live
            .filter(|task| task.is_live())
            .map(|task| (task.framework.clone(), task.role.clone(), task.resources.clone()))
            .collect();
        let mut operations = self.let_operations_go(id);
        let Some(agent) = self.agent_mut(id) else { return };
        for (key, executor) in std::mem::take(&mut agent.executors) {
            held.push((key.framework, executor.role, executor.resources));
        }
        for (key, stray) in std::mem::take(&mut agent.strays) {
            held.push((key.framework, stray.role, stray.resources));
        }
        held.append(&mut operations);
        let state = agent.state.clone();
        let empty = Agent::empty(id.clone(), agent.description.clone(), state, agent.registered);
        let (deactivated, drain) = (agent.deactivated, agent.drain.take());
        let (reregistered, is_new, from) = (agent.reregistered, agent.is_new, agent.from);
        *agent = Agent { reregistered, is_new, from, deactivated, drain, ..empty };
        for (framework, role, resources) in held {
            self.index.executors_by_framework.remove(&framework, id);
            self.allocator.discharge(&framework, &role, &resources);
        }
        self.allocator.remove_agent(id);
        self.books.total = self.allocator.total();
    }
}
