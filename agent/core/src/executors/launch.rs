//! Tasks that are launched on an executor, and the executor with the first of them.

use std::sync::Arc;

use chapada_model::{ContainerId, ExecutorKey, Now, Reason, TaskState};

use crate::agent::{Agent, MAX_TASKS, Tenant};
use crate::effect::Effect;
use crate::executor::{Delivery, Executor, ExecutorPhase};
use crate::launch::Tasks;
use crate::outcome::Statement;
use crate::phase::TaskPhase;
use crate::record::{ExecutorRecord, FrameworkRecord, Record, Runner, TaskRecord};
use crate::task::{ExecutorLaunch, GroupLaunch};

impl Agent {
    pub(crate) fn launch_group(&mut self, now: Now, sequence: u64, launch: GroupLaunch) {
        let GroupLaunch { framework, executor, tasks, made, refusal } = launch;
        let refusal = refusal.or_else(|| self.unknown_to_this_agent(&framework, &made));
        let tasks = Tasks { list: tasks, is_group: true, refusal };
        self.launch_on_executor(now, sequence, framework, executor, tasks);
    }

    pub(crate) fn launch_on_executor(
        &mut self,
        now: Now,
        sequence: u64,
        framework: FrameworkRecord,
        launch: ExecutorLaunch,
        tasks: Tasks,
    ) {
        let key = ExecutorKey { framework: framework.id.clone(), executor: launch.id.clone() };
        if let Some(reason) = tasks.list.iter().find_map(|task| self.cannot_take(&task.key)) {
            self.say_not_started(&key, launch.is_new);
            return self.effects.push(Effect::Refuse { sequence, reason });
        }
        if self.tasks.len().saturating_add(tasks.list.len()) > MAX_TASKS {
            self.say_not_started(&key, launch.is_new);
            return tasks.list.iter().for_each(|task| self.say_too_many(now, &task.key));
        }
        let framework = self.ensure_framework(framework);
        if tasks.refusal.is_some() {
            self.refuse_on_executor(now, &key, tasks);
            return self.say_not_started(&key, launch.is_new);
        }
        if let Some(problem) = self.cannot_use(&key, launch.is_new) {
            for task in &tasks.list {
                self.say_dropped(now, &task.key, Reason::ExecutorTerminated, problem.to_owned());
            }
            return self.let_framework_go(&key.framework);
        }
        let is_new = launch.is_new;
        let executor = self.ensure_executor(now, &key, launch);
        let held = self.take_on_executor(now, &executor, tasks);
        if executor.is_pod() {
            return self.start_pod_tasks(now, &executor, &framework, held);
        }
        match is_new {
            true => self.effects.push(Effect::LaunchExecutor { executor, tasks: held, framework }),
            false => self.resize(&key),
        }
        self.deliver_tasks(&key);
    }

    /// The books of the master and of the agent must agree on whether the executor runs.
    fn cannot_use(&self, key: &ExecutorKey, is_new: bool) -> Option<&'static str> {
        match self.executors.get(key) {
            None if is_new => None,
            None => Some("its executor has ended"),
            Some(executor) if executor.phase.is_ending() => Some("its executor is ending"),
            Some(_) if is_new => Some("its executor was to be started, and runs already"),
            Some(_) => None,
        }
    }

    /// The descriptions ask for what this agent cannot do: each task ends with that, and no executor starts for them.
    fn refuse_on_executor(&mut self, now: Now, key: &ExecutorKey, tasks: Tasks) {
        let Some(refusal) = tasks.refusal else { return };
        let group = tasks.list.first().map(|task| task.key.task.clone()).filter(|_| tasks.is_group);
        for task in tasks.list {
            let (executor, group) = (key.executor.clone(), group.clone());
            let (runner, container) = (Runner::Custom { executor, group }, self.ids.container());
            let record = self.take_on(now, task, runner, container, TaskPhase::Delegated { kill: None });
            self.end(now, &record.key, Statement::refused(refusal.clone()));
        }
    }

    /// The master counts an executor that is not: it hears so.
    fn say_not_started(&mut self, key: &ExecutorKey, is_new: bool) {
        if is_new && !self.executors.contains_key(key) {
            self.say_gone_later(key.clone(), None, -1);
        }
    }

    /// Writes the executor down unless it runs.
    fn ensure_executor(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        launch: ExecutorLaunch,
    ) -> Arc<ExecutorRecord> {
        if let Some(executor) = self.executors.get(key) {
            return executor.record.clone();
        }
        let record = Arc::new(ExecutorRecord {
            key: key.clone(),
            kind: launch.kind,
            container: self.ids.container(),
            shutdown_grace: launch.shutdown_grace.unwrap_or(self.timeouts.shutdown),
            launched: now.wall,
            info: launch.info,
        });
        self.log(Record::Executor(record.clone()));
        let phase = match record.is_pod() {
            true => ExecutorPhase::Pod { until: None, ending: false },
            false => ExecutorPhase::Launching { ending: false },
        };
        self.hold_executor(Executor::new(record.clone(), phase));
        record
    }

    pub(crate) fn hold_executor(&mut self, executor: Executor) {
        let key = executor.record.key.clone();
        if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.executors += 1;
        }
        if !executor.record.is_pod() {
            self.containers.insert(executor.record.container.clone(), Tenant::Executor(key.clone()));
        }
        self.executors.insert(key, executor);
    }

    /// Writes the tasks down, all before anything is said of one, so that a group that lacks a record after a crash is
    /// known by having said nothing.
    fn take_on_executor(
        &mut self,
        now: Now,
        executor: &ExecutorRecord,
        tasks: Tasks,
    ) -> Vec<Arc<TaskRecord>> {
        let first = tasks.list.first().map(|task| task.key.task.clone());
        let mut held = Vec::with_capacity(tasks.list.len());
        for task in tasks.list {
            let (runner, container, phase) = match executor.is_pod() {
                true => self.place_in_pod(executor, first.clone().unwrap_or_else(|| task.key.task.clone())),
                false => {
                    let group = first.clone().filter(|_| tasks.is_group);
                    let runner = Runner::Custom { executor: executor.key.executor.clone(), group };
                    (runner, executor.container.clone(), TaskPhase::Delegated { kill: None })
                }
            };
            held.push(self.take_on(now, task, runner, container, phase));
        }
        let (after, is_group) = (self.appended, tasks.is_group);
        if let Some(known) = self.executors.get_mut(&executor.key).filter(|_| !executor.is_pod()) {
            let tasks = held.iter().map(|record| record.key.clone()).collect();
            known.queue.push_back(Delivery { after, tasks, is_group });
        }
        held
    }

    fn place_in_pod(
        &mut self,
        executor: &ExecutorRecord,
        group: chapada_model::TaskId,
    ) -> (Runner, ContainerId, TaskPhase) {
        let (parent, executor) = (executor.container.clone(), executor.key.executor.clone());
        (Runner::Pod { executor, parent, group }, self.ids.container(), TaskPhase::Launching { kill: None })
    }

    fn start_pod_tasks(
        &mut self,
        now: Now,
        executor: &Arc<ExecutorRecord>,
        framework: &Arc<FrameworkRecord>,
        tasks: Vec<Arc<TaskRecord>>,
    ) {
        self.set_executor_phase(&executor.key, ExecutorPhase::Pod { until: None, ending: false });
        for task in &tasks {
            self.say(now, &task.key, Statement::executor(TaskState::Starting));
        }
        for task in tasks {
            let (framework, pod) = (framework.clone(), Some(executor.clone()));
            self.effects.push(Effect::Launch { task, framework, pod });
        }
    }
}
