//! Frameworks as small state machines with manners of their own.

mod busy;
mod hostile;
mod keeper;
mod moody;
mod reserver;
mod reviver;
mod store;

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_master_core::{Call, Offer, SchedulerEvent};
use chapada_model::{Filters, FrameworkCapability, Mono, OfferId, Role, TaskStatus};

use crate::random::Rng;
use busy::Busy;
use hostile::Hostile;
pub(crate) use keeper::Keeper;
use moody::Moody;
use reserver::Reserver;
pub(crate) use reviver::Reviver;
pub(crate) use store::Store;
pub use store::Trouble;

/// How a framework behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Keeps so many tasks running, as the SDK would: intents, matching and reconciliation are the SDK's own.
    Keeper {
        /// How many.
        tasks: usize,
    },
    /// A keeper that launches first and stores afterwards, which the SDK forbids.
    Hasty {
        /// How many.
        tasks: usize,
    },
    /// Uses all of each offer for one task.
    Greedy,
    /// Declines every offer.
    Decliner,
    /// Never answers an offer.
    Silent,
    /// Launches, kills, asks, suppresses and revives as it likes; its calls swap and repeat.
    Moody,
    /// Reserves, makes volumes, and undoes both.
    Reserver,
    /// Launches so many small tasks each second.
    Busy {
        /// How many.
        launches: usize,
    },
    /// Does nothing of itself: a scenario calls for it.
    Scripted,
    /// Subscribes as somebody new and vanishes at once, so many times.
    Churner {
        /// How many.
        times: u32,
    },
    /// Reads its stream at a byte a second.
    SlowReader,
    /// Has so many roles.
    ManyRoles {
        /// How many.
        roles: u32,
    },
    /// Uses ids twice, and of nobody, and asks for nothing and for everything.
    Nonsense,
    /// Subscribes, declines and revives in a loop.
    Reviver,
    /// Wants a GPU and nothing else.
    Picky,
    /// Launches something, hangs up and comes back, perhaps too late.
    Vanisher,
}

impl Manner {
    pub(crate) fn is_keeper(&self) -> bool {
        matches!(self, Self::Keeper { .. } | Self::Hasty { .. })
    }

    /// Its calls arrive in the order in which it made them.
    pub(crate) fn is_ordered(&self) -> bool {
        self.is_keeper()
    }

    pub(crate) fn failover_timeout(&self) -> Duration {
        match self {
            Self::Keeper { .. } | Self::Hasty { .. } => Duration::from_secs(7 * 24 * 60 * 60),
            Self::Vanisher => Duration::from_secs(30),
            Self::Busy { .. }
            | Self::Reserver
            | Self::Greedy
            | Self::Decliner
            | Self::Reviver
            | Self::Churner { .. }
            | Self::SlowReader
            | Self::ManyRoles { .. }
            | Self::Nonsense
            | Self::Silent
            | Self::Moody
            | Self::Scripted
            | Self::Picky => Duration::from_secs(60 * 60),
        }
    }

    pub(crate) fn role(&self) -> &'static str {
        match self {
            Self::Keeper { .. } | Self::Hasty { .. } => "services",
            Self::Greedy | Self::Silent => "hoard",
            Self::Reserver => "ops",
            Self::Decliner
            | Self::Reviver
            | Self::Churner { .. }
            | Self::SlowReader
            | Self::ManyRoles { .. }
            | Self::Nonsense
            | Self::Moody
            | Self::Vanisher
            | Self::Scripted
            | Self::Picky
            | Self::Busy { .. } => "*",
        }
    }

    /// All its roles.
    pub(crate) fn roles(&self) -> Vec<Role> {
        let named = |name: &str| Role::new(name).expect("a valid role");
        match self {
            Self::ManyRoles { roles } => {
                (0..*roles).map(|number| named(&format!("many/r{number}"))).collect()
            }
            _ => vec![named(self.role())],
        }
    }

    pub(crate) fn capabilities(&self) -> BTreeSet<FrameworkCapability> {
        match self {
            Self::Greedy => [FrameworkCapability::TaskKillingState].into(),
            Self::Vanisher => BTreeSet::new(),
            Self::Picky => [FrameworkCapability::GpuResources].into(),
            Self::Reserver => {
                [FrameworkCapability::PartitionAware, FrameworkCapability::ReservationRefinement].into()
            }
            Self::Keeper { .. }
            | Self::Hasty { .. }
            | Self::Busy { .. }
            | Self::Decliner
            | Self::Reviver
            | Self::Churner { .. }
            | Self::SlowReader
            | Self::ManyRoles { .. }
            | Self::Nonsense
            | Self::Silent
            | Self::Moody
            | Self::Scripted => {
                [FrameworkCapability::PartitionAware, FrameworkCapability::TaskKillingState].into()
            }
        }
    }
}

/// What a framework hears.
#[derive(Debug)]
pub(crate) enum News {
    Subscribed,
    Disconnected,
    Event(SchedulerEvent),
    Woken,
}

/// One turn of a framework: what it knows, and what it wants done.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Mono,
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

/// A framework's own state.
#[derive(Debug)]
pub(crate) enum Actor {
    Keeper(Box<Keeper>),
    Moody(Moody),
    Reserver(Reserver),
    Busy(Busy),
    Reviver(Reviver),
    Hostile(Hostile),
}

impl Actor {
    pub(crate) fn new(manner: &Manner, index: usize) -> Self {
        match manner {
            Manner::Keeper { tasks } => Self::Keeper(Box::new(Keeper::new(*tasks, index, false))),
            Manner::Hasty { tasks } => Self::Keeper(Box::new(Keeper::new(*tasks, index, true))),
            Manner::Busy { launches } => Self::Busy(Busy::new(*launches, index)),
            Manner::Churner { .. } | Manner::SlowReader | Manner::ManyRoles { .. } | Manner::Nonsense => {
                Self::Hostile(Hostile::new(manner.clone(), index))
            }
            Manner::Reviver => Self::Reviver(Reviver::default()),
            Manner::Reserver => Self::Reserver(Reserver::new(index)),
            _ => Self::Moody(Moody::new(manner.clone(), index)),
        }
    }

    /// What was not stored is gone.
    pub(crate) fn restart(&mut self, store: &Store) {
        match self {
            Self::Keeper(keeper) => keeper.restart(store),
            Self::Moody(moody) => moody.restart(),
            Self::Busy(busy) => busy.restart(),
            Self::Reserver(_) | Self::Reviver(_) | Self::Hostile(_) => {}
        }
    }

    pub(crate) fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match self {
            Self::Keeper(keeper) => keeper.on(turn, news),
            Self::Moody(moody) => moody.on(turn, news),
            Self::Reserver(reserver) => reserver.on(turn, news),
            Self::Busy(busy) => busy.on(turn, news),
            Self::Reviver(reviver) => reviver.on(turn, news),
            Self::Hostile(hostile) => hostile.on(turn, news),
        }
    }

    /// The keeper, if it is one.
    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        match self {
            Self::Keeper(keeper) => Some(keeper),
            Self::Moody(_) | Self::Reserver(_) | Self::Busy(_) | Self::Reviver(_) | Self::Hostile(_) => None,
        }
    }

    /// The reviver, if it is one.
    pub(crate) fn reviver(&self) -> Option<&Reviver> {
        match self {
            Self::Reviver(reviver) => Some(reviver),
            Self::Moody(_) | Self::Reserver(_) | Self::Busy(_) | Self::Keeper(_) | Self::Hostile(_) => None,
        }
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
