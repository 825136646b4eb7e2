//! Puts the parts together and stops them in order.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_listener::{GrpcRoutes, Listener, Policy};
use chapada_model::Role;
use chapada_sdk::{
    Acknowledge, Campaign, Detector, FrameworkConfig, LeaderInfo, Leadership, MasterAddress, OpenedStore,
    Schema, Store, StoreAddress, ZkOptions, connect, random,
};
use chapada_services_core::{Seed, Services};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::{Actor, StoreLost};
use crate::carry;
use crate::clock::Clock;
use crate::config::{DEFAULT_PORT, ServicesConfig};
use crate::error::Error;
use crate::handle::{Input, ServicesHandle};
use crate::http::{self, Api};
use crate::hub::Hub;
use crate::identity::Identity;
use crate::listen_in::Ears;
use crate::prober::Prober;
use crate::standing::Standing;
use crate::store;

/// What the store is called, and the newest version of it that this program knows.
const SCHEMA: Schema = Schema { name: "chapada-services", version: 1 };

/// Runs the services framework until `stop`. Its tasks run on.
///
/// # Errors
/// [`Error`] when it cannot begin, or cannot go on: another process leads, or the master has removed the framework.
pub async fn run(config: ServicesConfig, stop: CancellationToken) -> Result<(), Error> {
    let prepared = Prepared::new(&config)?;
    let listener = Listener::bind(&config.listen(), DEFAULT_PORT).await?;
    let at = listener.local_addr();
    let host = config.hostname.clone().unwrap_or_else(|| reached_as(at.ip()));
    let identity = Identity::new(format!("{host}:{}", at.port()), config);
    let hub = Hub::default();
    let (services, inputs) = ServicesHandle::new();
    let api = Api { services: services.clone(), hub: hub.clone(), identity: identity.clone() };
    tracing::info!(address = %at, "listening");
    let tasks = TaskTracker::new();
    let serving = stop.child_token();
    let routes = http::routes(Arc::new(api));
    tasks.spawn(listener.serve(routes, GrpcRoutes::default(), Policy::allow_all(), serving.clone()));
    let info = LeaderInfo {
        id: uuid::Uuid::new_v4().to_string(),
        hostname: host,
        ip: at.ip(),
        port: at.port(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: Vec::new(),
    };
    let ears = Ears { services, hub, identity };
    let outcome = prepared.lead(info, ears, inputs, stop).await;
    serving.cancel();
    tasks.close();
    tasks.wait().await;
    outcome
}

/// The name by which others reach a process that listens on `ip`, when none was configured.
fn reached_as(ip: IpAddr) -> String {
    let own = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    match ip {
        ip if ip.is_unspecified() && !own().is_empty() => own(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    }
}

/// What the configuration means.
struct Prepared {
    role: Role,
    framework: FrameworkConfig,
    store: StoreAddress,
    zookeeper: ZkOptions,
}

impl Prepared {
    fn new(config: &ServicesConfig) -> Result<Self, Error> {
        let master: MasterAddress = config.master.parse().map_err(Error::Master)?;
        let role = Role::new(config.role.as_str()).map_err(Error::Role)?;
        let zookeeper = ZkOptions { session_timeout: config.zk_session_timeout };
        let store = match &config.zk {
            Some(zk) => StoreAddress::ZooKeeper(zk.parse().map_err(Error::ZooKeeper)?),
            None => {
                let path = config.work_dir.clone();
                std::fs::create_dir_all(&path).map_err(|source| Error::WorkDir { path, source })?;
                StoreAddress::File(config.work_dir.join("services.redb"))
            }
        };
        let framework = FrameworkConfig {
            zookeeper: zookeeper.clone(),
            user: config.user.as_str().into(),
            roles: vec![role.clone()],
            failover_timeout: config.failover_timeout,
            acknowledge: Acknowledge::Explicitly,
            ..FrameworkConfig::new(config.framework_name.as_str(), master)
        };
        Ok(Self { role, framework, store, zookeeper })
    }

    /// Waits for its turn, then works until `stop` or until the turn is over.
    async fn lead(
        self,
        info: LeaderInfo,
        ears: Ears,
        inputs: mpsc::Receiver<Input>,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let coordination = self.store.coordination(self.zookeeper.clone())?;
        let own = info.clone();
        let mut campaign = coordination.campaign(info);
        let elected = tokio::select! {
            term = campaign.wait_until_leading() => Some(term),
            () = follow(coordination.detect(), own, &ears.identity) => None,
            () = stop.cancelled() => None,
        };
        let outcome = match elected {
            None => Ok(()),
            Some(Err(reason)) => Err(Error::Lost(reason)),
            Some(Ok(term)) => {
                let opened = Store::open(&term, SCHEMA).await?;
                let lost = campaign.watch();
                self.work(opened, ears, inputs, Turn { lost, stop }).await
            }
        };
        Campaign::resign(campaign).await;
        outcome
    }

    async fn work(
        mut self,
        opened: OpenedStore,
        ears: Ears,
        inputs: mpsc::Receiver<Input>,
        mut turn: Turn,
    ) -> Result<(), Error> {
        let clock = Clock::new();
        let seed = Seed::new(random(), random());
        let records = opened.records.iter().map(|record| (store::name(record), record.value.to_vec()));
        let services = Services::restore(self.role, seed, clock.now(), records)?;
        self.framework.hostname = ears.identity.host_port.rsplit_once(':').map(|(host, _)| host.into());
        self.framework.webui_url = Some(ears.identity.url().into());
        let (driver, mut events) = connect(self.framework, Some(&opened));
        let (master, calls) = carry::queue();
        let standing = ears.identity.turn.clone();
        let store = opened.store.clone();
        let prober = Prober::new(ears.services.clone());
        let actor =
            Actor { services, clock, store: opened.store, master, prober, hub: ears.hub.clone(), inputs };
        let working = turn.stop.child_token();
        let carrying = carry::carry(driver.clone(), calls, ears.services.clone());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carrying);
        standing.set(Standing::Leading);
        let outcome = tokio::select! {
            outcome = actor.run(working) => outcome.map_err(Error::from),
            outcome = ears.listen(&driver, &mut events) => outcome.map_err(Error::from),
            reason = turn.is_over() => Err(Error::Lost(reason)),
        };
        standing.set(Standing::Unknown);
        driver.stop();
        tasks.shutdown().await;
        match outcome {
            Err(Error::Run(removed)) if removed.is_removed() => {
                // Its tasks are ended by the master. Under a new id they are asked about, not found, and started anew.
                store.forget_framework_id().await.map_err(|error| StoreLost(error.to_string()))?;
                Err(Error::Removed(removed))
            }
            outcome => outcome,
        }
    }
}

/// Keeps in mind who else leads, for as long as it is polled.
async fn follow(mut detector: Detector, own: LeaderInfo, identity: &Identity) {
    // An entry with our address and another id is that of our former life, which ZooKeeper has not missed yet.
    let is_own = |leader: &LeaderInfo| (leader.port, &leader.hostname) == (own.port, &own.hostname);
    let mut leader = detector.leader();
    loop {
        identity.turn.set(match leader {
            Some(leader) if !is_own(&leader) => {
                Standing::Following(format!("http://{}:{}", leader.hostname, leader.port))
            }
            Some(_) | None => Standing::Unknown,
        });
        leader = detector.changed().await;
    }
}

/// How long this process may work.
struct Turn {
    lost: tokio::sync::watch::Receiver<Leadership>,
    stop: CancellationToken,
}

impl Turn {
    async fn is_over(&mut self) -> chapada_sdk::LostReason {
        loop {
            if let Leadership::Lost(reason) = &*self.lost.borrow_and_update() {
                return reason.clone();
            }
            if self.lost.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
