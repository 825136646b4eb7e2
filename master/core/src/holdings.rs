//! What an agent states that it holds, against what the books say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_model::{
    AgentDescription, AgentId, ExecutorKey, FrameworkDescription, FrameworkId, Reason, Resources, Role,
    TaskKey, TaskState,
};

use crate::books::{add, subtract};
use crate::timers::Timer;
use crate::{
    AgentCommand, AgentState, Executor, Framework, FrameworkState, Held, HeldTask, LinkId, Master,
    OperatorEvent, RegistryChange, Stray, Task, TaskPhase,
};

impl Master {
    /// Whether what an agent states can be: nothing twice, and nothing of a framework that nobody describes.
    pub(crate) fn check_held(&self, description: &AgentDescription, held: &Held) -> Result<(), String> {
        if !description.resources.iter().all(|resource| resource.allocation_role.is_none()) {
            return Err("the agent's resources are allocated to a role".to_owned());
        }
        let described: BTreeSet<&FrameworkId> =
            held.frameworks.iter().filter_map(|f| f.id.as_ref()).collect();
        let is_known = |id: &FrameworkId| {
            described.contains(id) || self.books.frameworks.contains_key(id) || self.is_removed(id)
        };
        let (mut seen, mut used) = (BTreeSet::new(), Resources::EMPTY);
        for task in &held.tasks {
            let key = task.key();
            if !is_known(&key.framework) {
                return Err(format!("task {key} belongs to a framework that is not described"));
            }
            if !task.is_over() {
                used.add(&task.task.resources.unallocated())
                    .map_err(|error| format!("task {key} holds what another does: {error}"))?;
            }
            if !seen.insert(key.clone()) {
                return Err(format!("task {key} is stated twice"));
            }
        }
        let mut seen = BTreeSet::new();
        for executor in &held.executors {
            let id = &executor.executor.id;
            if !is_known(&executor.framework) || !seen.insert((&executor.framework, id)) {
                return Err(format!("executor {id} is stated twice or its framework is not described"));
            }
            used.add(&executor.executor.resources.unallocated())
                .map_err(|error| format!("executor {id} holds what another does: {error}"))?;
        }
        Ok(())
    }

    /// The agent is in the registry: the books take over what it states, and it is registered from now on.
    pub(crate) fn register(
        &mut self,
        id: &AgentId,
        link: LinkId,
        description: Arc<AgentDescription>,
        held: Held,
    ) {
        self.unload(id);
        for framework in &held.frameworks {
            self.adopt_framework(framework);
        }
        let stated: BTreeSet<TaskKey> = held.tasks.iter().map(HeldTask::key).collect();
        let missing = self.index.tasks_by_agent.of(id).into_iter().filter(|key| !stated.contains(key));
        let missing: Vec<TaskKey> = missing.collect();
        let mut load = Load { total: description.resources.clone(), ..Load::default() };
        for executor in &held.executors {
            let role = self.role_of(&executor.framework, executor.executor.resources.allocation_role());
            let resources = executor.executor.resources.unallocated();
            let key =
                ExecutorKey { framework: executor.framework.clone(), executor: executor.executor.id.clone() };
            load.hold(&key.framework, &role, &resources);
            let description = Arc::new(executor.executor.clone());
            load.executors.insert(key, Executor { description, role, resources });
        }
        let mut returned = Vec::new();
        for task in held.tasks {
            self.take_over(id, task, &mut load, &mut returned);
        }
        self.install(id, link, description, load);
        for key in missing {
            self.lose_missing(&key);
        }
        self.greet(id, link, returned);
    }

    /// Takes over one task that the agent states.
    fn take_over(&mut self, agent: &AgentId, held: HeldTask, load: &mut Load, returned: &mut Vec<TaskKey>) {
        let key = held.key();
        let role = self.role_of(&key.framework, held.task.resources.allocation_role());
        let resources = held.task.resources.unallocated();
        let known = self.books.tasks.get(&key).cloned();
        if let Some(known) = known.filter(|known| known.agent != *agent) {
            if known.is_live() {
                if !held.is_over() {
                    load.hold(&key.framework, &role, &resources);
                    load.strays.insert(key, Stray { role, resources });
                }
                return;
            }
            self.complete_task(&key);
        }
        let state = held.latest.as_ref().map_or(TaskState::Staging, |status| status.state);
        let now = self.now.wall;
        if !self.books.tasks.contains_key(&key) {
            let task = held.into_task(agent.clone(), role.clone(), now);
            self.insert_task(task);
        } else if let Some(task) = self.task_mut(&key) {
            match task.phase {
                TaskPhase::Ended | TaskPhase::Completed => return,
                TaskPhase::Unreachable => returned.push(key.clone()),
                TaskPhase::Live => {}
            }
            if let Some(status) = held.latest {
                task.note_held(status, held.acknowledged, now);
            }
            task.state = state;
            task.role = role.clone();
            task.resources = resources.clone();
            task.phase = TaskPhase::Live;
        }
        let Some(task) = self.task_mut(&key) else { return };
        if state.is_terminal() {
            task.phase = TaskPhase::Ended;
            task.finished = Some(now);
            *self.books.counters.ended.entry(state).or_default() += 1;
        } else {
            load.hold(&key.framework, &role, &resources);
            load.tasks += 1;
        }
    }

