//! Frameworks with bad manners.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Offer, Operation, Proposal, SchedulerEvent};
use chapada_model::{AgentId, Filters, Resources, TaskId, TaskStatus};

use super::{Actor, Manner, News, Store, Turn, ids, task};

/// So many tasks at once at most, so that others find room once it is calm.
const MAX_TASKS: usize = 3;

/// Does as its manner says.
#[derive(Debug)]
pub(crate) struct Moody {
    manner: Manner,
    index: usize,
    /// Stored: no id is used twice.
    launched: u64,
    live: BTreeSet<TaskId>,
    unacknowledged_once: bool,
}

impl Actor for Moody {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        if self.manner == Manner::Scripted {
            return;
        }
        match news {
            News::Subscribed => {
                turn.calls.push(Call::Reconcile { tasks: Vec::new() });
                let lasts = if self.manner == Manner::Vanisher { 20 } else { 90 };
                turn.wake =
                    Some(turn.now + turn.rng.between(Duration::from_secs(1), Duration::from_secs(lasts)));
            }
            News::Disconnected => {}
            News::Event(SchedulerEvent::Offers(offers)) => self.on_offers(turn, &offers),
            News::Event(SchedulerEvent::Update(status)) => self.on_update(turn, &status),
            News::Started | News::Command(_) | News::Event(_) => {}
            News::Woken => self.on_time(turn),
        }
    }

    fn restart(&mut self, _store: &Store) {
        self.live.clear();
    }
}

impl Moody {
    pub(crate) fn new(manner: Manner, index: usize) -> Self {
        Self { manner, index, launched: 0, live: BTreeSet::new(), unacknowledged_once: false }
    }

    fn on_offers(&mut self, turn: &mut Turn<'_>, offers: &[Arc<Offer>]) {
        for offer in offers {
            let one = std::slice::from_ref(offer);
            let refuse = Duration::from_millis(turn.rng.below(20_000));
            let room = self.live.len() < MAX_TASKS;
            match self.manner {
                Manner::Silent => {}
                Manner::Picky if offer.resources.scalar("gpus") > chapada_model::Milli(0) => {}
                Manner::Greedy if room => self.accept(turn, offer, offer.resources.unallocated(), 1),
                Manner::Moody | Manner::Vanisher if room && turn.stormy => match turn.rng.below(4) {
                    0 => turn.decline(ids(one), refuse),
                    1 => {}
                    _ => {
                        let each = small(turn);
                        let count = 1 + turn.rng.place(2);
                        self.accept(turn, offer, each, count);
                    }
                },
                _ => turn.decline(ids(one), refuse),
            }
        }
    }

    fn accept(&mut self, turn: &mut Turn<'_>, offer: &Offer, each: Resources, count: usize) {
        let mut tasks = Vec::new();
        for _ in 0..count {
            self.launched += 1;
            let id = TaskId::new(format!("t{}-{}", self.index, self.launched)).expect("a valid id");
            self.live.insert(id.clone());
            tasks.push(Proposal::Valid(Box::new(task(id, &offer.agent, each.clone()))));
        }
        let refuse = Duration::from_millis(turn.rng.below(10_000));
        turn.calls.push(Call::Accept(Accept {
            offers: vec![offer.id.clone()],
            operations: vec![Operation::Launch { tasks }],
            filters: Filters { refuse },
        }));
    }

    fn on_update(&mut self, turn: &mut Turn<'_>, status: &TaskStatus) {
        if status.state.is_terminal() {
            self.live.remove(&status.task);
        }
        // Now and then it acknowledges only what is repeated, or twice.
        self.unacknowledged_once = turn.stormy && !self.unacknowledged_once && turn.rng.once_in(8);
        if self.unacknowledged_once {
            return;
        }
        turn.acknowledge(status);
        if turn.stormy && turn.rng.once_in(8) {
            turn.acknowledge(status);
        }
    }

    fn on_time(&mut self, turn: &mut Turn<'_>) {
        turn.wake = Some(turn.now + turn.rng.between(Duration::from_secs(1), Duration::from_secs(40)));
        if !turn.stormy {
            return;
        }
        let some = self.live.iter().nth(turn.rng.place(self.live.len())).cloned();
        match (&self.manner, turn.rng.below(7), some) {
            (Manner::Vanisher, 0..3, _) => {
                turn.leave_for = Some(turn.rng.between(Duration::from_secs(1), Duration::from_secs(40)));
            }
            (_, 0, Some(task)) => turn.calls.push(Call::Kill { task, agent: None, policy: None }),
            (_, 1, Some(task)) => turn.calls.push(Call::Reconcile { tasks: vec![(task, None)] }),
            (_, 2, _) => turn.calls.push(Call::Suppress { roles: Vec::new() }),
            (_, 3, _) => turn.calls.push(Call::Revive { roles: Vec::new() }),
            (_, 4, _) => {
                let (task, agent) = ("nonsense".parse().expect("valid"), "nobody".parse::<AgentId>().ok());
                turn.calls.push(Call::Kill { task, agent, policy: None });
            }
            _ => {}
        }
    }
}

/// A little, or more than anyone has.
fn small(turn: &mut Turn<'_>) -> Resources {
    let wanted = ["cpus:0.1;mem:32", "cpus:0.5;mem:64", "cpus:99"][turn.rng.place(3)];
    wanted.parse().expect("valid resources")
}
