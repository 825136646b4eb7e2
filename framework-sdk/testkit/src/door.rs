//! The loop in which the simulated master and the scheduler meet, and in which the scheduler dies and comes back.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chapada_model::{Mono, TaskId};
use chapada_sdk::wire::scheduler as api;
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::wire::scheduler::event;
use chapada_sdk::{
    CancellationToken, Candidate, Coordination, FrameworkConfig, Knock, Link, MemoryStore, OpenedStore,
    Scheduler, SchedulerError, Store, run_elected,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::call::launched;
use crate::fault::{Arrival, Fault};
use crate::rule::Rule;
use crate::world::World;

/// How closely the simulated master looks at the time.
const STEP: Duration = Duration::from_millis(20);
/// More calls than this at one moment have no end.
const CALLS_AT_ONCE: u32 = 2_000;
/// From the scheduler's death to its next life.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// Puts a scheduler together from its store.
pub(crate) type Make<S> = Arc<dyn Fn(&OpenedStore) -> Result<S, SchedulerError> + Send + Sync>;

/// What the loop and the test share. Nothing is locked across an await.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Stage>>);

pub(crate) struct Stage {
    pub(crate) world: World,
    /// What is to happen at a launch: how many come before it, whether the call arrives, and what happens then.
    pub(crate) traps: VecDeque<(u32, Arrival, Fault)>,
    /// To be done by the loop.
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) calls: Vec<api::Call>,
    /// Whether the scheduler has ended by itself, and well.
    pub(crate) ended: bool,
    /// When the last call came, and how many had come at that moment before it.
    last_call: (Mono, u32),
    /// Since when the place of the one that is subscribed is another's.
    deposed: Option<Deposed>,
}

#[derive(Clone, Copy)]
struct Deposed {
    at: Instant,
    /// Whether it was told.
    heard: bool,
}

type Life = JoinHandle<Result<(), chapada_sdk::RunError>>;

/// The scheduler under test, as the loop has it.
#[derive(Default)]
struct Subject {
    line: Option<Knock>,
    life: Option<Life>,
    /// When its next life begins.
    reborn_at: Option<Instant>,
    /// When it can reach the others again.
    rejoins_at: Option<Instant>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Stage {
            world: World::default(),
            traps: VecDeque::new(),
            faults: VecDeque::new(),
            calls: Vec::new(),
            ended: false,
            last_call: (Mono::default(), 0),
            deposed: None,
        })))
    }

    pub(crate) fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Door<S> {
    pub(crate) shared: Shared,
    pub(crate) store: MemoryStore,
    pub(crate) candidate: Candidate,
    pub(crate) config: FrameworkConfig,
    pub(crate) make: Make<S>,
    pub(crate) began: Instant,
}

