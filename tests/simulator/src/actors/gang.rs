//! Wants all of its tasks or none: it hoards offers until they fit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Offer, Operation, Proposal, SchedulerEvent};
use chapada_model::{Filters, Mono, OfferId, Resources, TaskId};

use super::{Actor, News, Store, Turn, task};

/// What each of its tasks takes.
const EACH: &str = "cpus:4;mem:1024";

/// Hoards, and launches one task on each of enough offers.
#[derive(Debug)]
pub(crate) struct Gang {
    tasks: usize,
    index: usize,
    held: BTreeMap<OfferId, Arc<Offer>>,
    launched: bool,
    /// When it gives back what it has gathered.
    patience: Option<Mono>,
}

impl Gang {
    pub(crate) fn new(tasks: usize, index: usize) -> Self {
        Self { tasks, index, held: BTreeMap::new(), launched: false, patience: None }
    }

    fn gather(&mut self, turn: &mut Turn<'_>, offers: &[Arc<Offer>]) {
        let each: Resources = EACH.parse().expect("valid resources");
        for offer in offers {
            match !self.launched && offer.resources.unallocated().contains(&each) {
                true => drop(self.held.insert(offer.id.clone(), offer.clone())),
                false => turn.decline(vec![offer.id.clone()], Duration::from_secs(60)),
            }
        }
        if self.held.len() >= self.tasks && !self.launched {
            self.launched = true;
            self.launch(turn, &each);
        }
        if self.held.is_empty() {
            self.patience = None;
        } else if self.patience.is_none() {
            // Chance decides who lets go first.
            self.patience =
                Some(turn.now + turn.rng.between(Duration::from_secs(2), Duration::from_secs(20)));
        }
        turn.wake = self.patience;
    }

    fn launch(&mut self, turn: &mut Turn<'_>, each: &Resources) {
        for number in 0..self.tasks {
            let Some((id, offer)) = self.held.pop_first() else { return };
            let name = TaskId::new(format!("g{}-{number}", self.index)).expect("a valid id");
            let task = Proposal::Valid(Box::new(task(name, &offer.agent, each.clone())));
            turn.calls.push(Call::Accept(Accept {
                offers: vec![id],
                operations: vec![Operation::Launch { tasks: vec![task] }],
                filters: Filters { refuse: Duration::from_secs(5) },
            }));
        }
        self.let_go(turn);
    }

    fn let_go(&mut self, turn: &mut Turn<'_>) {
        let refuse = turn.rng.between(Duration::from_secs(5), Duration::from_secs(30));
        let held = std::mem::take(&mut self.held).into_keys().collect();
        turn.decline(held, refuse);
        self.patience = None;
    }
}

impl Actor for Gang {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match news {
            News::Event(SchedulerEvent::Offers(offers)) => self.gather(turn, &offers),
            News::Event(SchedulerEvent::Rescind(offer)) => drop(self.held.remove(&offer)),
            News::Event(SchedulerEvent::Update(status)) => turn.acknowledge(&status),
            News::Woken if self.patience.is_some_and(|at| at <= turn.now) => self.let_go(turn),
            News::Woken => turn.wake = self.patience,
            News::Disconnected => self.held.clear(),
            News::Started | News::Command(_) | News::Subscribed | News::Event(_) => {}
        }
    }

    fn restart(&mut self, _store: &Store) {
        self.held.clear();
    }
}
