//! How frameworks behave, and what each says about itself.

use std::time::Duration;

use chapada_model::{FrameworkCapability, Role};

use super::Actor;
use super::busy::Busy;
use super::executing::Executing;
use super::gang::Gang;
use super::hostile::Hostile;
use super::keeper::Keeper;
use super::moody::Moody;
use super::reserver::Reserver;
use super::reviver::Reviver;
use super::services::{self, Services};

const HOUR: Duration = Duration::from_secs(60 * 60);

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
    /// The services framework: its own core, with random owners of so many apps.
    Services {
        /// How many.
        apps: usize,
    },
    /// Uses all of each offer for one task.
    Greedy,
    /// Declines every offer.
    Decliner,
    /// Never answers an offer.
    Silent,
    /// Launches, kills, asks, suppresses and revives as it likes; its calls swap and repeat.
    Moody,
    /// Launches tasks and groups on executors, the built-in one and its own, and ends and talks to both.
    Executing,
    /// Reserves, makes volumes, and undoes both.
    Reserver,
    /// Launches so many small tasks each second.
    Busy {
        /// How many.
        launches: usize,
    },
    /// Gathers offers until so many tasks fit, launches them all at once, and gives back what it has when that takes too long.
    Gang {
        /// How many.
        tasks: usize,
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

/// What a framework says about itself.
pub(crate) struct Words {
    pub(crate) failover_timeout: Duration,
    pub(crate) roles: Vec<Role>,
    pub(crate) capabilities: &'static [FrameworkCapability],
}

impl Manner {
    pub(crate) fn is_keeper(&self) -> bool {
        matches!(self, Self::Keeper { .. } | Self::Hasty { .. })
    }

    /// Its tasks run until they are told otherwise.
    pub(crate) fn has_long_tasks(&self) -> bool {
        self.is_keeper() || matches!(self, Self::Services { .. } | Self::Gang { .. })
    }

    /// Its calls arrive in the order in which it made them.
    pub(crate) fn is_ordered(&self) -> bool {
        self.has_long_tasks()
    }

    /// What it says about itself, and who it is.
    pub(crate) fn begin(&self, index: usize) -> (Words, Box<dyn Actor>) {
        use FrameworkCapability::{GpuResources, PartitionAware, ReservationRefinement, TaskKillingState};
        let role = |name: &str| vec![Role::new(name).expect("a valid role")];
        let usual = Words {
            failover_timeout: HOUR,
            roles: role("*"),
            capabilities: &[PartitionAware, TaskKillingState],
        };
        let services = |words| Words { failover_timeout: 7 * 24 * HOUR, roles: role("services"), ..words };
        let moody = || Box::new(Moody::new(self.clone(), index));
        let hostile = || Box::new(Hostile::new(self.clone(), index));
        match self {
            Self::Keeper { tasks } => (services(usual), Box::new(Keeper::new(*tasks, index, false))),
            Self::Hasty { tasks } => (services(usual), Box::new(Keeper::new(*tasks, index, true))),
            Self::Services { apps } => {
                let capabilities = &[PartitionAware, TaskKillingState, ReservationRefinement];
                let words = Words { roles: vec![services::role(index)], capabilities, ..services(usual) };
                (words, Box::new(Services::new(*apps, index)))
            }
            Self::Greedy => {
                (Words { roles: role("hoard"), capabilities: &[TaskKillingState], ..usual }, moody())
            }
            Self::Silent => (Words { roles: role("hoard"), ..usual }, moody()),
            Self::Vanisher => {
                (Words { failover_timeout: Duration::from_secs(30), capabilities: &[], ..usual }, moody())
            }
            Self::Picky => (Words { capabilities: &[GpuResources], ..usual }, moody()),
            Self::Decliner | Self::Moody | Self::Scripted => (usual, moody()),
            Self::Executing => {
                (Words { roles: role("services/own"), ..usual }, Box::new(Executing::new(index)))
            }
            Self::Reserver => {
                let capabilities = &[PartitionAware, ReservationRefinement];
                (Words { roles: role("ops"), capabilities, ..usual }, Box::new(Reserver::new(index)))
            }
            Self::Gang { tasks } => {
                (Words { roles: role("gangs"), ..usual }, Box::new(Gang::new(*tasks, index)))
            }
            Self::Busy { launches } => (usual, Box::new(Busy::new(*launches, index))),
            Self::Reviver => (usual, Box::new(Reviver::default())),
            Self::ManyRoles { roles } => {
                let many = (0..*roles).flat_map(|number| role(&format!("many/r{number}")));
                (Words { roles: many.collect(), ..usual }, hostile())
            }
            Self::Churner { .. } | Self::SlowReader | Self::Nonsense => (usual, hostile()),
        }
    }
}
