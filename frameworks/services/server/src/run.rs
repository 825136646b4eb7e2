//! Puts the parts together and stops them in order.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_listener::{Admission, Credentials, GrpcRoutes, Listener, Logging, SetLevel};
use chapada_model::Role;
use chapada_sdk::{
    Acknowledge, Campaign, Coordination, Detector, FrameworkConfig, LeaderInfo, Leadership, MasterAddress,
    OpenedStore, Schema, Store, StoreAddress, ZkOptions, connect, random,
};
use chapada_services_core::{Seed, Services, Settings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access;
use crate::actor::{Actor, StoreLost};
use crate::carry;
use crate::clock::Clock;
use crate::config::{DEFAULT_PORT, ServicesConfig};
use crate::error::Error;
use crate::figures::Figures;
use crate::handle::{Inputs, ServicesHandle};
use crate::http::{self, Api, Bodies, Surroundings};
use crate::hub::Hub;
use crate::identity::Identity;
use crate::listen_in::Ears;
use crate::prober::Prober;
use crate::secrets::Secrets;
use crate::standing::Standing;
use crate::store;

/// What the store is called, and the newest version of it that this program knows.
const SCHEMA: Schema = Schema { name: "chapada-services", version: 1, grouped: &["home", "instance"] };

/// Runs the services framework until `stop`. Its tasks run on. `set_level` changes how much it writes into its log.
///
/// # Errors
/// [`Error`] when it cannot begin, or cannot go on: its store is lost, or the master has removed the framework.
pub async fn run(
    config: ServicesConfig,
    set_level: Option<SetLevel>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let prepared = Prepared::new(&config)?;
    let policy = access::policy(config.access_policy.as_deref())?;
    let listener = Listener::bind_with(&config.listen(), DEFAULT_PORT, admission(&config)?).await?;
    let at = listener.local_addr();
    let host = config.hostname.clone().unwrap_or_else(|| reached_as(at.ip()));
    let secrets = prepared.secrets.clone();
    let outstanding = config.event_stream_max_outstanding_messages;
    let identity = Identity::new(format!("{host}:{}", at.port()), config);
    let (hub, figures) = (Hub::new(random(), outstanding), Figures::default());
    let (services, inputs) = ServicesHandle::new();
    let api = Api {
        services: services.clone(),
        hub: hub.clone(),
        identity: identity.clone(),
        figures: figures.clone(),
        surroundings: Arc::new(Surroundings::new(&identity.config, &identity.host_port)),
        logging: set_level.map(Logging::with).unwrap_or_default(),
        secrets,
        bodies: Bodies::default(),
    };
    tracing::info!(address = %at, "listening");
    let tasks = TaskTracker::new();
    let serving = stop.child_token();
    let routes = http::routes(Arc::new(api));
    tasks.spawn(listener.serve(routes, GrpcRoutes::default(), policy, serving.clone()));
    let info = LeaderInfo {
        id: uuid::Uuid::new_v4().to_string(),
        hostname: host,
        ip: at.ip(),
        port: at.port(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: Vec::new(),
    };
    let ears = Ears { services, hub, identity };
    let outcome = prepared.stand(info, Post { ears, figures, inputs, stop }).await;
    serving.cancel();
    tasks.close();
    tasks.wait().await;
    outcome
}

/// Who may come in.
fn admission(config: &ServicesConfig) -> Result<Admission, Error> {
    let credentials = match &config.http_credentials_file {
        Some(file) => Some(Credentials::read(file, &config.http_realm)?.open(&["/ping"])),
        None => None,
    };
    Ok(Admission { credentials, origins: config.access_control_allow_origin.clone() })
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
    settings: Settings,
    secrets: Secrets,
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
        let secrets = Secrets::new(config.secrets_dir.clone());
        let settings = config.settings();
        Ok(Self { role, settings, secrets, framework, store, zookeeper })
    }

    /// Waits for its turn and works, turn after turn, until `stop` or until it cannot go on.
    async fn stand(self, info: LeaderInfo, post: Post) -> Result<(), Error> {
        let coordination = self.store.coordination(self.zookeeper.clone())?;
        loop {
            match self.lead(&coordination, info.clone(), &post).await {
                Ok(End::Stopped) => return Ok(()),
                Ok(End::GivenUp) => tracing::info!("gave leadership away; waiting for the next turn"),
                Err(Error::Lost(reason)) => {
                    tracing::warn!(%reason, "lost leadership; waiting for the next turn");
                }
                Err(error) => return Err(error),
            }
            post.ears.hub.close();
            post.inputs.forget().await;
        }
    }

    /// One turn.
    async fn lead(&self, coordination: &Coordination, info: LeaderInfo, post: &Post) -> Result<End, Error> {
        let own = info.clone();
        let mut campaign = coordination.campaign(info);
        let elected = tokio::select! {
            term = campaign.wait_until_leading() => Some(term),
            () = follow(coordination.detect(), own, &post.ears.identity) => None,
            () = post.stop.cancelled() => None,
        };
        let outcome = match elected {
            None => Ok(End::Stopped),
            Some(Err(reason)) => Err(Error::Lost(reason)),
            Some(Ok(term)) => {
                let opened = Store::open(&term, SCHEMA).await?;
                drop(term);
                let outcome = self.work(opened, post, campaign.watch()).await;
                match (outcome, campaign.state()) {
                    // What it could not write any more is for the next leader.
                    (Err(Error::Store(_)), Leadership::Lost(reason)) => Err(Error::Lost(reason)),
                    (outcome, _) => outcome,
                }
            }
        };
        Campaign::resign(campaign).await;
        outcome
    }

    async fn work(
        &self,
        opened: OpenedStore,
        post: &Post,
        lost: watch::Receiver<Leadership>,
    ) -> Result<End, Error> {
        let Post { ears, figures, inputs, stop } = post;
        let clock = Clock::new();
        let seed = Seed::new(random(), random());
        let records = store::read(&opened.records)?;
        let services = Services::recover(self.role.clone(), seed, clock.now(), records)
            .with_settings(self.settings.clone());
        let mut framework = self.framework.clone();
        framework.roles = services.roles().into_iter().collect();
        framework.hostname = ears.identity.host_port.rsplit_once(':').map(|(host, _)| host.into());
        framework.webui_url = Some(ears.identity.url().into());
        let (driver, mut events) = connect(framework, Some(&opened));
        let (master, calls) = carry::queue();
        let standing = ears.identity.turn.clone();
        let store = opened.store.clone();
        let prober = Prober::new(ears.services.clone()).map_err(Error::Prober)?;
        let (hub, figures, inputs) = (ears.hub.clone(), figures.clone(), inputs.clone());
        let actor = Actor { services, clock, store: opened.store, master, prober, hub, figures, inputs };
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carry::carry(driver.clone(), calls, ears.services.clone(), self.secrets.clone()));
        standing.set(Standing::Leading);
        let outcome = tokio::select! {
            outcome = actor.run(stop.child_token()) => outcome.map(|()| End::Stopped).map_err(Error::from),
            outcome = ears.listen(&driver, &mut events) => outcome.map(|()| End::Stopped).map_err(Error::from),
            reason = is_over(lost) => Err(Error::Lost(reason)),
            () = standing.given_up() => Ok(End::GivenUp),
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

/// What outlives a turn.
struct Post {
    ears: Ears,
    figures: Figures,
    inputs: Inputs,
    stop: CancellationToken,
}

/// How a turn ended that ended well.
enum End {
    /// The process shall end.
    Stopped,
    /// Somebody else shall lead.
    GivenUp,
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

/// Waits until the turn is over by itself.
async fn is_over(mut lost: watch::Receiver<Leadership>) -> chapada_sdk::LostReason {
    loop {
        if let Leadership::Lost(reason) = &*lost.borrow_and_update() {
            return reason.clone();
        }
        if lost.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
