//! The command line.

use std::time::Duration;

use chapada_sdk::{Backoff, MasterAddress, Request, StoreAddress, TlsFiles};
use clap::Parser;

/// Keeps copies of a shell command running, and starts one again, ever more slowly, that ends.
///
/// SIGTERM ends this program only: the copies run on, and the next start with the same store finds them again. To end them, run
/// it with --instances 0, or with --remove.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Flags {
    /// The master: host:port, host:port,host:port or zk://h1,h2,h3/path.
    #[arg(long, default_value = "127.0.0.1:5050", env = "CHAPADA_MASTER")]
    pub(crate) master: MasterAddress,
    /// What is known of the copies: a file, or zk://h1,h2,h3/path for several keepers of which one leads.
    #[arg(long, value_name = "FILE or zk://…")]
    pub(crate) store: StoreAddress,
    #[command(flatten)]
    pub(crate) tls: TlsFiles,
    /// The framework's name.
    #[arg(long, default_value = "keeper")]
    pub(crate) name: String,
    /// How many copies.
    #[arg(long, short = 'n', default_value_t = 1)]
    pub(crate) instances: usize,
    /// CPUs of each copy.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) cpus: f64,
    /// Memory of each copy in MiB.
    #[arg(long, default_value_t = 32.0)]
    pub(crate) mem: f64,
    /// Ports of each copy, which it finds in PORT0, PORT1, ….
    #[arg(long, default_value_t = 0)]
    pub(crate) ports: usize,
    /// The wait before a copy is started again is up to this long at first,
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) backoff: Duration,
    /// and up to this long in the end. A copy that has run as long as this counts as good.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) max_backoff: Duration,
    /// A copy on an agent that is unreachable for longer is replaced.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) replace_unreachable_after: Duration,
    /// Ends all copies and takes the framework out of the cluster.
    #[arg(long)]
    pub(crate) remove: bool,
    /// The command, handed to /bin/sh -c. A change is seen by the copies that start from then on.
    #[arg(required_unless_present = "remove", default_value = "")]
    pub(crate) command: String,
}

impl Flags {
    pub(crate) fn request(&self) -> Request {
        Request::new(self.cpus, self.mem).any_ports(self.ports)
    }

    pub(crate) fn restart(&self) -> Backoff {
        Backoff { first: self.backoff, most: self.max_backoff }
    }

    /// Often enough for the shortest wait.
    pub(crate) fn tick(&self) -> Duration {
        (self.backoff / 2).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}
