//! What an operator sets. Names are those of Mesos' flags, in kebab case.

mod least;
mod limit;
mod rate;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use chapada_coordination::MAX_RECORD_BYTES;
use chapada_listener::{DEFAULT_MAX_BODY, ListenConfig};
use chapada_master_core::{PolicyName, RecordBound, Settings};
use chapada_model::Text;
use chapada_tls::TlsConfig;

use crate::registry::record_bytes;

pub use least::{InvalidMinAllocatable, MinAllocatable};
pub use limit::{NoRemovalLimit, RefusedRemovalLimit};
pub use rate::{InvalidRate, RemovalBrake, RemovalRate};

/// The port of a master unless configured otherwise. Source: Mesos.
pub const DEFAULT_PORT: u16 = 5050;

/// What a write needs at most once ZooKeeper answers again: what the defaults leave for it.
const STORE_MARGIN: Duration = Duration::from_secs(6);

/// The configuration of a master.
#[derive(Clone, Debug, PartialEq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MasterConfig {
    /// Address to listen on. Anything but loopback needs certificates of callers or `--insecure`.
    #[arg(long, default_value = "127.0.0.1")]
    pub ip: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub port: u16,
    /// Name under which others reach this master. Default: the address.
    #[arg(long)]
    pub hostname: Option<String>,
    /// Address that others are told, when it differs from `--ip`.
    #[arg(long)]
    pub advertise_ip: Option<IpAddr>,
    /// Port that others are told, when it differs from `--port`.
    #[arg(long)]
    pub advertise_port: Option<u16>,
    /// Further names that a request's Host header may carry.
    #[arg(long, value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Listen off loopback although anyone who reaches the port may then command the cluster.
    #[arg(long)]
    pub insecure: bool,
    /// Largest request body, in bytes.
    #[arg(long, default_value_t = DEFAULT_MAX_BODY)]
    pub max_body_bytes: u64,
    /// ZooKeeper ensemble and path, `zk://h1:2181,h2:2181/chapada`. Without it this master is the only one and keeps
    /// its records in `--work-dir`.
    #[arg(long)]
    pub zk: Option<String>,
    /// How long ZooKeeper waits for a silent master before another takes over.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub zk_session_timeout: Duration,
    /// Folder for records; made if there is none.
    #[arg(long, default_value = "/var/lib/chapada/master")]
    pub work_dir: PathBuf,
    /// Name of the cluster, for people.
    #[arg(long)]
    pub cluster: Option<String>,
    /// How long an agent may be silent before it is asked for a sign of life.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub agent_ping_timeout: Duration,
    /// How many such times in a row make an agent unreachable.
    #[arg(long, default_value_t = 5)]
    pub max_agent_ping_timeouts: u32,
    /// How long agents may take to come back to a new leader before they count as unreachable.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub agent_reregister_timeout: Duration,
    /// How many agents may be given up within some time, `1/10mins`. Default: as many as the brake allows.
    #[arg(long)]
    pub agent_removal_rate_limit: Option<RemovalRate>,
    /// The share of all agents that may be given up within some time, three of them at least; `off` for any number. More that fall
    /// silent are a broken network sooner than broken machines, and wait until an operator says otherwise.
    #[arg(long, default_value_t)]
    pub agent_removal_brake: RemovalBrake,
    /// There is no such limit: a master never ends itself because agents do not come back, it holds them back (see
    /// `--agent-removal-brake`). `100%`, which is no limit in Mesos either, is taken.
    #[arg(long, default_value_t, hide_default_value = true)]
    pub recovery_agent_removal_limit: NoRemovalLimit,
    /// How long a new leader may take to read the registry before it makes room for another.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub registry_fetch_timeout: Duration,
    /// How long a write of the registry may take before the leader makes room for another. With ZooKeeper it is never less than 7/5 of
    /// `--zk-session-timeout` and 6s: a leader that comes back within its session goes on, and finishes its write.
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub registry_store_timeout: Duration,
    /// How long agents that are unreachable or gone are remembered.
    #[arg(long, default_value = "2weeks", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub registry_max_agent_age: Duration,
    /// How many unreachable agents are remembered, and how many that are gone.
    #[arg(long, default_value_t = 102_400)]
    pub registry_max_agent_count: usize,
    /// How often those are looked for that are to be forgotten.
    #[arg(long, default_value = "15m", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub registry_gc_interval: Duration,
    /// How long an offer may stay unanswered before it is taken back.
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub offer_timeout: Duration,
    /// Who is offered resources first: `drf` by fair share, `random` by lottery, or `pack` by fair share and busy agents first.
    #[arg(long, default_value_t)]
    pub allocator: PolicyName,
    /// The least that is worth an offer to a framework that does not say so itself: any one of `cpus:0.01|mem:32`. Empty for anything.
    #[arg(long, default_value_t)]
    pub min_allocatable_resources: MinAllocatable,
    /// Where this master stands, `{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}`; agents of other regions are
    /// offered only to REGION_AWARE frameworks. All masters must stand in one region.
    #[arg(long)]
    pub domain: Option<String>,
    /// Whether agents with GPUs are offered only to frameworks with the capability GPU_RESOURCES. With `false`, tasks that need
    /// no GPU may take what those that do will miss.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub filter_gpu_resources: bool,
    /// Resources that count toward no fair share, `gpus,…`.
    #[arg(long, value_delimiter = ',')]
    pub fair_sharing_excluded_resource_names: Vec<String>,
    /// Weights of roles, `role=2.5,other=1`; a role that is not named weighs 1.
    #[arg(long)]
    pub weights: Option<String>,
    /// What the port speaks, and what frameworks are dialled with for their pages.
    #[command(flatten)]
    #[serde(flatten)]
    pub tls: TlsConfig,
}

