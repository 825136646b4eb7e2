//! Puts a master together and runs it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use chapada_coordination::{Coordination, ZkAddress, ZkOptions};
use chapada_listener::{ListenError, Listener, Logging, Policy, SetLevel};
use chapada_model::Domain;
use chapada_tls::Dialer;
use chapada_wire::convert::domain_from_json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::agent_link::Handshakes;
use crate::clock::Clock;
use crate::config::{DEFAULT_PORT, MasterConfig};
use crate::error::Error;
use crate::leadership::{Candidate, Identity};
use crate::routes;
use crate::shell::{Shell, Standing};
use crate::step_down;
use crate::weights::Weights;

/// Runs a master until `stop`.
///
/// # Errors
/// [`Error`] says why it cannot start or go on, and what to do.
pub async fn run(config: MasterConfig, stop: CancellationToken) -> Result<(), Error> {
    Master::bind(config).await?.run(stop).await
}

/// A master whose port is open and that does nothing yet: for those who must know the port first.
#[derive(Debug)]
pub struct Master {
    config: MasterConfig,
    listener: Listener,
    dialer: Dialer,
    coordination: Coordination,
    weights: Weights,
    domain: Option<Domain>,
    policy: Policy,
    logging: Logging,
}

impl Master {
    /// Opens the port and, without ZooKeeper, the records.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn bind(config: MasterConfig) -> Result<Self, Error> {
        let weights = Weights::parse(config.weights.as_deref().unwrap_or_default())?;
        let domain = config.domain.as_deref().map(domain_from_json).transpose().map_err(Error::Domain)?;
        let dialer = Dialer::of_daemon(&config.tls).map_err(ListenError::from)?;
        let listener = Listener::bind(&config.listen(), DEFAULT_PORT).await?;
        let coordination = coordination(&config)?;
        Ok(Self {
            config,
            listener,
            dialer,
            coordination,
            weights,
            domain,
            policy: Policy::allow_all(),
            logging: Logging::default(),
        })
    }

    /// The real address, also when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The rules that calls are held against.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Lets SET_LOGGING_LEVEL change the log of this process, which otherwise is refused.
    #[must_use]
    pub fn with_log(mut self, set: SetLevel) -> Self {
        self.logging = Logging::with(set);
        self
    }

    /// Runs until `stop`.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        raise_open_files();
        let clock = Clock::new();
        let identity = identity(&self.config, self.listener.local_addr());
        let (standing, standings) = watch::channel(Standing::Following);
        let (asking, step_downs) = mpsc::channel(step_down::REQUESTS);
        // A leader that is to stop hands over first, and answers meanwhile.
        let closing = CancellationToken::new();
        let detector = self.coordination.detect();
        let shell = Arc::new(Shell {
            config: self.config.clone(),
            dialer: self.dialer,
            clock,
            started: clock.wall(),
            standing: standings,
            leader: detector.watch(),
            problem: detector.problems(),
            stop: closing.clone(),
            own: (identity.ip, identity.port),
            logging: self.logging.clone(),
            step_downs: asking,
            handshakes: Handshakes::default(),
        });
        tracing::info!(address = %self.listener.local_addr(), "the master listens");
        let serving =
            self.listener.serve(routes::http(&shell), routes::grpc(&shell), self.policy, closing.clone());
        let candidate = Candidate {
            config: self.config,
            clock,
            identity,
            weights: self.weights,
            domain: self.domain,
            coordination: self.coordination,
            standing,
            step_downs,
            stop,
        };
        // Whichever ends first takes the other with it.
        let contending = async {
            let result = candidate.run().await;
            closing.cancel();
            result
        };
        let ((), result) = tokio::join!(serving, contending);
        drop(detector);
        result
    }
}

/// Every agent and scheduler takes a file descriptor, and the usual soft limit of 1,024 is for small programs. The master
/// starts no other program that would inherit it.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "failed to raise the limit of open files; connections may be refused above it");
    }
}

fn coordination(config: &MasterConfig) -> Result<Coordination, Error> {
    match &config.zk {
        Some(address) => {
            let address: ZkAddress = address.parse().map_err(Error::ZooKeeper)?;
            let options = ZkOptions { session_timeout: config.zk_session_timeout };
            Ok(Coordination::zookeeper(address, options))
        }
        None => {
            let path = config.work_dir.clone();
            std::fs::create_dir_all(&path).map_err(|source| Error::WorkDir { path: path.clone(), source })?;
            Ok(Coordination::embedded(&path.join("registry.redb"))?)
        }
    }
}

/// Who this master is to others. An unspecified address is of no use to them, so the machine's own name stands in.
fn identity(config: &MasterConfig, bound: SocketAddr) -> Identity {
    let ip = config.advertise_ip.unwrap_or(match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    });
    Identity {
        hostname: config.hostname.clone().unwrap_or_else(|| ip.to_string()),
        ip,
        port: config.advertise_port.unwrap_or(bound.port()),
    }
}
