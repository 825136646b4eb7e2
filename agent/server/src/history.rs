//! What was here and is over: tasks, executors and frameworks of which nothing is left to be done, the youngest of each. They are
//! for whoever looks at the agent, and go with its process.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chapada_agent_core::{
    Ending, ExecutorRecord, FrameworkRecord, Record, TaskPhase, TaskRecord, TaskView, Update, View,
};
use chapada_model::{ExecutorKey, FrameworkId, TaskKey};

/// Frameworks that are over. Source: Mesos' `MAX_COMPLETED_FRAMEWORKS`.
const FRAMEWORKS: usize = 50;
/// Tasks of one executor that are over. Source: Mesos' `MAX_COMPLETED_TASKS_PER_EXECUTOR`.
const TASKS: usize = 200;

/// All of an agent.
#[derive(Debug)]
pub(crate) struct History {
    /// Executors of one framework that are over, those of commands included.
    executors: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tasks: HashMap<TaskKey, (Arc<TaskRecord>, Option<Arc<Update>>)>,
    executors: HashMap<ExecutorKey, Arc<ExecutorRecord>>,
    past: BTreeMap<FrameworkId, Past>,
    /// Frameworks that ended so far.
    ended: u64,
    /// Tasks that were forgotten between a statement of what is held and its welcome: they are among what was stated.
    stated: Option<BTreeSet<TaskKey>>,
}

/// What is over of one framework.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) framework: Arc<FrameworkRecord>,
    /// Set when all of it is over; the later the higher.
    ended: Option<u64>,
    /// The oldest first.
    pub(crate) executors: VecDeque<PastExecutor>,
    /// Tasks of executors that live.
    pub(crate) tasks: BTreeMap<ExecutorKey, VecDeque<TaskView>>,
}

/// An executor that is over.
#[derive(Clone, Debug)]
pub(crate) enum PastExecutor {
    /// The one of a command, which has its task's name.
    OfCommand(Box<TaskView>),
    /// A framework's own, or a pod's, with its tasks.
    Own(Arc<ExecutorRecord>, VecDeque<TaskView>),
}

impl Past {
    /// Whether the framework has nothing here any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    fn clear(&mut self) {
        self.executors.clear();
        self.tasks.clear();
    }

    /// Leaves out tasks that are not wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&TaskView) -> bool) {
        self.executors.retain(|executor| match executor {
            PastExecutor::OfCommand(task) => wanted(task),
            PastExecutor::Own(..) => true,
        });
        let own = self.executors.iter_mut().filter_map(|executor| match executor {
            PastExecutor::OfCommand(_) => None,
            PastExecutor::Own(_, tasks) => Some(tasks),
        });
        own.chain(self.tasks.values_mut()).for_each(|tasks| tasks.retain(&wanted));
    }

    /// Every task that is over.
    pub(crate) fn all_tasks(&self) -> Vec<&TaskView> {
        let of_executors = self.executors.iter().flat_map(|executor| match executor {
            PastExecutor::OfCommand(task) => vec![&**task],
            PastExecutor::Own(_, tasks) => tasks.iter().collect(),
        });
        of_executors.chain(self.tasks.values().flatten()).collect()
    }
}

impl History {
    /// Begins with what an agent found when it started; keeps so many executors of each framework.
    pub(crate) fn new(executors: usize, view: &View) -> Self {
        let mut known = Known::default();
        view.frameworks.iter().for_each(|framework| known.begin(framework));
        for executor in &view.executors {
            known.executors.insert(executor.record.key.clone(), executor.record.clone());
        }
        for task in &view.tasks {
            known.tasks.insert(task.record.key.clone(), (task.record.clone(), task.newest.clone()));
        }
        Self { executors, known: Mutex::new(known) }
    }

    /// What is over now.
    pub(crate) fn past(&self) -> Vec<Past> {
        self.known().past.values().cloned().collect()
    }

    /// All that is held is being stated to a master.
    pub(crate) fn note_statement(&self) {
        self.known().stated = Some(BTreeSet::new());
    }

