//! What executors of frameworks' own say, and what they are told. Source: Mesos' executor API.

use chapada_model::{ExecutorKey, Now, Payload, Reason, Resources, Source, TaskId, TaskState};

use crate::agent::Agent;
use crate::effect::Effect;
use crate::executor::{ExecutorPhase, ExecutorRefused, Report, Subscription, ToExecutor};
use crate::outcome::Statement;
use crate::phase::{Ending, TaskPhase};
use crate::record::{Record, TaskRecord, Update};

impl Agent {
    /// Whether a call of this executor is taken, in the order of Mesos' checks.
    ///
    /// # Errors
    /// Why not; nothing was changed.
    pub fn check_executor(&self, key: &ExecutorKey, subscribes: bool) -> Result<(), ExecutorRefused> {
        if !self.frameworks.contains_key(&key.framework) {
            return Err(ExecutorRefused::UnknownFramework);
        }
        let executor = self.executors.get(key).filter(|executor| !executor.record.is_pod());
        let executor = executor.ok_or(ExecutorRefused::UnknownExecutor)?;
        match executor.stream.is_some() || subscribes {
            true => Ok(()),
            false => Err(ExecutorRefused::NotSubscribed),
        }
    }

    /// The executor's container, which is part of what its token says.
    pub fn executor_container(&self, key: &ExecutorKey) -> Option<&chapada_model::ContainerId> {
        self.executors.get(key).map(|executor| &executor.record.container)
    }

    pub(crate) fn on_subscribed(&mut self, now: Now, subscription: Subscription) {
        let Subscription { executor: key, stream, tasks, updates } = subscription;
        let Some(executor) = self.executors.get_mut(&key).filter(|executor| !executor.record.is_pod()) else {
            return self.effects.push(Effect::CloseExecutor { executor: key, stream });
        };
        let former = executor.stream.replace(stream);
        let was_subscribed = std::mem::replace(&mut executor.subscribed, true);
        if let Some(former) = former {
            self.effects.push(Effect::CloseExecutor { executor: key.clone(), stream: former });
        }
        if !was_subscribed {
            self.note_subscribed(&key);
        }
        self.greet_executor(&key);
        for report in updates {
            self.on_report(now, &key, report);
        }
        if was_subscribed {
            self.drop_undelivered(now, &key, &tasks);
        }
        self.end_unwanted(&key, tasks);
        self.resize(&key);
        self.deliver_tasks(&key);
    }

    /// What it is sent from now on may reach it: that is on disk before anything is sent, or a restart would send it again.
    fn note_subscribed(&mut self, key: &ExecutorKey) {
        let sequence = self.log(Record::ExecutorSubscribed(key.clone()));
        let queue = self.executors.get_mut(key).map(|executor| executor.queue.iter_mut());
        queue.into_iter().flatten().for_each(|delivery| delivery.after = sequence);
    }

    fn greet_executor(&mut self, key: &ExecutorKey) {
        let Some(executor) = self.executors.get(key) else { return };
        let (record, phase) = (executor.record.clone(), executor.phase.clone());
        let Some(framework) = self.frameworks.get(&key.framework).map(|known| known.record.clone()) else {
            return;
        };
        self.tell_executor(key, ToExecutor::Subscribed { executor: record, framework });
        match phase {
            ExecutorPhase::Registering { pid, .. } | ExecutorPhase::Returning { pid, .. } => {
                self.set_executor_phase(key, ExecutorPhase::Running { pid });
            }
            ExecutorPhase::Ending { .. } => self.tell_executor(key, ToExecutor::Shutdown),
            ExecutorPhase::Pod { .. }
            | ExecutorPhase::Recovering { .. }
            | ExecutorPhase::Launching { .. }
            | ExecutorPhase::Running { .. } => {}
        }
    }

    /// Tasks that were sent on an earlier stream, of which the executor neither knows nor has said anything: whether they
    /// reached it nobody knows, so they are not sent again. Source: Mesos' `Slave::subscribe`.
    fn drop_undelivered(&mut self, now: Now, key: &ExecutorKey, known: &[TaskId]) {
        for task in self.live_tasks(key) {
            let is_silent = self.tasks.get(&task.key).is_some_and(|held| held.stream.newest().is_none());
            let is_queued = self.executors.get(key).is_some_and(|executor| executor.is_queued(&task.key));
            if is_silent && !is_queued && !known.contains(&task.key.task) {
                let state = self.or_lost(&task.key, TaskState::Dropped);
                let message = "its executor came back and does not know of it".to_owned();
                self.end(now, &task.key, Statement::agent(state, Reason::AgentRestarted, message));
            }
        }
    }

    /// Tells the executor to end what is not to run, and what it was told to end while it had no stream.
    fn end_unwanted(&mut self, key: &ExecutorKey, known: Vec<TaskId>) {
        let live = self.live_tasks(key);
        for task in known {
            if !live.iter().any(|held| held.key.task == task) {
                self.tell_executor(key, ToExecutor::Kill { task, grace: None });
            }
        }
        for task in live {
            let kill = self.tasks.get(&task.key).and_then(|held| held.phase.kill());
            if kill.is_some()
                && self.executors.get(key).is_some_and(|executor| !executor.is_queued(&task.key))
            {
                self.tell_executor(key, ToExecutor::Kill { task: task.key.task.clone(), grace: kill });
            }
        }
    }

