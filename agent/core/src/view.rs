//! What others may read of an agent: its tasks for the API, its records for a fresh log.

use std::sync::Arc;

use chapada_model::{AgentId, OperationStatus, Resources, TaskKey, TaskState};

use crate::agent::Agent;
use crate::event::AgentDrain;
use crate::executor::ExecutorPhase;
use crate::phase::TaskPhase;
use crate::record::{ExecutorRecord, FrameworkRecord, Record, TaskRecord, Update};
use crate::task::Task;

/// A copy of what an agent holds, cheap to make.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The id that a master gave.
    pub agent: Option<AgentId>,
    /// The highest epoch seen.
    pub epoch: u64,
    /// A master has admitted the agent on a link that stands.
    pub registered: bool,
    /// Tasks, those that ended and wait for acknowledgements included.
    pub tasks: Vec<TaskView>,
    /// Executors that are not the built-in command executor.
    pub executors: Vec<ExecutorView>,
    /// The frameworks they belong to.
    pub frameworks: Vec<Arc<FrameworkRecord>>,
    /// Operations whose outcome nobody has acknowledged.
    pub operations: Vec<OperationView>,
    /// All that it has, with what operations have made of it.
    pub resources: Resources,
    /// How it is being drained, or was, as the master said last.
    pub drain: Option<AgentDrain>,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// What became of it.
    pub status: Arc<OperationStatus>,
    /// Whether that is on disk: nobody has heard of it before.
    pub is_durable: bool,
}

/// One executor.
#[derive(Clone, Debug)]
pub struct ExecutorView {
    /// What was launched.
    pub record: Arc<ExecutorRecord>,
    /// Where it is.
    pub phase: ExecutorPhase,
    /// Whether it has a stream.
    pub is_connected: bool,
}

/// One task.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// What was launched.
    pub record: Arc<TaskRecord>,
    /// Where it is.
    pub phase: TaskPhase,
    /// The newest update, on disk or not.
    pub newest: Option<Arc<Update>>,
    /// The state that was acknowledged last.
    pub acknowledged: Option<TaskState>,
    /// Nothing runs it yet: its container is being made, or its executor has not been sent it.
    pub is_queued: bool,
}

impl Agent {
    /// What was launched as this task.
    pub fn task(&self, key: &TaskKey) -> Option<&Arc<TaskRecord>> {
        self.tasks.get(key).map(|task| &task.record)
    }

    /// Whether this task may still have processes.
    pub fn is_live(&self, key: &TaskKey) -> bool {
        self.tasks.get(key).is_some_and(|task| task.phase.is_live())
    }

    fn is_queued(&self, key: &TaskKey, task: &Task) -> bool {
        match task.phase {
            TaskPhase::Launching { .. } => true,
            TaskPhase::Delegated { .. } => {
                let executor = task.record.executor_key().and_then(|key| self.executors.get(&key));
                executor.is_some_and(|executor| executor.is_queued(key))
            }
            TaskPhase::Recovering { .. }
            | TaskPhase::Running { .. }
            | TaskPhase::Killing { .. }
            | TaskPhase::Ended(_) => false,
        }
    }

    /// A copy of what it holds.
    pub fn view(&self) -> View {
        let tasks = self.tasks.iter().map(|(key, task)| TaskView {
            record: task.record.clone(),
            phase: task.phase.clone(),
            newest: task.stream.newest().cloned(),
            acknowledged: task.stream.acknowledged_state(),
            is_queued: self.is_queued(key, task),
        });
        let executors = self.executors.values().map(|executor| ExecutorView {
            record: executor.record.clone(),
            phase: executor.phase.clone(),
            is_connected: executor.stream.is_some(),
        });
        View {
            agent: self.id.clone(),
            epoch: self.epoch,
            registered: self.link.is_up(),
            tasks: tasks.collect(),
            executors: executors.collect(),
            resources: self.resources().clone(),
            frameworks: self.frameworks.values().map(|framework| framework.record.clone()).collect(),
            operations: self.operations.view(),
            drain: self.drain,
        }
    }

    /// The fewest records that [`Agent::restore`] makes this state of: what a fresh log starts with.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.for_each_record(|record| records.push(record));
        records
    }

    /// How many [`Agent::records`] there are.
    pub fn record_count(&self) -> usize {
        let mut count = 0;
        self.for_each_record(|_| count += 1);
        count
    }

    fn for_each_record(&self, mut put: impl FnMut(Record)) {
        self.boot_id.iter().for_each(|boot_id| put(Record::Boot { boot_id: boot_id.clone() }));
        put(Record::Epoch(self.epoch));
        put(Record::Agent(self.id.clone()));
        for (id, framework) in &self.frameworks {
            put(Record::Framework(framework.record.clone()));
            if framework.shut_down {
                put(Record::FrameworkShutdown(id.clone()));
            }
        }
        for (key, executor) in &self.executors {
            put(Record::Executor(executor.record.clone()));
            if executor.subscribed {
                put(Record::ExecutorSubscribed(key.clone()));
            }
            if executor.phase.is_ending() && !executor.phase.is_given_up() {
                put(Record::ExecutorShutdown(key.clone()));
            }
        }
        for (key, task) in &self.tasks {
            put(Record::Task(task.record.clone()));
            let kill = |grace| Record::Kill { task: key.clone(), grace, cause: task.cause };
            if let Some(kill) = task.phase.kill().map(kill) {
                put(kill);
            }
            for (update, acknowledged) in task.stream.retained() {
                put(Record::Update { task: key.clone(), update: update.clone() });
                if acknowledged {
                    put(Record::Acknowledged { task: key.clone(), uuid: update.uuid });
                }
            }
        }
        self.operations.records().for_each(put);
    }
}
