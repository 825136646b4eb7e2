//! The state machine. Handlers of events only note facts; [`Services::settle`] then derives what follows from them, app
//! by app, and the [`Outbox`] holds back what rests on a write.

mod announce;
mod commands;
mod containers;
mod converge;
mod deploy;
mod due;
mod funnel;
mod groups;
mod health;
mod history;
mod index;
mod inquiring;
mod instances;
mod kill;
mod known;
mod leaving;
mod offers;
mod order;
mod plan;
mod pods;
mod ports;
mod readiness;
mod refused;
mod residents;
mod restore;
mod roles;
mod rollout;
mod sentence;
mod settle;
mod state;
mod tree;
mod updates;
mod view;
mod why;

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{AgentId, Mono, Now, Role};
use chapada_sdk_core::{Outbox, Reconciliation};

use crate::deployment::Deployment;
use crate::event::{Effect, Event};
use crate::group::{Group, PathId};
use crate::id::{AppId, DeploymentId, Seed};
use crate::records::{Key, ReadError, Recovered, Write};
use crate::settings::Settings;
use crate::timestamp::Timestamp;

pub use funnel::{Funnel, Looked};
pub use groups::GroupPlan;
pub use history::Snapshot;
pub use inquiring::{Inquired, Inquiring};
pub use instances::Instances;
pub use known::KnownOffer;
pub use state::{AppState, Failure, PodTermination};
pub use view::{Counts, Waiting};

/// Every app, instance and deployment, and what is to be done about them.
#[derive(Debug)]
pub struct Services {
    role: Role,
    settings: Settings,
    /// Its id at the master, once that is known. Reservations carry it.
    framework: String,
    seed: Seed,
    apps: BTreeMap<AppId, AppState>,
    deployments: BTreeMap<DeploymentId, Deployment>,
    /// When this process gives them up, for these deadlines: what is kept is a time of day, and a clock may jump.
    deadlines: BTreeMap<DeploymentId, (Timestamp, Mono)>,
    /// Groups that were made or say something. The others exist where apps and pods are.
    groups: BTreeMap<PathId, Group>,
    history: history::History,
    roles: roles::Roles,
    /// The last version given out: the next one is later.
    version: Timestamp,
    connected: bool,
    /// How many instances all apps and pods shall have together.
    wanted: u64,
    /// Counts subscriptions and their ends: what is heard on one says nothing on the next.
    subscription: u32,
    /// Apps of which something changed since they were last settled.
    touched: BTreeSet<AppId>,
    /// When to look at an app again. May hold more than is needed, never less.
    timers: BTreeSet<(Mono, AppId)>,
    demand: offers::Demand,
    known: known::KnownOffers,
    reconciliation: Reconciliation,
    /// Agents that we are asked to leave, each until that is forgotten unless it is repeated.
    leaving: BTreeMap<AgentId, Mono>,
    /// Service ports in use, each with how many definitions name it.
    service_ports: BTreeMap<u16, u32>,
    /// What is done when there is time.
    left: sentence::Left,
    outbox: Outbox<Key, Effect>,
}

impl Services {
    /// With nothing in it.
    pub fn new(role: Role, seed: Seed) -> Self {
        let mut services = Self {
            role,
            settings: Settings::default(),
            framework: String::new(),
            seed,
            apps: BTreeMap::new(),
            deployments: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            groups: BTreeMap::new(),
            history: history::History::default(),
            roles: roles::Roles::default(),
            version: Timestamp::default(),
            connected: false,
            // What is read back was heard on none: 0.
            subscription: 1,
            wanted: 0,
            touched: BTreeSet::new(),
            timers: BTreeSet::new(),
            demand: offers::Demand::default(),
            known: known::KnownOffers::default(),
            reconciliation: settle::reconciliation(),
            leaving: BTreeMap::new(),
            service_ports: BTreeMap::new(),
            left: sentence::Left::default(),
            outbox: Outbox::default(),
        };
        services.begin_roles();
        services
    }

    /// With other than the usual settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        let mut services = Self { settings, ..self };
        for state in services.apps.values_mut() {
            state.instances.set_patience(services.settings.patience);
        }
        services
    }

    /// As it was written to the store: `records` are all of them, in any order.
    ///
    /// # Errors
    /// When a record is of a newer format or damaged. Nothing may be started then: what is unread would be taken for gone.
    pub fn restore(
        role: Role,
        seed: Seed,
        now: Now,
        records: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<Self, ReadError> {
        let records: Result<Vec<Recovered>, ReadError> =
            records.into_iter().map(|(key, value)| Recovered::read(&key, &value)).collect();
        Ok(Self::recover(role, seed, now, records?))
    }

    /// The same of records that have been read.
    pub fn recover(role: Role, seed: Seed, now: Now, records: impl IntoIterator<Item = Recovered>) -> Self {
        let mut services = Self::new(role, seed);
        services.take_records(now, records);
        services.begin_roles();
        services
    }

    /// Takes note of an event and says what is to be done, in this order.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Command { request, command } => self.on_command(now, request, command),
            Event::Registered(framework) => self.framework = framework.to_string(),
            Event::Subscribed => self.on_subscribed(now),
            Event::Disconnected => self.on_disconnected(),
            Event::Offers(offers) => self.on_offers(now, offers),
            Event::Update(status) => self.on_update(now, &status),
            Event::Probed { task, check, result } => self.on_probed(now, &task, check, result),
            Event::Readiness { task, check, result } => self.on_readiness(now, &task, check, result),
            Event::Observed { task, addresses, check } => self.on_observed(&task, addresses, check),
            Event::Stored(number) => self.outbox.on_stored(number),
            Event::AskedToLeave(agents) => self.on_asked_to_leave(now, agents),
            Event::HomeRegion(region) => self.settings.home_region = region,
            Event::Tick => {
                self.carry_on(now);
                self.use_offers_left(now);
            }
        }
        self.forget_asked(now);
        self.settle(now);
        let writes: Vec<Write> = self.outbox.dirty().into_iter().map(|key| self.write_of(now, key)).collect();
        let write = (!writes.is_empty()).then_some(|number| Effect::Store { number, writes });
        self.outbox.flush(write)
    }

    /// When `Event::Tick` is wanted next, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Mono> {
        let app = self.timers.first().map(|(at, _)| *at);
        // Without a master nothing is asked of one: a deadline that nothing comes of would come again at once.
        let of_master = self.connected.then_some([self.reconciliation.next(), self.demand.deadline()]);
        of_master.into_iter().flatten().chain([app, self.next_forgotten(), self.left.due()]).flatten().min()
    }

    /// A version later than any before, and than `now` if the clock allows.
    fn next_version(&mut self, now: Now) -> Timestamp {
        self.version = Timestamp::from(now.wall).max(self.version.next());
        self.version
    }

    /// Notes that the record is to be written, or deleted when there is no such thing any more.
    fn save(&mut self, key: Key) {
        self.outbox.mark(key);
    }
}
