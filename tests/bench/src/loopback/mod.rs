//! Benches against a real master process over loopback.
//!
//! - `fleet`: simulated agents: they speak the real agent link, run nothing and write nothing down;
//! - `scheduler`: a framework over gRPC;
//! - `usage`: what the master's process and its connections take;
//! - `records`: counts the records of a stream without reading them.

pub(crate) mod fleet;
mod records;
pub(crate) mod scheduler;
pub(crate) mod usage;

pub(crate) mod events;
pub(crate) mod launch;
pub(crate) mod links;
pub(crate) mod state;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_harness::Cluster;
use tokio::runtime::{Builder, Runtime};

/// Far beyond what any step takes.
const WITHIN: Duration = Duration::from_secs(120);

/// A master by itself. Its agents are silent for long: they only speak when there is something to say.
fn master() -> Cluster {
    Cluster::builder()
        .agents(0)
        .master_flag("--agent-ping-timeout=10min")
        .master_flag("--offer-timeout=10min")
        .start()
}

/// With a thread of its own, so that what is said gets on its way also while nobody waits for it.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().context("a runtime")
}

/// Waits until a metric of the master has a value.
fn wait_for_metric(cluster: &Cluster, name: &str, wanted: f64) -> Result<()> {
    let until = Instant::now() + WITHIN;
    loop {
        let metrics = cluster.master_http(0).get("/metrics/snapshot").map_err(anyhow::Error::msg)?;
        let value = metrics[name].as_f64();
        if value == Some(wanted) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{name} is {value:?}, not {wanted}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
