//! Taking a task on: its record is written down, its container is made, and it is let go when all is said.

use std::sync::Arc;

use chapada_model::{ContainerId, FrameworkId, Now, Reason, Resources, Source, TaskKey, TaskState};

use crate::agent::{Agent, MAX_TASKS, Tenant};
use crate::effect::Effect;
use crate::outcome::Statement;
use crate::phase::{Ending, TaskPhase};
use crate::record::{FrameworkRecord, Record, Runner, TaskRecord};
use crate::task::{Framework, GroupTask, LaunchRefusal, Task, TaskLaunch};

impl Agent {
    pub(crate) fn launch(&mut self, now: Now, sequence: u64, launch: TaskLaunch) {
        let unknown = self.unknown_to_this_agent(&launch.framework, &launch.made);
        let TaskLaunch { framework, key, executor, kill_grace, watch, info, refusal, .. } = launch;
        let (task, refusal) = (GroupTask { key, kill_grace, watch, info }, refusal.or(unknown));
        if let Some(executor) = executor {
            let tasks = Tasks { list: vec![task], is_group: false, refusal };
            return self.launch_on_executor(now, sequence, framework, executor, tasks);
        }
        if let Some(reason) = self.cannot_take(&task.key) {
            return self.effects.push(Effect::Refuse { sequence, reason });
        }
        if self.tasks.len() >= MAX_TASKS {
            return self.say_too_many(now, &task.key);
        }
        let framework = self.ensure_framework(framework);
        let container = self.ids.container();
        let record = self.take_on(now, task, Runner::Command, container, TaskPhase::Launching { kill: None });
        match refusal {
            Some(refusal) => self.end(now, &record.key, Statement::refused(refusal)),
            None => {
                self.say(now, &record.key, Statement::executor(TaskState::Starting));
                self.effects.push(Effect::Launch { task: record, framework, pod: None });
            }
        }
    }

    /// Why tasks cannot be taken that use what this agent never made. Source: Mesos' agent.
    pub(crate) fn unknown_to_this_agent(
        &self,
        framework: &FrameworkRecord,
        made: &Resources,
    ) -> Option<LaunchRefusal> {
        let is_known = self.operations.total().contains(made);
        (!is_known).then(|| LaunchRefusal {
            state: if framework.partition_aware { TaskState::Dropped } else { TaskState::Lost },
            reason: Reason::ResourcesUnknown,
            message: format!("{made} is unknown to the agent: no operation made it there"),
        })
    }

    /// Writes a task down and holds it.
    pub(crate) fn take_on(
        &mut self,
        now: Now,
        task: GroupTask,
        runner: Runner,
        container: ContainerId,
        phase: TaskPhase,
    ) -> Arc<TaskRecord> {
        let GroupTask { key, kill_grace, watch, info } = task;
        let launched = now.wall;
        let record = TaskRecord { key, runner, container, kill_grace, watch, launched, info };
        let record = Arc::new(record);
        self.log(Record::Task(record.clone()));
        self.hold(Task::new(record.clone(), phase));
        record
    }

    pub(crate) fn say_too_many(&mut self, now: Now, key: &TaskKey) {
        let message =
            format!("the agent holds {MAX_TASKS} tasks already; acknowledge the updates of ended ones");
        self.say_dropped(now, key, Reason::InvalidOffers, message);
    }

    pub(crate) fn cannot_take(&self, key: &TaskKey) -> Option<String> {
        if self.leaving {
            return Some(format!("task {} came for an agent that was marked gone", key.task));
        }
        if self.tasks.contains_key(key) {
            return Some(format!("task {} of framework {} is held already", key.task, key.framework));
        }
        let framework = self.frameworks.get(&key.framework)?;
        framework.shut_down.then(|| format!("framework {} is shut down", key.framework))
    }

    /// Writes the framework down unless it stands there as it is.
    pub(crate) fn ensure_framework(&mut self, record: FrameworkRecord) -> Arc<FrameworkRecord> {
        if let Some(known) = self.frameworks.get(&record.id).filter(|known| *known.record == record) {
            return known.record.clone();
        }
        let record = Arc::new(record);
        self.log(Record::Framework(record.clone()));
        self.note_framework(record.clone());
        record
    }