    /// Puts the agent's new books in place.
    fn install(&mut self, id: &AgentId, link: LinkId, description: Arc<AgentDescription>, load: Load) {
        let plain = load.used.unallocated();
        let covered = load.total.intersection(&plain);
        let (mut free, mut overcommit) = (load.total.clone(), plain);
        subtract(&mut free, &covered);
        subtract(&mut overcommit, &covered);
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
        agent.used = load.used;
        agent.offered = Resources::EMPTY;
        agent.free = free;
        agent.overcommit = overcommit;
        agent.executors = load.executors;
        agent.strays = load.strays;
        agent.tasks = load.tasks;
        let (total, free) = (agent.total.clone(), agent.free.clone());
        self.allocator.add_agent(id, &total, free);
        self.books.total = self.allocator.total().clone();
    }

    /// Tells the agent that it is registered, and everyone what that means.
    fn greet(&mut self, id: &AgentId, link: LinkId, returned: Vec<TaskKey>) {
        let now = self.now.wall;
        if let Some(agent) = self.agent_mut(id) {
            let is_new = std::mem::take(&mut agent.is_new);
            agent.reregistered = (!is_new).then_some(now);
            let shared = Arc::new(agent.clone());
            match is_new {
                true => self.books.counters.agent_registrations += 1,
                false => self.books.counters.agent_reregistrations += 1,
            }
            self.tell_operators(OperatorEvent::AgentAdded(shared));
        }
        let welcome = AgentCommand::Welcome { agent: id.clone() };
        self.effects.push(crate::Effect::ToAgent { link, agent: Some(id.clone()), command: welcome });
        for key in returned {
            self.tell_returned(&key);
        }
        self.end_what_should_not_be(id);
    }

    /// Ends on a returned agent what was to end while it was away.
    fn end_what_should_not_be(&mut self, id: &AgentId) {
        let strays = self.books.agents.get(id).map(|agent| agent.strays.keys().cloned().collect::<Vec<_>>());
        let mut shut_down = BTreeSet::new();
        for key in self.index.tasks_by_agent.of(id) {
            let Some(task) = self.books.tasks.get(&key) else { continue };
            let (killed, over) = (task.killed, task.phase == TaskPhase::Ended);
            if !self.books.frameworks.contains_key(&key.framework) {
                shut_down.insert(key.framework.clone());
                if over {
                    self.complete_task(&key);
                }
            } else if killed && !over {
                let (framework, task) = (key.framework, key.task);
                self.tell_agent(id, AgentCommand::Kill { framework, task, policy: None });
            }
        }
        for key in strays.unwrap_or_default() {
            self.tell_agent(
                id,
                AgentCommand::Kill { framework: key.framework, task: key.task, policy: None },
            );
        }
        let removed: Vec<FrameworkId> = self.removed.iter().map(|(_, framework)| framework.clone()).collect();
        for framework in removed {
            let waits = |record: &crate::FrameworkRecord| {
                record.removed.as_ref().is_some_and(|removal| removal.unconfirmed.contains(id))
            };
            if !shut_down.contains(&framework) && self.registry.frameworks.get(&framework).is_some_and(waits)
            {
                shut_down.insert(framework);
            }
        }
        for framework in shut_down {
            self.tell_agent(id, AgentCommand::ShutdownFramework { framework: framework.clone() });
            self.confirm_if_done(&framework, id);
        }
    }

