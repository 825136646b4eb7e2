//! What an agent states that it holds, against what the books say.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{
    AgentDescription, AgentId, ExecutorKey, FrameworkDescription, FrameworkId, Reason, Resources, Role,
    TaskKey, TaskState, TaskStatus, Wall,
};

use crate::agents::Silence;
use crate::load::Load;
use crate::timers::Timer;
use crate::{
    Executor, Framework, FrameworkState, Held, HeldTask, LinkId, Master, RegistryChange, Stray, Task,
    TaskPhase,
};

/// What an agent states, once it is known that it can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stated {
    pub(crate) held: Held,
    /// What each of the tasks has, allocated to nobody.
    pub(crate) of_tasks: Vec<Resources>,
}

/// An agent that is back, as far as that matters to its tasks.
struct Back<'a> {
    id: &'a AgentId,
    is_drained: bool,
    /// Whether it was given up before.
    since_given_up: bool,
}

impl Master {
    /// Whether what an agent states can be: nothing twice, and nothing of a framework that nobody describes. What each task has, whether
    /// it has ended or not.
    pub(crate) fn check_held(
        &self,
        description: &AgentDescription,
        held: &Held,
    ) -> Result<Vec<Resources>, String> {
        if !description.resources.iter().all(|resource| resource.allocation_role.is_none()) {
            return Err("the agent's resources are allocated to a role".to_owned());
        }
        let described: BTreeSet<&FrameworkId> =
            held.frameworks.iter().filter_map(|f| f.id.as_ref()).collect();
        let is_known = |id: &FrameworkId| {
            described.contains(id) || self.books.frameworks.contains_key(id) || self.is_removed(id)
        };
        let unheard_of = held.frameworks.iter().filter(|framework| {
            framework.id.as_ref().is_some_and(|id| !self.books.frameworks.contains_key(id))
        });
        for framework in unheard_of {
            self.check_framework_fits(framework)
                .map_err(|why| format!("framework {}: {why}", framework.name))?;
        }
        let (mut seen, mut used) = (BTreeSet::new(), Resources::EMPTY);
        let mut of_tasks = Vec::with_capacity(held.tasks.len());
        for task in &held.tasks {
            let key = task.key();
            if !is_known(&key.framework) {
                return Err(format!("task {key} belongs to a framework that is not described"));
            }
            let resources = task.task.resources.unallocated();
            if !task.is_over() {
                used.add(&resources)
                    .map_err(|error| format!("task {key} holds what another does: {error}"))?;
            }
            of_tasks.push(resources);
            if !seen.insert((&task.framework, &task.task.id)) {
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
        Ok(of_tasks)
    }

    /// The agent is in the registry: the books take over what it states, and it is registered from now on.
    pub(crate) fn register(
        &mut self,
        id: &AgentId,
        link: LinkId,
        description: Arc<AgentDescription>,
        Stated { held, of_tasks }: Stated,
    ) {
        self.unload(id);
        for framework in &held.frameworks {
            self.adopt_framework(framework);
        }
        let missing = self.missing_of(id, &held);
        let mut load = Load { total: self.stated_total(&description), ..Load::default() };
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
        let agent = Back {
            id,
            is_drained: self.books.agents.get(id).is_some_and(|agent| agent.drain.is_some()),
            since_given_up: self.silent.get(id) == Some(&Silence::SinceGivenUp),
        };
        for (task, resources) in held.tasks.into_iter().zip(of_tasks) {
            self.take_over(&agent, task, resources, &mut load, &mut returned);
        }
        let unwanted = self.take_over_operations(id, held.operations);
        self.install(id, link, description, load);
        for key in missing {
            self.lose_missing(&key);
        }
        self.greet(id, link, returned);
        self.acknowledge_unwanted(id, unwanted);
        self.carry_out_late_kills(id);
    }

    /// The tasks of the books that the agent does not state.
    fn missing_of(&self, id: &AgentId, held: &Held) -> Vec<TaskKey> {
        let known = self.index.tasks_by_agent.of(id);
        if known.is_empty() {
            return known;
        }
        let stated: BTreeSet<TaskKey> = held.tasks.iter().map(HeldTask::key).collect();
        known.into_iter().filter(|key| !stated.contains(key)).collect()
    }

    /// Takes over one task that the agent states.
    fn take_over(
        &mut self,
        agent: &Back<'_>,
        mut held: HeldTask,
        resources: Resources,
        load: &mut Load,
        returned: &mut Vec<TaskKey>,
    ) {
        // The id of the books is kept on, so that it is stored once.
        if let Some(framework) = self.books.frameworks.get(&held.framework) {
            held.framework = framework.id.clone();
        }
        let key = held.key();
        let role = self.role_of(&key.framework, held.task.resources.allocation_role());
        let mut known = self.books.tasks.get(&key).map(|task| (task.agent == *agent.id, task.phase));
        if let Some((false, phase)) = known {
            // The id is in use: the task that came first keeps it, also when it has ended and its last update is not yet
            // acknowledged (Mesos: MESOS-3070). What this agent runs under it is ended.
            if phase != TaskPhase::Unreachable {
                if !held.is_over() {
                    load.hold(&key.framework, &role, &resources);
                    load.strays.insert(key, Stray { role, resources });
                }
                return;
            }
            self.complete_task(&key);
            known = None;
        }
        if agent.is_drained {
            held.latest = held.latest.map(|status| self.held_drained(agent.id, &key, status));
        }
        let state = held.latest.as_ref().map_or(TaskState::Staging, |status| status.state);
        match known.map(|(_, phase)| phase) {
            Some(TaskPhase::Ended | TaskPhase::Completed) => return,
            Some(phase) => {
                if phase == TaskPhase::Unreachable {
                    returned.push(key.clone());
                }
                self.bring_up_to_date(&key, held.latest, state, (&role, &resources));
            }
            None => {
                // Its framework may have been told that it is unreachable, by this master when it asked or by a former one.
                if agent.since_given_up && !held.is_over() {
                    returned.push(key.clone());
                }
                let mut task =
                    held.into_task(agent.id.clone(), role.clone(), resources.clone(), self.now.wall);
                note_end(&mut task, self.now.wall);
                self.insert_task(task);
            }
        }
        if state.is_terminal() {
            *self.books.counters.ended.entry(state).or_default() += 1;
        } else {
            load.hold(&key.framework, &role, &resources);
            load.tasks += 1;
        }
    }

    /// What the agent says of a task that is in the books as its own.
    fn bring_up_to_date(
        &mut self,
        key: &TaskKey,
        latest: Option<TaskStatus>,
        state: TaskState,
        (role, resources): (&Role, &Resources),
    ) {
        let now = self.now.wall;
        self.note_within_reach(key);
        let Some(task) = self.task_mut(key) else { return };
        if let Some(status) = latest {
            task.note_held(status, now);
        }
        task.state = state;
        task.role = role.clone();
        task.resources = resources.clone();
        task.phase = TaskPhase::Live;
        note_end(task, now);
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
            constraints: Arc::default(),
        };
        self.record(RegistryChange::PutFramework(id.clone(), Self::framework_record(&framework)));
        self.books.frameworks.insert(id, Arc::new(framework));
    }

    /// The role that something counts for when the agent says none, or no single one: the framework's only or first.
    pub(crate) fn role_of(&self, framework: &FrameworkId, stated: Option<&Role>) -> Role {
        let described = self.books.frameworks.get(framework).and_then(|f| f.description.roles.first());
        stated.or(described).cloned().unwrap_or_else(Role::star)
    }

    /// A task that its agent does not have: it was never delivered, or is gone without a word.
    fn lose_missing(&mut self, key: &TaskKey) {
        let Some(task) = self.books.tasks.get(key) else { return };
        let (phase, was_said) = (task.phase, !task.statuses.is_empty());
        let (reason, message) = (Reason::Reconciliation, "Reconciliation: Task is unknown to the agent");
        match phase {
            TaskPhase::Live | TaskPhase::Unreachable => {
                let state = if was_said { TaskState::Gone } else { TaskState::Dropped };
                self.end_by_master(key, state, reason, message);
            }
            TaskPhase::Ended | TaskPhase::Completed => self.complete_ended(key, reason, message),
        }
    }
}

/// A task whose state is an end has ended.
fn note_end(task: &mut Task, now: Wall) {
    if task.state.is_terminal() {
        task.phase = TaskPhase::Ended;
        task.finished = Some(now);
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

    pub(crate) fn into_task(self, agent: AgentId, role: Role, resources: Resources, now: Wall) -> Task {
        let mut task = Task::new(self.framework, self.task, resources, agent, role, now);
        if let Some(status) = self.latest {
            task.state = status.state;
            task.note_held(status, now);
        }
        task
    }
}
