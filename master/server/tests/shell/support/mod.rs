//! A master in this process, a raw HTTP client, and an agent that follows a script.

pub(crate) mod agent;
pub(crate) mod api;
pub(crate) mod http;
pub(crate) mod stream;

use std::net::SocketAddr;
use std::time::Duration;

use chapada_listener::Policy;
use chapada_master::{Master, MasterConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Anything that takes longer has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A master on a free port with a folder of its own.
pub(crate) struct TestMaster {
    pub(crate) at: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), chapada_master::Error>>,
    _folder: TempDir,
}

impl TestMaster {
    /// Starts one and waits until it leads.
    pub(crate) async fn start() -> Self {
        Self::start_with(Policy::allow_all()).await
    }

    /// Starts one with rules of its own and waits until it leads, which only `/health`'s neighbours tell.
    pub(crate) async fn start_with(policy: Policy) -> Self {
        let master = Self::start_unready(policy).await;
        master.wait_until_leading().await;
        master
    }

    pub(crate) async fn start_unready(policy: Policy) -> Self {
        Self::start_as(MasterConfig::default(), policy).await
    }

    /// Starts one of this configuration, which may not lead yet.
    pub(crate) async fn start_as(config: MasterConfig, policy: Policy) -> Self {
        let folder = TempDir::new().expect("a folder");
        let config = MasterConfig { port: 0, work_dir: folder.path().into(), ..config };
        let master = Master::bind(config).await.expect("a free port").with_policy(policy);
        let (at, stop) = (master.local_addr(), CancellationToken::new());
        let task = tokio::spawn(master.run(stop.clone()));
        Self { at, stop, task, _folder: folder }
    }

    pub(crate) async fn wait_until_leading(&self) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let answer = http::get(self.at, "/roles").await;
            if matches!(answer.status, 200 | 403) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "the master does not lead: {answer:?}");
            tokio::task::yield_now().await;
        }
    }

    /// Stops it and checks that it ended well and soon.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(DEADLINE, self.task).await.expect("ends in time");
        ended.expect("no panic").expect("ends well");
    }
}
