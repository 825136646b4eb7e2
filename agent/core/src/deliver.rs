//! Status updates on their way: logged, sent, repeated, acknowledged.

use std::sync::Arc;

use chapada_model::{Now, Reason, TaskKey, TaskState, UpdateUuid};

use crate::agent::Agent;
use crate::effect::Effect;
use crate::kill::KillCause;
use crate::outcome::Statement;
use crate::phase::{Ending, TaskPhase};
use crate::record::{Record, Update};
use crate::timers::Timer;

impl Agent {
    /// Writes an update down; it is sent once it is durable.
    pub(crate) fn say(&mut self, now: Now, key: &TaskKey, statement: Statement) {
        let Some(task) = self.tasks.get(key) else { return };
        let pid = task.phase.pid().or_else(|| task.stream.newest().and_then(|update| update.pid));
        let check = task.record.watch.shown(statement.state, task.watching.seen);
        let healthy = match statement.state {
            TaskState::Running => task.watching.healthy,
            _ => (task.cause == KillCause::Unhealthy).then_some(false),
        };
        let update = Update { healthy, check, ..self.update(now, statement, pid) };
        self.append_update(key, update);
    }

    /// Writes down an update that is made already; `false` when the task had its last.
    pub(crate) fn append_update(&mut self, key: &TaskKey, update: Update) -> bool {
        let update = Arc::new(update);
        let sequence = self.appended + 1;
        let Some(task) = self.tasks.get_mut(key) else { return false };
        if !task.stream.push(update.clone(), sequence) {
            return false;
        }
        self.log(Record::Update { task: key.clone(), update });
        self.unlogged.push_back((sequence, key.clone()));
        true
    }

    pub(crate) fn say_running(&mut self, now: Now, key: &TaskKey) {
        let note = self.tasks.get_mut(key).map(|task| std::mem::take(&mut task.note));
        let running = Statement::executor(TaskState::Running);
        self.say(now, key, Statement { message: note.unwrap_or_default(), ..running });
        self.start_checks(now, key);
    }

    /// Answers for a task that is not held: once, without a record.
    pub(crate) fn say_dropped(&mut self, now: Now, key: &TaskKey, reason: Reason, message: String) {
        let state = self.or_lost(key, TaskState::Dropped);
        self.say_once(now, key, Statement::agent(state, reason, message));
    }

    /// Says something without a record. Should it be lost, the next statement of all that is held says as much.
    pub(crate) fn say_once(&mut self, now: Now, key: &TaskKey, statement: Statement) {
        let latest = statement.state;
        let update = Arc::new(self.update(now, statement, None));
        self.tell_master(Effect::SendUpdate { task: key.clone(), executor: None, update, latest });
    }

    /// TASK_LOST for a framework that does not know the finer state.
    pub(crate) fn or_lost(&self, key: &TaskKey, state: TaskState) -> TaskState {
        match self.frameworks.get(&key.framework) {
            Some(framework) if !framework.record.partition_aware => TaskState::Lost,
            Some(_) | None => state,
        }
    }

    fn update(&mut self, now: Now, statement: Statement, pid: Option<u32>) -> Update {
        Update {
            uuid: self.ids.update(),
            state: statement.state,
            source: statement.source,
            reason: statement.reason,
            message: statement.message,
            at: now.wall,
            pid,
            exceeded: statement.exceeded,
            healthy: None,
            check: None,
            details: None,
        }
    }

    pub(crate) fn on_update_logged(&mut self, now: Now, key: &TaskKey) {
        let durable = self.durable;
        let Some(task) = self.tasks.get_mut(key) else { return };
        let over = task.stream.on_logged(durable);
        if over && task.phase == TaskPhase::Ended(Ending::Unlogged) {
            task.phase = TaskPhase::Ended(Ending::Logged);
            if !task.record.is_delegated() {
                let container = task.record.container.clone();
                self.effects.push(Effect::Remove { container });
            }
        }
        self.deliver(now, key);
    }

    /// Sends what may be sent and was not yet on this link.
    pub(crate) fn deliver(&mut self, now: Now, key: &TaskKey) {
        if !self.link.is_up() {
            return;
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        let latest = task.stream.newest_logged().map_or(TaskState::Staging, |update| update.state);
        for update in task.stream.take_unsent() {
            let executor = task.record.executor().cloned();
            self.effects.push(Effect::SendUpdate { task: key.clone(), executor, update, latest });
        }
        if let Some(at) = task.stream.schedule(now.mono) {
            self.timers.set(at, Timer::Repeat(key.clone()));
        }
    }

    pub(crate) fn on_repeat_due(&mut self, now: Now, key: &TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.stream.unschedule();
        task.stream.rewind();
        self.deliver(now, key);
    }

    pub(crate) fn acknowledge(&mut self, now: Now, key: &TaskKey, uuid: UpdateUuid) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if !task.stream.acknowledge(uuid) {
            return;
        }
        task.stream.reset_wait();
        let over = task.stream.is_over();
        if let Some(at) = task.stream.unschedule() {
            self.timers.clear(at, Timer::Repeat(key.clone()));
        }
        if over {
            return self.forget(now, key);
        }
        self.log(Record::Acknowledged { task: key.clone(), uuid });
        if let Some(at) = self.tasks.get_mut(key).and_then(|task| task.stream.schedule(now.mono)) {
            self.timers.set(at, Timer::Repeat(key.clone()));
        }
        self.say_owed(now, key);
    }
}
