//! What a test says to the simulated cluster and asks of it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{AgentId, Attribute, Resources, TaskId, TaskState};
use chapada_sdk::wire::scheduler::{Call, call};
use chapada_sdk::{
    Candidate, FrameworkConfig, MasterAddress, MemoryStore, OpenedStore, Record, Scheduler, SchedulerError,
    Schema, WriteError,
};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::agent::{Agent, Standing};
use crate::door::{Door, Make, Shared, known};
use crate::fault::{Arrival, Fault};
use crate::rule::{Broken, Rule};

/// A task as its agent has it, whatever the master and the scheduler believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedTask {
    /// Its id.
    pub id: TaskId,
    /// Where it is.
    pub agent: AgentId,
    /// Its state.
    pub state: TaskState,
}

/// A scheduler with a simulated master and simulated agents, in virtual time: an hour takes a moment. The scheduler is run by
/// [`run_elected`](chapada_sdk::run_elected) on a store in memory, all of which outlives it.
///
/// Until told otherwise, every agent offers what is free, every launched task runs after 50 ms, and every update is sent again until
/// it is acknowledged.
pub struct TestKit<S> {
    runtime: Runtime,
    shared: Shared,
    store: MemoryStore,
    candidate: Candidate,
    make: Make<S>,
}

impl<S: Scheduler + 'static> TestKit<S> {
    /// Starts the scheduler that `make` puts together from its store, with nothing in it. `make` is also called on copies of the
    /// store, to see what a successor would know; what it makes then is only asked for
    /// [`known_tasks`](Scheduler::known_tasks).
    ///
    /// # Panics
    /// When no runtime can be made.
    pub fn start(
        schema: Schema,
        make: impl Fn(&OpenedStore) -> Result<S, SchedulerError> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(schema, |_| {}, make)
    }

    /// As [`TestKit::start`], with changes to the driver's configuration.
    ///
    /// # Panics
    /// When no runtime can be made.
    pub fn start_with(
        schema: Schema,
        configure: impl FnOnce(&mut FrameworkConfig),
        make: impl Fn(&OpenedStore) -> Result<S, SchedulerError> + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        let nowhere: MasterAddress =
            "127.0.0.1:1".parse().unwrap_or_else(|error| panic!("no address: {error}"));
        let mut config = FrameworkConfig::new("under-test", nowhere);
        configure(&mut config);
        let (shared, store) = (Shared::new(), MemoryStore::default());
        let (candidate, make): (_, Make<S>) = (Candidate::new(schema), Arc::new(make));
        let kit = Self { runtime, shared, store, candidate, make };
        let door = |began| Door {
            shared: kit.shared.clone(),
            store: kit.store.clone(),
            candidate: kit.candidate.clone(),
            config,
            make: Arc::clone(&kit.make),
            began,
        };
        kit.runtime.block_on(async { drop(tokio::spawn(door(Instant::now()).serve())) });
        kit
    }

    /// One more agent, registered, with resources as an operator writes them: `cpus:4;mem:1024;ports:[31000-31999]`.
    ///
    /// # Panics
    /// When the name is no id or the resources are none.
    pub fn agent(&mut self, name: &str, resources: &str) {
        self.agent_with(name, resources, "");
    }

    /// As [`TestKit::agent`], with attributes: `rack:r1;disk:ssd`.
    ///
    /// # Panics
    /// As [`TestKit::agent`].
    pub fn agent_with(&mut self, name: &str, resources: &str, attributes: &str) {
        let total: Resources = resources.parse().unwrap_or_else(|error| panic!("{resources}: {error}"));
        let attributes = Attribute::parse_list(attributes);
        let agent = Agent {
            hostname: format!("{name}.example").into(),
            total,
            attributes: attributes.unwrap_or_else(|error| panic!("attributes of {name}: {error}")),
            standing: Standing::Registered,
            tasks: Default::default(),
        };
        self.shared.stage().world.agents.insert(agent_id(name), agent);
    }

    /// Holds the scheduler to [`Rule::NoDuplicate`]: no two tasks of which this says the same may live at once, unless their agent is
    /// unreachable.
    pub fn one_of_each(&mut self, thing: impl Fn(&TaskId) -> String + Send + 'static) {
        self.shared.stage().world.thing = Some(Box::new(thing));
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.block_on(async { tokio::time::sleep(time).await });
    }

    /// Lets virtual time pass until `happened`, a tenth of a second at a time.
    ///
    /// # Panics
    /// When it has not happened within so long.
    #[track_caller]
    pub fn run_until(&mut self, what: &str, within: Duration, happened: impl Fn(&Self) -> bool) {
        let step = Duration::from_millis(100);
        let mut left = within;
        while !happened(self) {
            assert!(!left.is_zero(), "not within {within:?}: {what}\n{}", self.report());
            self.run_for(step);
            left = left.saturating_sub(step);
        }
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Makes it go wrong now.
    pub fn fault(&mut self, fault: Fault) {
        self.shared.stage().faults.push_back(fault);
        self.run_for(Duration::from_millis(40));
    }

    /// Makes it go wrong at the `nth` call from now on that launches anything, counted from 0.
    pub fn at_launch(&mut self, nth: u32, arrival: Arrival, fault: Fault) {
        self.shared.stage().traps.push_back((nth, arrival, fault));
    }

    /// The next writes to the store fail, each as it says, and store nothing.
    pub fn refuse_writes(&mut self, refusals: impl IntoIterator<Item = WriteError>) {
        self.store.refuse_writes(refusals);
    }

    /// A task ends by itself.
    pub fn end_task(&mut self, task: &TaskId, state: TaskState) {
        let mut stage = self.shared.stage();
        let now = stage.world.now;
        stage.world.agents.values_mut().for_each(|agent| {
            agent.end(now, task, state);
        });
    }

    /// The master declares an agent unreachable. Its tasks live on.
    pub fn lose_agent(&mut self, name: &str) {
        self.shared.stage().world.lose_agent(&agent_id(name));
        self.run_for(Duration::from_millis(40));
    }

    /// The master forgets what it knew of the tasks of an agent that is unreachable, as after a long time, and says that it does not
    /// know them.
    pub fn forget_tasks_of(&mut self, name: &str) {
        self.shared.stage().world.forget_tasks_of(&agent_id(name));
        self.run_for(Duration::from_millis(40));
    }

    /// An agent that was unreachable is back, with its tasks.
    pub fn return_agent(&mut self, name: &str) {
        self.shared.stage().world.return_agent(&agent_id(name));
        self.run_for(Duration::from_millis(40));
    }

    /// The next so many updates do not arrive; their agents send them again.
    pub fn lose_updates(&mut self, count: u32) {
        self.shared.stage().world.lose_updates = count;
    }

    /// The next so many updates arrive twice.
    pub fn double_updates(&mut self, count: u32) {
        self.shared.stage().world.double_updates = count;
    }

    /// No offers are made by themselves any more, or are again.
    pub fn hold_offers(&mut self, hold: bool) {
        self.shared.stage().world.holds_offers = hold;
    }

    /// Offers this of an agent.
    ///
    /// # Panics
    /// When the resources are none.
    pub fn offer(&mut self, agent: &str, resources: &str) {
        let resources = resources.parse().unwrap_or_else(|error| panic!("{resources}: {error}"));
        self.shared.stage().world.offer(&agent_id(agent), resources);
        self.run_for(Duration::from_millis(40));
    }

    /// Every task that lives, by its agents' word.
    pub fn tasks(&self) -> Vec<SimulatedTask> {
        let stage = self.shared.stage();
        let agents = stage.world.agents.iter();
        let tasks =
            agents.flat_map(|(agent, known)| known.tasks.iter().map(move |(id, task)| (agent, id, task)));
        tasks
            .filter(|(_, _, task)| task.is_live())
            .map(|(agent, id, task)| SimulatedTask {
                id: id.clone(),
                agent: agent.clone(),
                state: task.state,
            })
            .collect()
    }

    /// How many tasks are running on agents that the master can reach.
    pub fn running(&self) -> usize {
        let stage = self.shared.stage();
        let reachable = stage.world.agents.values().filter(|agent| agent.standing != Standing::Unreachable);
        let tasks = reachable.flat_map(|agent| agent.tasks.values());
        tasks.filter(|task| task.state == TaskState::Running).count()
    }

    /// What the store holds, the driver's own records included.
    pub fn records(&self) -> Vec<Record> {
        self.store.records()
    }

    /// The calls that arrived so far, of one kind.
    pub fn calls(&self, kind: call::Type) -> Vec<Call> {
        self.shared.stage().calls.iter().filter(|call| call.r#type() == kind).cloned().collect()
    }

    /// Whether the scheduler has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.shared.stage().ended
    }

    /// The rules that were broken so far.
    pub fn broken(&self) -> Vec<Broken> {
        self.shared.stage().world.broken.clone()
    }

    fn report(&self) -> String {
        let broken: Vec<String> = self.broken().iter().map(ToString::to_string).collect();
        format!("rules broken: {broken:#?}\ntasks: {:#?}", self.tasks())
    }

    /// Holds the scheduler to [`Rule::NoLoss`] and [`Rule::KnowWhatRuns`]: lets it settle for two minutes, then so many tasks run, and it
    /// knows each.
    pub fn settle(&mut self, running: usize) {
        self.run_for(Duration::from_secs(120));
        let known: BTreeSet<TaskId> =
            self.block_on(known(&self.store, &self.candidate, &self.make)).unwrap_or_default();
        let found = self.running();
        let tasks = self.tasks();
        let mut stage = self.shared.stage();
        if found != running {
            let what = format!("{found} tasks run, {running} should");
            let rule = if found < running { Rule::NoLoss } else { Rule::NoDuplicate };
            stage.world.break_rule(rule, what);
        }
        for task in tasks.iter().filter(|task| !known.contains(&task.id)) {
            stage.world.break_rule(Rule::KnowWhatRuns, format!("{} runs and is not known", task.id));
        }
    }

    /// # Panics
    /// When a rule was broken: with each of them, and what runs.
    #[track_caller]
    pub fn check(&self) {
        assert!(self.broken().is_empty(), "{}", self.report());
    }
}

fn agent_id(name: &str) -> AgentId {
    name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}
