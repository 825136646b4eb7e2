//! Frameworks as small state machines with manners of their own.

mod busy;
mod executing;
mod gang;
mod hostile;
mod keeper;
mod manner;
mod moody;
mod reserver;
mod reviver;
mod services;
mod store;

use std::time::Duration;

use chapada_master_core::{Call, Offer, SchedulerEvent};
use chapada_model::{Filters, Mono, Now, OfferId, TaskStatus};

use crate::random::Rng;
pub(crate) use keeper::Keeper;
pub use manner::Manner;
pub(crate) use reserver::{one, volume_of};
pub(crate) use reviver::Reviver;
pub(crate) use services::{Incarnation, Services, most_at_once};
pub(crate) use store::Store;
pub use store::Trouble;

/// What a framework hears.
#[derive(Debug)]
pub(crate) enum News {
    /// Its process runs.
    Started,
    /// A client wants something; only the services framework has clients.
    Command(Box<chapada_services_core::Command>),
    Subscribed,
    Disconnected,
    Event(SchedulerEvent),
    Woken,
}

/// One turn of a framework: what it knows, and what it wants done.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Mono,
    /// The same moment by the clocks of its machine, of which the wall clock may have jumped.
    pub(crate) clock: Now,
    pub(crate) rng: &'a mut Rng,
    pub(crate) stormy: bool,
    pub(crate) store: &'a mut Store,
    /// Its process ends: it does not know what is stored.
    pub(crate) ends: bool,
    pub(crate) calls: Vec<Call>,
    /// Hang up, and stay away for so long.
    pub(crate) leave_for: Option<Duration>,
    /// It forgets its id when it leaves.
    pub(crate) forgets: bool,
    pub(crate) wake: Option<Mono>,
}

impl Turn<'_> {
    /// Stores an intent; should that fail, the process ends.
    pub(crate) fn keep(&mut self, intent: &chapada_sdk_core::Intent) {
        self.ends |= !self.store.put(intent);
    }

    pub(crate) fn acknowledge(&mut self, status: &TaskStatus) {
        if let (Some(uuid), Some(agent)) = (status.uuid, status.agent.clone()) {
            self.calls.push(Call::Acknowledge { agent, task: status.task.clone(), uuid });
        }
    }

    pub(crate) fn decline(&mut self, offers: Vec<OfferId>, refuse: Duration) {
        if !offers.is_empty() {
            self.calls.push(Call::Decline { offers, filters: Filters { refuse } });
        }
    }
}

/// A framework's own state, and what it does.
pub(crate) trait Actor: std::fmt::Debug {
    /// Something is heard, or it is time.
    fn on(&mut self, turn: &mut Turn<'_>, news: News);

    /// Its process has ended: what was not stored is gone.
    fn restart(&mut self, _store: &Store) {}

    /// Whether it has something to do also while it is not subscribed.
    fn works_alone(&self) -> bool {
        false
    }

    /// The services framework, if it is it.
    fn services(&self) -> Option<&Services> {
        None
    }

    /// The keeper, if it is one.
    fn keeper(&self) -> Option<&Keeper> {
        None
    }

    /// The reviver, if it is one.
    fn reviver(&self) -> Option<&Reviver> {
        None
    }
}

pub(crate) fn ids(offers: &[std::sync::Arc<Offer>]) -> Vec<OfferId> {
    offers.iter().map(|offer| offer.id.clone()).collect()
}

/// A command task that takes this much.
pub(crate) fn task(
    id: chapada_model::TaskId,
    agent: &chapada_model::AgentId,
    resources: chapada_model::Resources,
) -> chapada_model::TaskDescription {
    chapada_model::TaskDescription {
        name: id.as_str().into(),
        id,
        agent: agent.clone(),
        resources,
        limits: std::collections::BTreeMap::new(),
        has_command: true,
        executor: None,
        kill_policy: None,
        max_completion_time: None,
        labels: Vec::new(),
        details: chapada_model::Payload::default(),
    }
}

/// As the SDK sees it.
pub(crate) fn sdk_offer(offer: &Offer) -> chapada_sdk_core::Offer {
    chapada_sdk_core::Offer {
        id: offer.id.clone(),
        agent: offer.agent.clone(),
        hostname: offer.host.hostname.clone(),
        address: offer.host.address.clone(),
        role: offer.role.clone(),
        resources: offer.resources.clone(),
        attributes: offer.host.attributes.clone(),
        domain: offer.host.domain.clone(),
        executors: offer.executors.clone(),
        unavailability: None,
    }
}
