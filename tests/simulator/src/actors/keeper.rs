//! Keeps its tasks running, with the decisions of the SDK's core.

use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Offer, Operation, Proposal, SchedulerEvent};
use chapada_model::{Filters, TaskState, TaskStatus};
use chapada_sdk_core::{IntentChange, Intents, Phase, Reconciliation, ReconciliationConfig, Request, fits};

use super::{Actor, News, Store, Turn, ids, sdk_offer, task};

/// Offers it has no use for are refused for so long.
const REFUSE: Duration = Duration::from_secs(5);

/// Wants a fixed number of small tasks to run.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Each change is stored before anything is sent that follows from it.
    intents: Intents,
    names: Vec<String>,
    /// It sends first.
    hasty: bool,
    reconciliation: Reconciliation,
    request: Request,
}

impl Actor for Keeper {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match news {
            News::Subscribed => {
                let unsettled: Vec<_> = self.intents.unsettled().collect();
                for round in self.reconciliation.begin(turn.now, unsettled) {
                    turn.calls.push(Call::Reconcile { tasks: round.into_tasks() });
                }
            }
            News::Disconnected => self.reconciliation.pause(),
            News::Event(SchedulerEvent::Offers(offers)) => self.on_offers(turn, &offers),
            News::Event(SchedulerEvent::Update(status)) => self.on_update(turn, &status),
            News::Started | News::Command(_) | News::Event(_) => {}
            News::Woken => {
                let random = turn.rng.draw();
                while let Some(round) = self.reconciliation.on_time(turn.now, random) {
                    turn.calls.push(Call::Reconcile { tasks: round.into_tasks() });
                }
            }
        }
        turn.wake = self.reconciliation.next();
    }

    /// What was stored is there; the rest is gone.
    fn restart(&mut self, store: &Store) {
        self.intents = Intents::restore(store.intents.values().cloned());
        for name in &self.names {
            self.intents.want(name.as_str());
        }
        self.reconciliation.pause();
    }

    fn keeper(&self) -> Option<&Keeper> {
        Some(self)
    }
}

impl Keeper {
    pub(crate) fn new(tasks: usize, index: usize, hasty: bool) -> Self {
        let names: Vec<String> = (0..tasks).map(|number| format!("k{index}-{number}")).collect();
        let mut intents = Intents::default();
        for name in &names {
            intents.want(name.as_str());
        }
        let reconciliation = Reconciliation::new(ReconciliationConfig::default());
        Self { intents, names, hasty, reconciliation, request: Request::new(0.3, 64.0) }
    }

    /// How many of its tasks it knows to run.
    pub(crate) fn running(&self) -> usize {
        let running = |phase| matches!(phase, Phase::Alive(TaskState::Running));
        self.intents.iter().filter(|intent| running(intent.phase)).count()
    }

    /// What it knows, for a failure.
    pub(crate) fn intents(&self) -> &Intents {
        &self.intents
    }

    /// How many tasks it asks the master for.
    pub(crate) fn unanswered(&self) -> usize {
        self.reconciliation.unanswered()
    }

    pub(crate) fn wanted(&self) -> usize {
        self.intents.iter().count()
    }

    fn on_offers(&mut self, turn: &mut Turn<'_>, offers: &[Arc<Offer>]) {
        for offer in offers {
            let tasks = self.launches(turn, offer);
            if turn.ends && !self.hasty {
                return;
            }
            if tasks.is_empty() {
                turn.decline(ids(std::slice::from_ref(offer)), REFUSE);
                continue;
            }
            turn.calls.push(Call::Accept(Accept {
                offers: vec![offer.id.clone()],
                operations: vec![Operation::Launch { tasks }],
                filters: Filters { refuse: REFUSE },
            }));
        }
    }

    /// What is to be launched on an offer; each launch is stored.
    fn launches(&mut self, turn: &mut Turn<'_>, offer: &Offer) -> Vec<Proposal> {
        let mut left = sdk_offer(offer);
        let mut tasks = Vec::new();
        let waiting: Vec<_> = self.intents.waiting().map(|intent| intent.task.name.clone()).collect();
        for name in waiting {
            let Ok(placement) = fits(&left, &self.request, turn.rng.draw()) else { break };
            let Some(intent) = self.intents.launch(&name, offer.agent.clone()) else { continue };
            turn.keep(&intent);
            let id = intent.task.task_id().expect("its names are valid");
            left = left.without(&placement.resources).expect("it fits");
            let described = task(id, &offer.agent, placement.resources.unallocated());
            tasks.push(Proposal::Valid(Box::new(described)));
        }
        tasks
    }

    fn on_update(&mut self, turn: &mut Turn<'_>, status: &TaskStatus) {
        self.reconciliation.on_update(turn.now, status);
        let changed = match self.intents.on_update(status) {
            IntentChange::Ended(task, _) => self.intents.again(&task.name),
            IntentChange::Alive(task) => self.intents.get(&task.name).cloned(),
            IntentChange::Stray => {
                if !status.state.is_terminal() && status.state != TaskState::Unknown {
                    turn.calls.push(Call::Kill {
                        task: status.task.clone(),
                        agent: status.agent.clone(),
                        policy: None,
                    });
                }
                None
            }
            IntentChange::Nothing => None,
        };
        changed.iter().for_each(|intent| turn.keep(intent));
        if !turn.ends {
            turn.acknowledge(status);
        }
    }
}
