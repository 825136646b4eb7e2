//! Taking a task on: its record is written down, its container is made, and it is let go when all is said.

use std::sync::Arc;

use chapada_model::{FrameworkId, Now, Reason, Source, TaskKey, TaskState};

use crate::agent::{Agent, MAX_TASKS};
use crate::effect::Effect;
use crate::outcome::Statement;
use crate::phase::{Ending, TaskPhase};
use crate::record::{FrameworkRecord, Record, TaskRecord};
use crate::task::{Framework, Task, TaskLaunch};

impl Agent {
    pub(crate) fn launch(&mut self, now: Now, sequence: u64, launch: TaskLaunch) {
        if let Some(reason) = self.cannot_take(&launch) {
            return self.effects.push(Effect::Refuse { sequence, reason });
        }
        if self.tasks.len() >= MAX_TASKS {
            let message =
                format!("the agent holds {MAX_TASKS} tasks already; acknowledge the updates of ended ones");
            return self.say_dropped(now, &launch.key, Reason::InvalidOffers, message);
        }
        let framework = self.ensure_framework(launch.framework);
        let record = Arc::new(TaskRecord {
            key: launch.key.clone(),
            executor: launch.executor,
            container: self.ids.container(),
            kill_grace: launch.kill_grace,
            launched: now.wall,
            info: launch.info,
        });
        self.log(Record::Task(record.clone()));
        self.hold(Task::new(record.clone(), TaskPhase::Launching { kill: None }));
        match launch.refusal {
            Some(refusal) => self.end(now, &launch.key, Statement::refused(refusal)),
            None => {
                self.say(now, &launch.key, Statement::executor(TaskState::Starting));
                self.effects.push(Effect::Launch { task: record, framework });
            }
        }
    }

    fn cannot_take(&self, launch: &TaskLaunch) -> Option<String> {
        let key = &launch.key;
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
        let unknown = Framework { record: record.clone(), shut_down: false, tasks: 0 };
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
        self.containers.insert(task.record.container.clone(), key.clone());
        self.tasks.insert(key, task);
    }

    /// The task has come to its end: says so, and holds it until that is acknowledged. One of a framework that is gone is
    /// let go at once; the master hears of it so that what it held is free.
    pub(crate) fn end(&mut self, now: Now, key: &TaskKey, statement: Statement) {
        self.clear_timers(key);
        if self.is_shut_down(&key.framework) {
            self.say_once(now, key, statement);
            return self.forget(key);
        }
        self.say(now, key, statement);
        if let Some(task) = self.tasks.get_mut(key) {
            task.phase = TaskPhase::Ended(Ending::Unlogged);
        }
    }

    /// Lets go of a task that has ended and whose updates nobody waits for.
    pub(crate) fn forget(&mut self, key: &TaskKey) {
        self.clear_timers(key);
        let Some(task) = self.tasks.remove(key) else { return };
        let container = task.record.container.clone();
        self.containers.remove(&container);
        self.log(Record::TaskForgotten(key.clone()));
        if task.phase != TaskPhase::Ended(Ending::Logged) {
            self.effects.push(Effect::Remove { container: container.clone() });
        }
        self.effects.push(Effect::Forgotten { task: key.clone(), container });
        self.let_framework_go(&key.framework);
        self.leave_if_empty();
    }

    fn let_framework_go(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.tasks = framework.tasks.saturating_sub(1);
        if framework.tasks == 0 {
            self.frameworks.remove(id);
            self.log(Record::FrameworkForgotten(id.clone()));
        }
    }

    pub(crate) fn on_launch_failed(
        &mut self,
        now: Now,
        container: &chapada_model::ContainerId,
        message: String,
    ) {
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