    pub(crate) fn on_stream_closed(&mut self, key: &ExecutorKey, stream: u64) {
        if let Some(executor) = self.executors.get_mut(key).filter(|known| known.stream == Some(stream)) {
            executor.stream = None;
        }
    }

    /// An update of an executor: written down, then acknowledged to it and sent to the framework.
    pub(crate) fn on_report(&mut self, now: Now, executor: &ExecutorKey, report: Report) {
        let key = chapada_model::TaskKey { framework: executor.framework.clone(), task: report.task.clone() };
        let (task, uuid) = (report.task.clone(), report.uuid);
        let pid = self.executors.get(executor).and_then(|known| known.phase.pid());
        let is_its_own = |held: &&crate::task::Task| {
            held.record.is_delegated() && held.record.executor() == Some(&executor.executor)
        };
        let Some(held) = self.tasks.get(&key).filter(is_its_own).filter(|held| held.phase.is_live()) else {
            return self.tell_executor(executor, ToExecutor::Acknowledged { task, uuid });
        };
        if let Some(is_durable) = held.stream.knows(uuid) {
            if is_durable {
                self.tell_executor(executor, ToExecutor::Acknowledged { task, uuid });
            }
            return;
        }
        let is_last = report.state.is_terminal();
        let update = Update {
            uuid,
            state: report.state,
            source: Source::Executor,
            reason: report.reason,
            message: report.message,
            at: report.at.unwrap_or(now.wall),
            pid,
            exceeded: Resources::EMPTY,
            healthy: None,
            check: None,
            details: Some(report.details),
        };
        if self.is_shut_down(&key.framework) {
            return self.hear_of_abandoned(now, executor, &key, update);
        }
        if self.append_update(&key, update)
            && let Some(known) = self.executors.get_mut(executor)
        {
            known.unheard.push_back((self.appended, task, uuid));
        }
        if is_last {
            if let Some(held) = self.tasks.get_mut(&key) {
                held.phase = TaskPhase::Ended(Ending::Unlogged);
            }
            self.resize(executor);
        }
    }

    /// Nobody waits for the updates of a framework that is gone, but the master hears of ends.
    fn hear_of_abandoned(
        &mut self,
        now: Now,
        executor: &ExecutorKey,
        key: &chapada_model::TaskKey,
        update: Update,
    ) {
        let (task, uuid) = (key.task.clone(), update.uuid);
        self.tell_executor(executor, ToExecutor::Acknowledged { task, uuid });
        if update.state.is_terminal() {
            let statement = Statement { message: update.message, ..Statement::executor(update.state) };
            self.end(now, key, statement);
        }
    }

    pub(crate) fn pass_on(&mut self, executor: ExecutorKey, data: Payload) {
        if self.link.is_up() && !self.is_shut_down(&executor.framework) {
            self.effects.push(Effect::SendMessage { executor, data });
        }
    }

    pub(crate) fn message(&mut self, sequence: u64, key: ExecutorKey, data: Payload) {
        if self.executors.get(&key).is_some_and(|executor| executor.stream.is_some()) {
            return self.tell_executor(&key, ToExecutor::Message(data));
        }
        let reason =
            format!("framework {} has no executor {} here that takes messages", key.framework, key.executor);
        self.effects.push(Effect::Refuse { sequence, reason });
    }

    /// Sends the tasks whose records are on disk, if the executor has a stream.
    pub(crate) fn deliver_tasks(&mut self, key: &ExecutorKey) {
        let durable = self.durable;
        while let Some(executor) = self.executors.get_mut(key)
            && executor.stream.is_some()
            && !executor.phase.is_ending()
            && executor.queue.front().is_some_and(|delivery| delivery.after <= durable)
        {
            let Some(delivery) = executor.queue.pop_front() else { return };
            let held = delivery.tasks.iter().filter_map(|task| self.tasks.get(task));
            let records: Vec<_> =
                held.filter(|task| task.phase.is_live()).map(|task| task.record.clone()).collect();
            match delivery.is_group {
                true => self.tell_executor(key, ToExecutor::LaunchGroup(records)),
                false => {
                    for record in records {
                        self.tell_executor(key, ToExecutor::Launch(record));
                    }
                }
            }
        }
    }

    pub(crate) fn tell_executor(&mut self, key: &ExecutorKey, message: ToExecutor) {
        if let Some(stream) = self.executors.get(key).and_then(|executor| executor.stream) {
            self.effects.push(Effect::ToExecutor { executor: key.clone(), stream, message });
        }
    }

    /// The container of an executor is to have room for its live tasks, and for no more.
    pub(crate) fn resize(&mut self, key: &ExecutorKey) {
        let Some(executor) = self.executors.get(key).filter(|known| known.phase.pid().is_some()) else {
            return;
        };
        let record = executor.record.clone();
        let tasks = self.live_tasks(key);
        self.effects.push(Effect::Resize { executor: record, tasks });
    }

    pub(crate) fn live_tasks(&self, key: &ExecutorKey) -> Vec<std::sync::Arc<TaskRecord>> {
        let Some(executor) = self.executors.get(key) else { return Vec::new() };
        let held = executor.tasks.iter().filter_map(|task| self.tasks.get(task));
        held.filter(|task| task.phase.is_live()).map(|task| task.record.clone()).collect()
    }
}