impl Default for MasterConfig {
    fn default() -> Self {
        Self {
            ip: IpAddr::from([127, 0, 0, 1]),
            port: DEFAULT_PORT,
            hostname: None,
            advertise_ip: None,
            advertise_port: None,
            allowed_hosts: Vec::new(),
            insecure: false,
            max_body_bytes: DEFAULT_MAX_BODY,
            zk: None,
            zk_session_timeout: Duration::from_secs(10),
            work_dir: PathBuf::from("/var/lib/chapada/master"),
            cluster: None,
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            agent_removal_rate_limit: None,
            agent_removal_brake: RemovalBrake::default(),
            recovery_agent_removal_limit: NoRemovalLimit,
            registry_fetch_timeout: Duration::from_secs(60),
            registry_store_timeout: Duration::from_secs(20),
            registry_max_agent_age: Duration::from_secs(14 * 24 * 60 * 60),
            registry_max_agent_count: 102_400,
            registry_gc_interval: Duration::from_secs(15 * 60),
            offer_timeout: Duration::from_secs(120),
            allocator: PolicyName::default(),
            min_allocatable_resources: MinAllocatable::default(),
            domain: None,
            filter_gpu_resources: true,
            fair_sharing_excluded_resource_names: Vec::new(),
            weights: None,
            tls: TlsConfig::default(),
        }
    }
}

impl MasterConfig {
    pub(crate) fn listen(&self) -> ListenConfig {
        ListenConfig {
            ip: self.ip,
            port: Some(self.port),
            hostname: self.hostname.clone(),
            allowed_hosts: self
                .allowed_hosts
                .iter()
                .cloned()
                .chain(self.advertise_ip.map(|ip| ip.to_string()))
                .collect(),
            insecure: self.insecure,
            max_body_bytes: self.max_body_bytes,
            tls: self.tls.clone(),
        }
    }

    /// How long a write of the registry may take. A write that was under way when the connection broke waits until it is back, or
    /// until the session is given up, which ends the term. Source: zookeeper-client gives a session up after 7/5 of its time.
    pub(crate) fn store_timeout(&self) -> Duration {
        let longest_break = self.zk_session_timeout.saturating_mul(7) / 5;
        match self.zk {
            Some(_) => self.registry_store_timeout.max(longest_break.saturating_add(STORE_MARGIN)),
            None => self.registry_store_timeout,
        }
    }

    /// After this much silence an agent is unreachable.
    fn agent_timeout(&self) -> Duration {
        self.agent_ping_timeout.saturating_mul(self.max_agent_ping_timeouts.max(1))
    }

    /// What the books of a master of this id, new at each start, go by.
    pub(crate) fn settings(&self, master_id: &str, region: Option<Text>) -> Settings {
        let excluded = &self.fair_sharing_excluded_resource_names;
        Settings {
            agent_timeout: self.agent_timeout(),
            agent_reregister_timeout: self.agent_reregister_timeout,
            agent_removal_rate_limit: self.agent_removal_rate_limit.map(|rate| rate.0),
            brake: self.agent_removal_brake.0,
            registry_max_agent_age: self.registry_max_agent_age,
            registry_max_agent_count: self.registry_max_agent_count,
            registry_gc_interval: self.registry_gc_interval,
            offer_timeout: self.offer_timeout,
            records: RecordBound { bytes: record_bytes, max: MAX_RECORD_BYTES },
            allocator: self.allocator,
            seed: master_id
                .bytes()
                .fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into())),
            region,
            keep_gpus: self.filter_gpu_resources,
            unshared_names: excluded.iter().map(|name| name.as_str().into()).collect(),
            min_allocatable: self.min_allocatable_resources.clone().into_quantities(),
            ..Settings::new(master_id)
        }
    }

    /// The flags by name, as `/flags` shows them.
    pub(crate) fn flags(&self) -> Vec<(String, String)> {
        let Ok(serde_json::Value::Object(flags)) = serde_json::to_value(self) else { return Vec::new() };
        let text = |value: serde_json::Value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Array(items) => {
                Some(items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(","))
            }
            other => Some(other.to_string()),
        };
        flags.into_iter().filter_map(|(name, value)| Some((name.replace('-', "_"), text(value)?))).collect()
    }
}
