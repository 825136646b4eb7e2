//! Launches at a steady rate, to see how fast virtual time passes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Offer, Operation, Proposal, SchedulerEvent};
use chapada_model::{Filters, TaskId};

use super::{Actor, News, Store, Turn, ids, task};

/// It holds so many offers; the others need some, too.
const MAX_HELD: usize = 8;

/// Holds some offers and uses one each second.
#[derive(Debug)]
pub(crate) struct Busy {
    launches: usize,
    index: usize,
    launched: u64,
    offers: VecDeque<Arc<Offer>>,
}

impl Actor for Busy {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match news {
            News::Subscribed => turn.wake = Some(turn.now + Duration::from_secs(1)),
            News::Disconnected => self.offers.clear(),
            News::Event(SchedulerEvent::Offers(mut offers)) => {
                let surplus = offers.split_off(MAX_HELD.saturating_sub(self.offers.len()).min(offers.len()));
                turn.decline(ids(&surplus), Duration::from_secs(1));
                self.offers.extend(offers);
            }
            News::Event(SchedulerEvent::Rescind(offer)) => self.offers.retain(|held| held.id != offer),
            News::Event(SchedulerEvent::Update(status)) => turn.acknowledge(&status),
            News::Started | News::Command(_) | News::Event(_) => {}
            News::Woken => self.launch(turn),
        }
    }

    fn restart(&mut self, _store: &Store) {
        self.offers.clear();
    }
}

impl Busy {
    pub(crate) fn new(launches: usize, index: usize) -> Self {
        Self { launches, index, launched: 0, offers: VecDeque::new() }
    }

    fn launch(&mut self, turn: &mut Turn<'_>) {
        turn.wake = Some(turn.now + Duration::from_secs(1));
        let Some(offer) = self.offers.pop_front() else { return };
        let tasks = (0..self.launches).map(|_| {
            self.launched += 1;
            let id = TaskId::new(format!("b{}-{}", self.index, self.launched)).expect("a valid id");
            let resources = "cpus:0.01;mem:1".parse().expect("valid resources");
            Proposal::Valid(Box::new(task(id, &offer.agent, resources)))
        });
        turn.calls.push(Call::Accept(Accept {
            offers: vec![offer.id.clone()],
            operations: vec![Operation::Launch { tasks: tasks.collect() }],
            filters: Filters { refuse: Duration::ZERO },
        }));
    }
}