impl<S: Scheduler + 'static> Door<S> {
    /// Runs for ever.
    pub(crate) async fn serve(self) {
        let (sender, mut knocks) = mpsc::channel(4);
        let mut subject = Subject { life: Some(self.begin_life(sender.clone())), ..Subject::default() };
        let mut step = tokio::time::interval(STEP);
        loop {
            tokio::select! {
                biased;
                call = next_call(&mut subject.line) => match call {
                    Some(call) => self.on_call(&call).await,
                    None => self.hang_up(&mut subject),
                },
                Some(knock) = knocks.recv() => {
                    self.hang_up(&mut subject);
                    self.shared.stage().deposed = None;
                    subject.line = Some(knock);
                }
                outcome = ended(&mut subject.life) => {
                    subject.life = None;
                    subject.reborn_at = self.after_end(outcome);
                }
                _ = step.tick() => self.shared.stage().world.pass_time(self.now()),
            }
            if subject.reborn_at.take_if(|at| Instant::now() >= *at).is_some() {
                subject.life = Some(self.begin_life(sender.clone()));
            }
            if subject.rejoins_at.take_if(|at| Instant::now() >= *at).is_some() {
                self.store.suspend(false);
            }
            if self.shared.stage().last_call.1 > CALLS_AT_ONCE {
                subject.life.take().into_iter().for_each(|life| life.abort());
                subject.line = None;
                self.shared.stage().last_call.1 = 0;
            }
            while let Some(fault) = self.next_fault() {
                self.suffer(fault, &mut subject).await;
            }
            self.speak(&mut subject.line).await;
        }
    }

    fn hang_up(&self, subject: &mut Subject) {
        subject.line = None;
        self.shared.stage().world.hang_up();
    }

    async fn suffer(&self, fault: Fault, subject: &mut Subject) {
        let deposed = |heard| Some(Deposed { at: Instant::now(), heard });
        match fault {
            Fault::KillScheduler => {
                if let Some(life) = subject.life.take() {
                    life.abort();
                }
                subject.reborn_at = Some(Instant::now() + RESTART_AFTER);
                self.hang_up(subject);
            }
            Fault::DeposeScheduler => {
                self.store.depose();
                self.shared.stage().deposed = deposed(true);
            }
            Fault::DeposeUnheard => {
                self.store.depose_unheard();
                self.shared.stage().deposed = deposed(false);
            }
            Fault::TakeOver => {
                self.store.depose_unheard();
                if let Some(knock) = &subject.line {
                    // One that has left by itself need not be told.
                    drop(knock.events.send(Ok(failed_over())).await);
                }
                self.hang_up(subject);
            }
            Fault::CutFromElection { lasts } => {
                self.store.suspend(true);
                subject.rejoins_at = Some(Instant::now() + lasts);
            }
            Fault::Disconnect => self.hang_up(subject),
            Fault::FailOver { agents_return_after } => {
                subject.line = None;
                self.shared.stage().world.fail_over(agents_return_after);
            }
        }
    }

    fn next_fault(&self) -> Option<Fault> {
        self.shared.stage().faults.pop_front()
    }

    fn now(&self) -> Mono {
        Mono::default() + self.began.elapsed()
    }

    fn begin_life(&self, door: mpsc::Sender<Knock>) -> Life {
        let config = FrameworkConfig { link: Link::Door(door), ..self.config.clone() };
        let (store, candidate, make) = (self.store.clone(), self.candidate.clone(), Arc::clone(&self.make));
        tokio::spawn(async move {
            let make = move |opened: &OpenedStore| make(opened);
            run_elected(&Coordination::Memory(store), candidate, config, make, CancellationToken::new()).await
        })
    }

    /// One that ends well has done its work; one that fails is started again, as a supervisor would.
    fn after_end(&self, outcome: Result<(), String>) -> Option<Instant> {
        let mut stage = self.shared.stage();
        match outcome {
            Ok(()) => {
                stage.ended = true;
                None
            }
            Err(why) => {
                stage.world.break_rule(Rule::StayUp, why);
                Some(Instant::now() + RESTART_AFTER)
            }
        }
    }

    async fn speak(&self, line: &mut Option<Knock>) {
        let said: Vec<api::Event> = {
            let mut stage = self.shared.stage();
            if !stage.world.subscribed {
                stage.world.out.clear();
            }
            stage.world.out.drain(..).collect()
        };
        let Some(knock) = line else { return };
        for event in said {
            // It hangs up by dropping its end; the next call that is none says so.
            if knock.events.send(Ok(event)).await.is_err() {
                return;
            }
        }
    }

    async fn on_call(&self, call: &api::Call) {
        let tasks: Vec<TaskId> =
            launched(call).iter().filter_map(|info| info.task_id.as_ref()?.try_into().ok()).collect();
        if !tasks.is_empty() {
            let known = self.known_to_a_successor().await;
            let mut stage = self.shared.stage();
            for task in tasks.iter().filter(|task| !known.contains(task)) {
                let what = format!("{task} is launched, and a successor would not know it");
                stage.world.break_rule(Rule::IntentBeforeLaunch, what);
            }
        }
        let (mut stage, now) = (self.shared.stage(), self.now());
        let (last, before) = stage.last_call;
        stage.last_call = (now, if last == now { before + 1 } else { 0 });
        if stage.last_call.1 > CALLS_AT_ONCE {
            let what = format!("{} and more calls without end", call.r#type().as_str_name());
            return stage.world.break_rule(Rule::ComeToRest, what);
        }
        // What was on its way by then may arrive still. One that was not told cannot know, but what it launches waits for its writes.
        let deposed = stage.deposed.filter(|deposed| Instant::now() > deposed.at);
        let may_not = |deposed: Deposed| match deposed.heard {
            true => matches!(call.r#type(), Type::Accept | Type::Kill | Type::Decline),
            false => !tasks.is_empty(),
        };
        if deposed.is_some_and(may_not) {
            let what = format!("{} by one that was deposed", call.r#type().as_str_name());
            stage.world.break_rule(Rule::StopWhenDeposed, what);
        }
        let mut arrives = true;
        if !tasks.is_empty()
            && let Some((before, arrival, fault)) = stage.traps.front_mut()
        {
            match before.checked_sub(1) {
                Some(fewer) => *before = fewer,
                None => {
                    arrives = *arrival == Arrival::Arrives;
                    let fault = *fault;
                    stage.traps.pop_front();
                    stage.faults.push_back(fault);
                }
            }
        }
        if arrives {
            stage.calls.push(call.clone());
            stage.world.on_call(call);
        }
    }

    /// What a scheduler that is put together from the store as it is now asks the master for.
    pub(crate) async fn known_to_a_successor(&self) -> BTreeSet<TaskId> {
        match known(&self.store, &self.candidate, &self.make).await {
            Ok(known) => known,
            Err(why) => {
                self.shared.stage().world.break_rule(Rule::StayUp, why);
                BTreeSet::new()
            }
        }
    }
}

pub(crate) async fn known<S: Scheduler>(
    store: &MemoryStore,
    candidate: &Candidate,
    make: &Make<S>,
) -> Result<BTreeSet<TaskId>, String> {
    let mut campaign = Coordination::Memory(store.copy()).campaign(candidate.info.clone());
    let term = campaign.wait_until_leading().await.map_err(|error| error.to_string())?;
    let opened = Store::open(&term, candidate.schema).await.map_err(|error| error.to_string())?;
    let scheduler = make(&opened).map_err(|error| error.to_string())?;
    Ok(scheduler.known_tasks().into_iter().map(|(task, _)| task).collect())
}

async fn next_call(line: &mut Option<Knock>) -> Option<api::Call> {
    match line {
        Some(knock) => knock.calls.recv().await,
        None => std::future::pending().await,
    }
}

async fn ended(life: &mut Option<Life>) -> Result<(), String> {
    match life {
        Some(life) => match life.await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(panic) => Err(panic.to_string()),
        },
        None => std::future::pending().await,
    }
}

/// The master's last word to one whose framework another process has subscribed as.
fn failed_over() -> api::Event {
    let code = Some(event::error::Code::FrameworkFailedOver.into());
    let error = event::Error { message: Some("Framework failed over".to_owned()), code };
    let mut event = api::Event { error: Some(error), ..api::Event::default() };
    event.set_type(event::Type::Error);
    event
}