    pub(crate) fn note_framework(&mut self, record: Arc<FrameworkRecord>) {
        let id = record.id.clone();
        let unknown = Framework::new(record.clone());
        self.frameworks.entry(id).or_insert(unknown).record = record;
    }

    pub(crate) fn update_framework(&mut self, record: FrameworkRecord) {
        if self.frameworks.contains_key(&record.id) {
            self.ensure_framework(record);
        }
    }

    pub(crate) fn hold(&mut self, task: Task) {
        let key = task.record.key.clone();
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.tasks += 1;
        }
        if let Some(executor) = task.record.executor_key().and_then(|key| self.executors.get_mut(&key))
            && executor.record.has(&task.record)
        {
            executor.tasks.insert(key.clone());
        }
        if !task.record.is_delegated() {
            self.containers.insert(task.record.container.clone(), Tenant::Task(key.clone()));
        }
        self.tasks.insert(key, task);
    }

    /// The task has come to its end: says so, and holds it until that is acknowledged. One of a framework that is gone is
    /// let go at once; the master hears of it so that what it held is free.
    pub(crate) fn end(&mut self, now: Now, key: &TaskKey, statement: Statement) {
        let failed = statement.state != TaskState::Finished;
        self.conclude(now, key, statement);
        self.on_member_ended(now, key, failed);
    }

    /// The same for the task alone, whatever group it is of.
    pub(crate) fn conclude(&mut self, now: Now, key: &TaskKey, statement: Statement) {
        self.clear_timers(key);
        if self.is_shut_down(&key.framework) {
            self.say_once(now, key, statement);
            return self.forget(now, key);
        }
        self.say(now, key, statement);
        if let Some(task) = self.tasks.get_mut(key) {
            task.phase = TaskPhase::Ended(Ending::Unlogged);
        }
    }

    /// Lets go of a task that has ended and whose updates nobody waits for.
    pub(crate) fn forget(&mut self, now: Now, key: &TaskKey) {
        self.clear_timers(key);
        let Some(task) = self.tasks.remove(key) else { return };
        let container = task.record.container.clone();
        self.log(Record::TaskForgotten(key.clone()));
        if !task.record.is_delegated() {
            self.containers.remove(&container);
            if task.phase != TaskPhase::Ended(Ending::Logged) {
                self.effects.push(Effect::Remove { container: container.clone() });
            }
        }
        self.effects.push(Effect::Forgotten { task: key.clone(), container });
        if let Some(executor) = task.record.executor_key() {
            self.on_task_forgotten(now, &executor, key);
        }
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.tasks = framework.tasks.saturating_sub(1);
        }
        self.let_framework_go(&key.framework);
        self.leave_if_empty();
    }

    /// Forgets a framework that has nothing here any more.
    pub(crate) fn let_framework_go(&mut self, id: &FrameworkId) {
        if self.frameworks.get(id).is_some_and(Framework::is_empty) {
            self.frameworks.remove(id);
            self.log(Record::FrameworkForgotten(id.clone()));
        }
    }

    pub(crate) fn on_launch_failed(&mut self, now: Now, container: &ContainerId, message: String) {
        if let Some(Tenant::Executor(key)) = self.containers.get(container) {
            let key = key.clone();
            return self.on_executor_not_started(now, &key, message);
        }
        let Some((key, task)) = self.task_of(container) else {
            return self.effects.push(Effect::Destroy { container: container.clone() });
        };
        if !task.phase.is_live() {
            return;
        }
        let statement = if task.phase.kill().is_some() {
            Statement::killed_during_launch()
        } else {
            Statement {
                source: Source::Agent,
                reason: Some(Reason::ContainerLaunchFailed),
                message,
                ..Statement::executor(TaskState::Failed)
            }
        };
        self.end(now, &key, statement);
    }

    pub(crate) fn is_shut_down(&self, id: &FrameworkId) -> bool {
        self.leaving || self.frameworks.get(id).is_some_and(|framework| framework.shut_down)
    }
}

/// Tasks that are launched on one executor.
pub(crate) struct Tasks {
    pub(crate) list: Vec<GroupTask>,
    pub(crate) is_group: bool,
    pub(crate) refusal: Option<crate::task::LaunchRefusal>,
}