    /// A removal is confirmed by an agent on which nothing of the framework holds resources.
    pub(crate) fn confirm_if_done(&mut self, framework: &FrameworkId, agent: &AgentId) {
        let holds_task =
            self.index.tasks_by_framework.iter(framework).any(|key| {
                self.books.tasks.get(key).is_some_and(|task| task.agent == *agent && task.is_live())
            });
        let holds_executor = self.index.executors_by_framework.iter(framework).any(|other| other == agent);
        if !holds_task && !holds_executor {
            self.confirm_removal(framework, agent);
        }
    }

    /// A framework that is known only because an agent runs something for it.
    fn adopt_framework(&mut self, description: &FrameworkDescription) {
        let Some(id) = description.id.clone() else { return };
        if self.books.frameworks.contains_key(&id) || self.is_removed(&id) {
            return;
        }
        let until = self.return_until(description, true);
        self.timers.set(until, Timer::Framework(id.clone()));
        let framework = Framework {
            id: id.clone(),
            description: Arc::new(description.clone()),
            state: FrameworkState::Disconnected { until },
            registered: self.now.wall,
            reregistered: None,
            disconnected: Some(self.now.wall),
            recovered: true,
            suppressed: BTreeSet::new(),
        };
        self.record(RegistryChange::PutFramework(id.clone(), Self::framework_record(&framework)));
        self.books.frameworks.insert(id, Arc::new(framework));
    }

    /// The role that something counts for when the agent says none, or no single one: the framework's only or first.
    fn role_of(&self, framework: &FrameworkId, stated: Option<&Role>) -> Role {
        let described = self.books.frameworks.get(framework).and_then(|f| f.description.roles.first());
        stated.or(described).cloned().unwrap_or_else(Role::star)
    }

    /// The agent's resources no longer count, neither as had nor as held; its tasks stay in the books.
    pub(crate) fn unload(&mut self, id: &AgentId) {
        for offer in self.index.offers_by_agent.of(id) {
            self.rescind(&offer);
        }
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
        let Some(agent) = self.agent_mut(id) else { return };
        for (key, executor) in std::mem::take(&mut agent.executors) {
            held.push((key.framework, executor.role, executor.resources));
        }
        for (key, stray) in std::mem::take(&mut agent.strays) {
            held.push((key.framework, stray.role, stray.resources));
        }
        let state = agent.state.clone();
        let empty = crate::Agent::empty(id.clone(), agent.description.clone(), state, agent.registered);
        *agent = crate::Agent { reregistered: agent.reregistered, is_new: agent.is_new, ..empty };
        for (framework, role, resources) in held {
            self.index.executors_by_framework.remove(&framework, id);
            self.allocator.discharge(&framework, &role, &resources);
        }
        self.allocator.remove_agent(id);
        self.books.total = self.allocator.total().clone();
    }

    /// A task that its agent does not have: it was never delivered, or is gone without a word.
    fn lose_missing(&mut self, key: &TaskKey) {
        let Some(task) = self.books.tasks.get(key) else { return };
        let (phase, was_said) = (task.phase, !task.statuses.is_empty());
        match phase {
            TaskPhase::Live | TaskPhase::Unreachable => {
                let state = if was_said { TaskState::Gone } else { TaskState::Dropped };
                self.end_by_master(
                    key,
                    state,
                    Reason::Reconciliation,
                    "Reconciliation: Task is unknown to the agent",
                );
            }
            TaskPhase::Ended | TaskPhase::Completed => self.complete_task(key),
        }
    }
}

/// The books of an agent in the making.
#[derive(Default)]
struct Load {
    total: Resources,
    used: Resources,
    executors: BTreeMap<ExecutorKey, Executor>,
    strays: BTreeMap<TaskKey, Stray>,
    tasks: u32,
    charges: Vec<(FrameworkId, Role, Resources)>,
}

impl Load {
    fn hold(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        add(&mut self.used, &resources.allocated_to(role));
        self.charges.push((framework.clone(), role.clone(), resources.clone()));
    }
}

impl HeldTask {
    pub(crate) fn key(&self) -> TaskKey {
        TaskKey { framework: self.framework.clone(), task: self.task.id.clone() }
    }

    /// Whether it holds nothing any more.
    fn is_over(&self) -> bool {
        self.latest.as_ref().is_some_and(|status| status.state.is_terminal())
    }

    fn into_task(self, agent: AgentId, role: Role, now: chapada_model::Wall) -> Task {
        let mut task = Task::new(self.framework, self.task, agent, role, now);
        if let Some(status) = self.latest {
            task.state = status.state;
            task.note_held(status, self.acknowledged, now);
        }
        task
    }
}
