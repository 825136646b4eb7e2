//! Frameworks that do what no framework should, by mistake or to do harm.

use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Offer, Operation, Proposal, SchedulerEvent};
use chapada_model::{AgentId, Filters, TaskId, UpdateUuid};

use super::{Actor, Manner, News, Turn, ids, task};

/// It has so many tasks in its whole life, each with next to nothing.
const MAX_TASKS: u64 = 40;

/// Does as its manner says.
#[derive(Debug)]
pub(crate) struct Hostile {
    manner: Manner,
    index: usize,
    launched: u64,
    vanished: u32,
}

impl Actor for Hostile {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match (&self.manner, news) {
            (Manner::Churner { times }, News::Subscribed) if self.vanished < *times => {
                self.vanished += 1;
                turn.forgets = true;
                turn.leave_for = Some(Duration::from_millis(1));
            }
            (Manner::Nonsense, News::Event(SchedulerEvent::Offers(offers))) => {
                offers.iter().for_each(|offer| self.accept(turn, offer));
            }
            (_, News::Event(SchedulerEvent::Offers(offers))) => {
                turn.decline(ids(&offers), Duration::from_secs(5));
            }
            (_, News::Event(SchedulerEvent::Update(status))) => turn.acknowledge(&status),
            (
                _,
                News::Started
                | News::Command(_)
                | News::Event(_)
                | News::Subscribed
                | News::Woken
                | News::Disconnected,
            ) => {}
        }
    }
}

impl Hostile {
    pub(crate) fn new(manner: Manner, index: usize) -> Self {
        Self { manner, index, launched: 0, vanished: 0 }
    }

    /// Uses an offer for what makes no sense, and for a little that does, with ids twice and ids of nobody.
    fn accept(&mut self, turn: &mut Turn<'_>, offer: &Arc<Offer>) {
        let nobody: AgentId = "nobody".parse().expect("a valid id");
        let is_room = self.launched < MAX_TASKS;
        let mut launch = |agent: &AgentId, resources: &str, again: bool| {
            self.launched += u64::from(!again);
            let id = TaskId::new(format!("n{}-{}", self.index, self.launched)).expect("a valid id");
            let resources = resources.parse().expect("valid resources");
            Proposal::Valid(Box::new(task(id, agent, resources)))
        };
        let mut tasks = vec![
            launch(&offer.agent, "cpus:9007199254740;mem:9007199254740", false),
            launch(&nobody, "cpus:0.001", false),
            launch(&offer.agent, "", false),
            launch(&offer.agent, "nonsense:1", false),
        ];
        if is_room {
            tasks.push(launch(&offer.agent, "cpus:0.001;mem:0.001", false));
            tasks.push(launch(&offer.agent, "cpus:0.001;mem:0.001", true));
        }
        let unknown: TaskId = "unknown".parse().expect("a valid id");
        let (own, filters) = (offer.id.clone(), Filters { refuse: Duration::ZERO });
        let nothing: chapada_model::OfferId = "no-offer".parse().expect("a valid id");
        let accept = |offers, tasks| {
            let operations = vec![Operation::Launch { tasks }];
            Call::Accept(Accept { offers, operations, filters })
        };
        turn.calls.extend([
            accept(vec![own.clone(), own.clone()], vec![]),
            accept(vec![own.clone(), nothing.clone()], vec![]),
            accept(vec![own.clone()], tasks),
            Call::Decline {
                offers: vec![own.clone(), nothing, own],
                filters: Filters { refuse: Duration::MAX },
            },
            Call::Kill { task: unknown.clone(), agent: Some(nobody.clone()), policy: None },
            Call::Acknowledge { agent: nobody, task: unknown.clone(), uuid: UpdateUuid([7; 16]) },
            Call::Reconcile { tasks: vec![(unknown, None); 100] },
        ]);
    }
}