    /// The statement was taken. The tasks that were over before it, of each framework at most so many: the one that ended last comes first.
    pub(crate) fn completed(&self, most: usize) -> Vec<TaskView> {
        let mut known = self.known();
        let stated = known.stated.take().unwrap_or_default();
        let ended = |task: &TaskView| {
            task.newest.as_ref().filter(|last| last.state.is_terminal()).map(|last| Reverse(last.at))
        };
        let mut completed = Vec::new();
        for past in known.past.values().filter(|_| most > 0) {
            let mut tasks = past.all_tasks();
            tasks.retain(|task| ended(task).is_some() && !stated.contains(&task.record.key));
            tasks.sort_by_key(|task| ended(task));
            completed.extend(tasks.into_iter().take(most).cloned());
        }
        completed.sort_by_key(ended);
        completed
    }

    /// Hears of what is written down.
    pub(crate) fn note(&self, record: &Record) {
        let mut known = self.known();
        match record {
            // What ran under another id is not this agent's, nor are its sandboxes.
            Record::Agent(_) => known.past.values_mut().for_each(Past::clear),
            Record::Framework(framework) => known.begin(framework),
            Record::FrameworkForgotten(id) => known.end(id),
            Record::Executor(executor) => {
                known.executors.insert(executor.key.clone(), executor.clone());
            }
            Record::ExecutorForgotten(key) => known.end_executor(key, self.executors),
            Record::Task(task) => {
                known.tasks.insert(task.key.clone(), (task.clone(), None));
            }
            Record::Update { task, update } => {
                if let Some((_, newest)) = known.tasks.get_mut(task) {
                    *newest = Some(update.clone());
                }
            }
            Record::TaskForgotten(key) => known.end_task(key, self.executors),
            _ => {}
        }
    }

    /// One that is not over, as far as was heard.
    pub(crate) fn executor(&self, key: &ExecutorKey) -> Option<Arc<ExecutorRecord>> {
        self.known().executors.get(key).cloned()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn begin(&mut self, framework: &Arc<FrameworkRecord>) {
        let new = || Past {
            framework: framework.clone(),
            ended: None,
            executors: VecDeque::new(),
            tasks: BTreeMap::new(),
        };
        let past = self.past.entry(framework.id.clone()).or_insert_with(new);
        (past.framework, past.ended) = (framework.clone(), None);
    }

    fn end(&mut self, id: &FrameworkId) {
        let Some(past) = self.past.get_mut(id) else { return };
        self.ended += 1;
        past.ended = Some(self.ended);
        let over = self.past.iter().filter_map(|(id, past)| Some((past.ended?, id)));
        if over.clone().count() > FRAMEWORKS
            && let Some(oldest) = over.min().map(|(_, id)| id.clone())
        {
            self.past.remove(&oldest);
        }
    }

    fn end_executor(&mut self, key: &ExecutorKey, most: usize) {
        let record = self.executors.remove(key);
        let past = self.past.get_mut(&key.framework);
        if let Some((record, past)) = record.zip(past) {
            let tasks = past.tasks.remove(key).unwrap_or_default();
            keep(&mut past.executors, PastExecutor::Own(record, tasks), most);
        }
    }

    fn end_task(&mut self, key: &TaskKey, most: usize) {
        let task = self.tasks.remove(key);
        if let Some(stated) = &mut self.stated {
            stated.insert(key.clone());
        }
        let past = self.past.get_mut(&key.framework);
        let Some(((record, newest), past)) = task.zip(past) else { return };
        let executor = record.executor_key();
        let acknowledged = newest.as_ref().map(|update| update.state);
        let task = TaskView {
            record,
            phase: TaskPhase::Ended(Ending::Logged),
            newest,
            acknowledged,
            is_queued: false,
        };
        let Some(executor) = executor else {
            return keep(&mut past.executors, PastExecutor::OfCommand(Box::new(task)), most);
        };
        if self.executors.contains_key(&executor) {
            return keep(past.tasks.entry(executor).or_default(), task, TASKS);
        }
        let ended = past.executors.iter_mut().rev().find_map(|past| match past {
            PastExecutor::Own(record, tasks) if record.key == executor => Some(tasks),
            _ => None,
        });
        if let Some(tasks) = ended {
            keep(tasks, task, TASKS);
        }
    }
}

/// Adds one, at the cost of the oldest.
fn keep<T>(kept: &mut VecDeque<T>, one: T, most: usize) {
    kept.push_back(one);
    while kept.len() > most {
        kept.pop_front();
    }
}
