//! How a framework presents itself and how its driver behaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_coordination::{MasterAddress, ZkOptions};
use chapada_model::{
    FrameworkCapability, FrameworkDescription, FrameworkId, Label, Payload, Quantities, Role, Text,
};
use chapada_sdk_core::{Backoff, ReconciliationConfig};
use chapada_tls::Dialer;
use chapada_wire::v1::scheduler::OfferConstraints;

use crate::link::Link;

/// Everything the driver needs to know. Begin with [`FrameworkConfig::new`] and change what is to differ.
#[derive(Clone, Debug)]
pub struct FrameworkConfig {
    /// Where the master is.
    pub master: MasterAddress,
    /// How it is reached. Default: over the network.
    pub link: Link,
    /// What connections to it are made with: plain ones unless set, or under TLS with `Dialer::with(&files)?`, where
    /// [`TlsFiles`](crate::TlsFiles) name the authorities of the cluster and the certificate of this framework; they are flags of
    /// `clap` as well.
    pub dialer: Dialer,
    /// The ZooKeeper session, when the master is found through one.
    pub zookeeper: ZkOptions,
    /// For people; default: as given to [`FrameworkConfig::new`].
    pub name: Text,
    /// Whom tasks run as that say nothing else. Default: empty, the agent's own user.
    pub user: Text,
    /// The roles to take offers in. Default: `*`.
    pub roles: Vec<Role>,
    /// Those of the roles in which no offers are wanted after a subscription, until [`Driver::revive`](crate::Driver::revive).
    /// Default: none.
    pub suppressed_roles: Vec<Role>,
    /// The least that is worth an offer, by role: any one of its list; an empty list takes everything. Default: as the master has it.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
    /// Which agents are wanted at all, by role, in the API's own terms. Default: all.
    pub offer_constraints: Option<OfferConstraints>,
    /// For how long tasks run on while no scheduler is subscribed; after that the master ends them. Default: one week.
    pub failover_timeout: Duration,
    /// Where this scheduler runs, for people.
    pub hostname: Option<Text>,
    /// Where its own pages are; the master's web UI leads there.
    pub webui_url: Option<Text>,
    /// Whom it is authenticated as.
    pub principal: Option<Text>,
    /// Free text for others.
    pub labels: Vec<Label>,
    /// What it can do beyond what every framework of this library can: partition awareness, several roles, refined
    /// reservations, and the state TASK_KILLING.
    pub capabilities: BTreeSet<FrameworkCapability>,
    /// The id it had before, when it keeps it itself. A [`Store`](crate::Store) given to the driver counts more.
    pub id: Option<FrameworkId>,
    /// Who acknowledges updates. Default: the driver, when the scheduler has handled them.
    pub acknowledge: Acknowledge,
    /// Between two attempts to subscribe. Default: up to 100 ms at first, up to 15 s in the end.
    pub resubscribe: Backoff,
    /// Who asks about tasks. Default: the driver.
    pub reconcile: Reconcile,
    /// How persistently the driver asks about tasks.
    pub reconciliation: ReconciliationConfig,
    /// How often [`Scheduler::tick`](crate::Scheduler::tick) is called. Default: 1 s.
    pub tick: Duration,
}

/// Who acknowledges updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// The driver, once the scheduler's callback has returned without an error, or the next event is asked for.
    Automatically,
    /// The scheduler, with [`Driver::acknowledge`](crate::Driver::acknowledge).
    Explicitly,
}

/// Who asks the master what became of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconcile {
    /// The driver: for everything after each subscription, for launches of which nothing is heard, and for what
    /// [`Driver::reconcile_until_answered`](crate::Driver::reconcile_until_answered) is given.
    Automatically,
    /// The scheduler, with a [`Reconciliation`](crate::Reconciliation) of its own and
    /// [`Driver::reconcile`](crate::Driver::reconcile): for a state machine that knows more than the driver does, such as
    /// which launches are unconfirmed.
    Explicitly,
}

impl FrameworkConfig {
    /// A framework of that name with the defaults above.
    pub fn new(name: impl Into<Text>, master: MasterAddress) -> Self {
        Self {
            master,
            link: Link::Network,
            dialer: Dialer::plain(),
            zookeeper: ZkOptions::default(),
            name: name.into(),
            user: "".into(),
            roles: vec![Role::star()],
            suppressed_roles: Vec::new(),
            min_allocatable: BTreeMap::new(),
            offer_constraints: None,
            failover_timeout: Duration::from_secs(7 * 24 * 60 * 60),
            hostname: None,
            webui_url: None,
            principal: None,
            labels: Vec::new(),
            capabilities: BTreeSet::new(),
            id: None,
            acknowledge: Acknowledge::Automatically,
            resubscribe: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(15) },
            reconcile: Reconcile::Automatically,
            reconciliation: ReconciliationConfig::default(),
            tick: Duration::from_secs(1),
        }
    }

    pub(crate) fn description(&self, id: Option<FrameworkId>) -> FrameworkDescription {
        let mut capabilities = self.capabilities.clone();
        capabilities.extend([
            FrameworkCapability::PartitionAware,
            FrameworkCapability::MultiRole,
            FrameworkCapability::ReservationRefinement,
            FrameworkCapability::TaskKillingState,
        ]);
        FrameworkDescription {
            id,
            user: self.user.clone(),
            name: self.name.clone(),
            failover_timeout: self.failover_timeout,
            checkpoint: true,
            roles: self.roles.clone(),
            hostname: self.hostname.clone(),
            principal: self.principal.clone(),
            webui_url: self.webui_url.clone(),
            capabilities,
            labels: self.labels.clone(),
            offer_filters: self.min_allocatable.clone(),
            details: Payload::default(),
        }
    }
}
