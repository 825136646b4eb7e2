//! Puts the parts together and stops them in order.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_listener::{Admission, Credentials, GrpcRoutes, ListenError, Listener, Logging, SetLevel};
use chapada_model::{FrameworkCapability, Role};
use chapada_sdk::{
    Acknowledge, Candidate, FrameworkConfig, LeaderInfo, MasterAddress, Reconcile, Schema, StoreAddress,
    ZkOptions, random, run_in_turns,
};
use chapada_services_core::Settings;
use chapada_tls::Dialer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access;
use crate::config::{DEFAULT_PORT, ServicesConfig};
use crate::error::Error;
use crate::figures::Figures;
use crate::handle::{Inputs, ServicesHandle};
use crate::http::{self, Api, Bodies, Looks, Surroundings};
use crate::hub::Hub;
use crate::identity::Identity;
use crate::listen_in::Ears;
use crate::secrets::Secrets;
use crate::turn::Post;

/// What the store is called, and the newest version of it that this program knows.
const SCHEMA: Schema =
    Schema { name: "chapada-services", version: 1, grouped: &["app", "home", "instance", "version"] };

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
        surroundings: Arc::new(Surroundings::new(
            &identity.config,
            &prepared.framework.dialer,
            &identity.host_port,
        )),
        logging: set_level.map(Logging::with).unwrap_or_default(),
        secrets,
        bodies: Bodies::default(),
        looks: Looks::default(),
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
        capabilities: vec![identity.own_scheme().to_owned()],
    };
    let ears = Ears { services, hub, identity };
    let outcome = prepared.take_turns(info, (ears, figures, inputs), stop).await;
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
            Some(zk) => {
                // While it stands in line it passes calls on to the one that leads.
                config.tls.files().check().map_err(ListenError::from)?;
                StoreAddress::ZooKeeper(zk.parse().map_err(Error::ZooKeeper)?)
            }
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
            reconcile: Reconcile::Explicitly,
            capabilities: [FrameworkCapability::RegionAware, FrameworkCapability::GpuResources].into(),
            dialer: Dialer::of_daemon(&config.tls).map_err(ListenError::from)?,
            ..FrameworkConfig::new(config.framework_name.as_str(), master)
        };
        let secrets = Secrets::new(config.secrets_dir.clone());
        let settings = config.settings();
        Ok(Self { role, settings, secrets, framework, store, zookeeper })
    }

    /// Stands in line and leads, turn after turn, until `stop` or until it cannot go on.
    async fn take_turns(
        self,
        info: LeaderInfo,
        (ears, figures, inputs): (Ears, Figures, Inputs),
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let Self { role, settings, secrets, framework, store, zookeeper } = self;
        let coordination = store.coordination(zookeeper)?;
        let mut post = Post { role, settings, secrets, framework, ears, figures, inputs };
        run_in_turns(&coordination, Candidate { info, schema: SCHEMA }, &mut post, stop).await
    }
}
