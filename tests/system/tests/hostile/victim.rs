//! The master that is attacked: one process, one agent, an honest framework, and what must hold afterwards.

use std::time::{Duration, Instant};

use chapada_harness::{Cluster, eventually};

use crate::honest::Honest;

/// What any of these attacks may cost the master, in MiB, on top of what it had: buffers of a few hundred connections at
/// 64 KiB each, and what an allocator keeps of them.
const MEMORY_BOUND_MIB: u64 = 96;
/// `/health` is a constant; anything near this on a loaded machine means that the master stands still.
const HEALTH_WITHIN: Duration = Duration::from_secs(5);

/// A cluster under attack.
pub(crate) struct Victim {
    honest: Honest,
    cluster: Cluster,
    before: u64,
}

impl Victim {
    /// Started, with an honest framework at work. Offers that nobody answers come back after two seconds.
    pub(crate) fn start() -> Self {
        Self::with_offers_for("2s")
    }

    /// The same with another time for an answer.
    pub(crate) fn with_offers_for(timeout: &str) -> Self {
        let cluster = Cluster::builder().master_flag(&format!("--offer-timeout={timeout}")).start();
        let honest = Honest::start(cluster.master_host_port(0));
        let before = resident_mib(&cluster);
        Self { honest, cluster, before }
    }

    /// `host:port` of the master.
    pub(crate) fn address(&self) -> &str {
        self.cluster.master_host_port(0)
    }

    /// The master answers, serves the honest framework, and has not grown beyond the bound.
    pub(crate) fn is_well(&self, when: &str) {
        let begin = Instant::now();
        let health = self.cluster.master_http(0).call("GET", "/health", None);
        assert_eq!(health.map(|(status, _)| status), Ok(200), "/health {when}");
        assert!(begin.elapsed() < HEALTH_WITHIN, "/health took {:?} {when}", begin.elapsed());
        self.honest.goes_on(when);
        eventually(&format!("the master's memory is within its bound {when}"), HEALTH_WITHIN, || {
            let grown = resident_mib(&self.cluster).saturating_sub(self.before);
            if grown <= MEMORY_BOUND_MIB { Ok(()) } else { Err(format!("it has grown by {grown} MiB")) }
        });
        assert!(!self.cluster.masters[0].log().contains("panicked"), "the master panicked {when}");
    }
}

fn resident_mib(cluster: &Cluster) -> u64 {
    let path = format!("/proc/{}/status", cluster.masters[0].pid());
    let status = std::fs::read_to_string(path).expect("the master runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") / 1024
}
