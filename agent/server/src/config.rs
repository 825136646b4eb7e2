//! What an operator can set. Flags carry Mesos' names in kebab case.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use chapada_agent_core::ExecutorTimeouts;
use chapada_fetcher::AddressRange;
use chapada_listener::{DEFAULT_MAX_BODY, ListenConfig};
use chapada_tls::TlsConfig;

use crate::bytes::Bytes;
use crate::disk_quota::Watching;
use crate::policy::AllowedDevice;
use crate::reconfiguration::ReconfigurationPolicy;
use crate::sweep::Policy;

/// The port that Mesos' agents listen on.
pub const DEFAULT_PORT: u16 = 5051;

/// Above what distributions and systemd give to users, services and containers of their own.
/// Source: systemd's page on users, groups, UIDs and GIDs.
const FIRST_ID: u32 = 0x7000_0000;

/// Where Debian's package and the CNI project's own archives have their plugins.
const PLUGINS: &str = "/usr/lib/cni:/opt/cni/bin";

/// More than sources and modules of an application have.
const LEAST_NAMES: u64 = 100_000;

/// Source: Mesos' default.
const PROJECTS: &str = "[5000-10000]";

/// Configuration of an agent.
#[derive(Clone, Debug, PartialEq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentConfig {
    /// Where the masters are: `host:port`, several of them, or `zk://h1,h2,h3/path`.
    #[arg(long, default_value = "127.0.0.1:5050", env = "CHAPADA_MASTER")]
    pub master: String,
    /// Address to listen on. Anything but loopback needs certificates of callers or `--insecure`.
    #[arg(long, default_value = "127.0.0.1")]
    pub ip: IpAddr,
    /// Port to listen on; 0 takes a free one. Default: 5051.
    #[arg(long)]
    pub port: Option<u16>,
    /// Name under which this agent is reached. Default: the address.
    #[arg(long)]
    pub hostname: Option<String>,
    /// Further names that a request's Host header may carry.
    #[arg(long, value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Listen off loopback although anyone who reaches the port may then command this agent.
    #[arg(long)]
    pub insecure: bool,
    /// The agent's log, sandboxes and, unless set apart, what its shims keep. One agent a directory.
    #[arg(long, default_value = "/var/lib/chapada/agent")]
    pub work_dir: PathBuf,
    /// Sockets and exit codes of containers. Default: `runtime` in the work directory.
    #[arg(long)]
    pub runtime_dir: Option<PathBuf>,
    /// What this agent offers, as `cpus:4;mem:8192;disk:10000;ports:[31000-32000]`, a JSON array of Mesos' `Resource` messages,
    /// which can name disks by their source, or `file:///path` of either. What is not named is detected.
    #[arg(long)]
    pub resources: Option<String>,
    /// Bound of the memory of all shims, the small processes that stand beside containers. It is off the memory that is detected, and
    /// a container for which it has no room is not started. Default: 512 KB for each 16 MB of the machine.
    #[arg(long)]
    pub shims_memory: Option<Bytes>,
    /// What frameworks may select this agent by, as `rack:a1;zone:{a,b}`.
    #[arg(long)]
    pub attributes: Option<String>,
    /// Where this agent stands, `{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}`.
    #[arg(long)]
    pub domain: Option<String>,
    /// What may be different from when the agent was last started with this work directory.
    #[arg(long, value_enum, default_value_t = ReconfigurationPolicy::Any)]
    pub reconfiguration_policy: ReconfigurationPolicy,
    /// Role to which resources are reserved that `--resources` names without one.
    #[arg(long, default_value = "*")]
    pub default_role: String,
    /// Place of this agent's containers in each cgroup hierarchy; no other agent may have the same.
    /// Default: `chapada/` and a name made of the work directory.
    #[arg(long)]
    pub cgroups_root: Option<PathBuf>,
    /// Whether a task may use no more cpu than it asked for, even when the machine is idle.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub cgroups_enable_cfs: bool,
    /// Whether what is in swap counts for the memory that a task asked for. Otherwise it may swap what there is room for.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub cgroups_limit_swap: bool,
    /// The upper half of the `net_cls` class that each container gets, in hexadecimal, as 0x0012. Default: no classes.
    #[arg(long)]
    pub cgroups_net_cls_primary_handle: Option<String>,
    /// The first and the last of the lower halves, as 0x0001,0xffff, which is the default.
    #[arg(long)]
    pub cgroups_net_cls_secondary_handles: Option<String>,
    /// The numbers of the GPUs that this agent offers, as in /dev/nvidia0. Default: all that the driver shows.
    #[arg(long, value_delimiter = ',')]
    pub nvidia_gpu_devices: Vec<u32>,
    /// Below which directory the driver of GPUs has its `dev` and `proc`.
    #[arg(long, default_value = "/")]
    pub nvidia_driver_root: PathBuf,
    /// Whether tasks run as the user that they, or their framework, name. Otherwise as the agent's own.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub switch_user: bool,
    /// How long sandboxes of ended tasks are kept.
    #[arg(long, default_value = "7d", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub gc_delay: Duration,
    /// The registry, `host[:port]`, of image names without one; or a directory that has them as files.
    #[arg(long)]
    pub docker_registry: Option<String>,
    /// Credentials for registries: a file as docker's `config.json`.
    #[arg(long)]
    pub docker_config: Option<PathBuf>,
    /// Where images are kept. Default: `images` in the work directory.
    #[arg(long)]
    pub docker_store_dir: Option<PathBuf>,
    /// Registries, `host[:port]`, that are spoken to without TLS.
    #[arg(long, value_delimiter = ',')]
    pub insecure_registries: Vec<String>,
    /// Certificates of authorities for registries, in PEM, trusted besides the machine's own.
    #[arg(long)]
    pub registry_ca: Option<PathBuf>,
    /// How long an image may take to come, unpacking included.
    #[arg(long, default_value = "15m", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub image_pull_timeout: Duration,
    /// How full, in percent, the disk of the images may be before unused ones are removed.
    #[arg(long, default_value_t = 85)]
    pub image_disk_high: u8,
    /// How full it is then, in percent.
    #[arg(long, default_value_t = 80)]
    pub image_disk_low: u8,
    /// Let containers run as root of this machine: those with its files whose user is root, and those with an image that have
    /// no user namespace. Root inside a user namespace does not need it.
    #[arg(long)]
    pub allow_host_root: bool,
    /// Let containers have all capabilities and all system calls of this machine when they ask for that.
    #[arg(long)]
    pub allow_privileged: bool,
    /// What of this machine may show in containers as volumes: `/path` and all below it to be read, `/path:rw` to be written
    /// as well. `/proc`, `/sys`, `/dev`, the agent's own directories and what holds them must be named themselves.
    #[arg(long, value_delimiter = ',')]
    pub allowed_host_paths: Vec<String>,
    /// Devices of this machine that containers may use when they ask for them: `/dev/fuse`, or `/dev/video0:r` to be read only.
    #[arg(long, value_delimiter = ',')]
    pub allowed_devices: Vec<AllowedDevice>,
    /// The most capabilities that a task may ask for: `{"capabilities":["NET_RAW"]}` or `NET_RAW,SYS_NICE`; `ALL` is all.
    /// Default: what a container's root has anyway.
    #[arg(long)]
    pub bounding_capabilities: Option<String>,
    /// The capabilities of tasks that ask for none. Default: few for root, none for others.
    #[arg(long)]
    pub effective_capabilities: Option<String>,
    /// Where profiles of system calls are that tasks may name, as Docker has them.
    #[arg(long)]
    pub seccomp_config_dir: Option<PathBuf>,
    /// The one among them for tasks that name none. Default: a list of our own.
    #[arg(long)]
    pub seccomp_profile_name: Option<String>,
    /// Whether the root of a container with an image is nobody on this machine. Exceptions are those with a port below 1024 of the
    /// machine's network or a volume of the machine, the privileged, and who opts out; what is said of the task names them.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub user_namespaces: bool,
    /// The first id of this machine that such containers may have, a multiple of 65,536; each takes so many. What the agents of a
    /// machine take is a file each in /run/chapada/ids, so they may have the same.
    #[arg(long, default_value_t = FIRST_ID)]
    pub userns_first_id: u32,
    /// Where CNI plugins are looked for: directories with colons between them, the first that has one counts.
    #[arg(long, default_value = PLUGINS)]
    pub network_cni_plugins_dir: String,
    /// A directory with CNI configurations, `*.conf`, `*.conflist` or `*.json`: networks that containers may join by name. It is read
    /// again when a name is not known, or its file has changed.
    #[arg(long)]
    pub network_cni_config_dir: Option<PathBuf>,
    /// How long a CNI plugin may take before it is killed, and what it was for fails.
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub network_cni_timeout: Duration,
    /// The network of containers of type DOCKER with the network BRIDGE. Where no configuration has this name, it is a bridge of this
    /// machine, made when it is first wanted, which maps ports and hides its addresses behind the machine's.
    #[arg(long, default_value = "mesos-bridge")]
    pub bridge_network: String,
    /// The interface of that bridge. Agents of one machine may share it.
    #[arg(long, default_value = "chapada0")]
    pub bridge_interface: String,
    /// Its addresses; the first is the machine's own.
    #[arg(long, default_value = "10.222.0.0/16")]
    pub bridge_subnet: String,
    /// Whether a task ends that listens on a port of the machine that it was not given. Otherwise the agent's log says so.
    #[arg(long)]
    pub enforce_container_ports: bool,
    /// How often it is looked who listens on which ports.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub container_ports_watch_interval: Duration,
    /// Whether only ports are looked at that this agent has among its resources.
    #[arg(long, conflicts_with = "container_ports_isolated_range")]
    pub check_agent_port_range_only: bool,
    /// The only ports that are looked at, as `[31000-32000]`.
    #[arg(long)]
    pub container_ports_isolated_range: Option<String>,
    /// Where plain relative paths among a task's URIs start; files from there may be fetched.
    #[arg(long)]
    pub frameworks_home: Option<PathBuf>,
    /// Other directories of this machine from which tasks may fetch files, as far as their users may read them.
    #[arg(long, value_delimiter = ',')]
    pub fetcher_allowed_paths: Vec<PathBuf>,
    /// Addresses, and ranges of them as 10.0.0.0/8, that nothing is fetched from, whatever name or redirect leads there.
    #[arg(long, value_delimiter = ',', default_values_t = AddressRange::LINK_LOCAL)]
    pub fetcher_denied_addresses: Vec<AddressRange>,
    /// How much of what was fetched is kept for the next who wants it.
    #[arg(long, default_value = "2GB")]
    pub fetcher_cache_size: Bytes,
    /// How much may be fetched for one task, what is unpacked included.
    #[arg(long, default_value = "10GB")]
    pub fetcher_max_size: Bytes,
    /// What one file of a task's standard output or error holds before the next is begun.
    #[arg(long, default_value = "10MB")]
    pub max_log_size: Bytes,
    /// How many files of each are kept, with the one that is written.
    #[arg(long, default_value_t = 5)]
    pub max_log_files: u32,
    /// How long a server may send nothing before it is given up.
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub fetcher_stall_timeout: Duration,
    /// How long all fetching for one task may take.
    #[arg(long, default_value = "1h", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub fetcher_timeout: Duration,
    /// Where the kernel says which boot this is; a test says another. Default: the kernel's own file.
    #[arg(skip)]
    pub boot_id_file: Option<PathBuf>,
    /// The program that fetches, and its arguments. Default: this program.
    #[arg(skip)]
    pub fetcher: Vec<String>,
    /// The share of the disk below the work directory that is to stay free: the less of it is, the sooner sandboxes go, and
    /// all of ended tasks when it is gone.
    #[arg(long, default_value_t = 0.1)]
    pub gc_disk_headroom: f64,
    /// How often the disk is looked at for that.
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub disk_watch_interval: Duration,
    /// How often it is measured what containers take of the disks.
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub container_disk_watch_interval: Duration,
    /// Whether a container ends that takes more disk than its tasks and its executor asked for. One that asked for none may
    /// take what there is.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub enforce_container_disk_quota: bool,
    /// How many files and directories a sandbox or a volume may hold that has a quota, however small it is; a larger one may hold
    /// 64 for each MiB. Files without content take no room, but the disk has room for no more than so many of them.
    #[arg(long, default_value_t = LEAST_NAMES)]
    pub container_disk_least_names: u64,
    /// The projects that sandboxes get where the disk of the work directory has project quota. No other agent may have the
    /// same.
    #[arg(long, default_value = PROJECTS)]
    pub xfs_project_range: String,
    /// Whether a container ends that takes more than its project may. Otherwise its writes fail.
    #[arg(long)]
    pub xfs_kill_containers: bool,
    /// How long ZooKeeper waits for a silent agent; the shorter, the sooner an agent gives up a server that is silent and asks
    /// another who leads.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub zk_session_timeout: Duration,
    /// The first wait before dialling a master again; later ones double, each drawn between zero and the full wait.
    #[arg(long, default_value = "200ms", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub registration_backoff_factor: Duration,
    /// How long an executor of a framework's own may take from its start to its subscription.
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub executor_registration_timeout: Duration,
    /// How long it may take to subscribe again after this agent was restarted.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub executor_reregistration_timeout: Duration,
    /// How many executors of one framework are shown when they are over.
    #[arg(long, default_value_t = 150)]
    pub max_completed_executors_per_framework: usize,
    /// How long it may take to end after SHUTDOWN, unless its framework says otherwise.
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub executor_shutdown_grace_period: Duration,
    /// How often somebody who reads what a container writes hears that the connection is alive.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    #[serde(with = "humantime_serde")]
    pub http_heartbeat_interval: Duration,
    /// Whether an executor must show the token from its environment. One that shows another is refused in any case.
    #[arg(long)]
    pub authenticate_http_executors: bool,
    /// Let executors of frameworks' own reach this agent over a socket in the file system as well, and so have networks of their own.
    #[arg(long)]
    pub http_executor_domain_sockets: bool,
    /// Where that socket is: alone in a directory that only executors see. Default: in /run/chapada/agents.
    #[arg(long)]
    pub domain_socket_location: Option<PathBuf>,
    /// What the port speaks, and what masters are dialled with.
    #[command(flatten)]
    #[serde(flatten)]
    pub tls: TlsConfig,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            master: "127.0.0.1:5050".to_owned(),
            ip: IpAddr::from([127, 0, 0, 1]),
            port: None,
            hostname: None,
            allowed_hosts: Vec::new(),
            insecure: false,
            work_dir: PathBuf::from("/var/lib/chapada/agent"),
            runtime_dir: None,
            resources: None,
            shims_memory: None,
            attributes: None,
            domain: None,
            reconfiguration_policy: ReconfigurationPolicy::Any,
            default_role: "*".to_owned(),
            cgroups_root: None,
            cgroups_enable_cfs: true,
            cgroups_limit_swap: true,
            cgroups_net_cls_primary_handle: None,
            cgroups_net_cls_secondary_handles: None,
            nvidia_gpu_devices: Vec::new(),
            nvidia_driver_root: PathBuf::from("/"),
            switch_user: true,
            gc_delay: Duration::from_secs(7 * 24 * 60 * 60),
            docker_registry: None,
            docker_config: None,
            docker_store_dir: None,
            insecure_registries: Vec::new(),
            registry_ca: None,
            image_pull_timeout: Duration::from_secs(15 * 60),
            image_disk_high: 85,
            image_disk_low: 80,
            allow_host_root: false,
            allow_privileged: false,
            allowed_host_paths: Vec::new(),
            allowed_devices: Vec::new(),
            bounding_capabilities: None,
            effective_capabilities: None,
            seccomp_config_dir: None,
            seccomp_profile_name: None,
            user_namespaces: true,
            userns_first_id: FIRST_ID,
            network_cni_plugins_dir: PLUGINS.to_owned(),
            network_cni_config_dir: None,
            network_cni_timeout: Duration::from_secs(60),
            bridge_network: "mesos-bridge".to_owned(),
            bridge_interface: "chapada0".to_owned(),
            bridge_subnet: "10.222.0.0/16".to_owned(),
            enforce_container_ports: false,
            container_ports_watch_interval: Duration::from_secs(30),
            check_agent_port_range_only: false,
            container_ports_isolated_range: None,
            frameworks_home: None,
            fetcher_allowed_paths: Vec::new(),
            fetcher_denied_addresses: AddressRange::LINK_LOCAL.to_vec(),
            fetcher_cache_size: Bytes(2 << 30),
            fetcher_max_size: Bytes(10 << 30),
            max_log_size: Bytes(10 << 20),
            max_log_files: 5,
            fetcher_stall_timeout: Duration::from_secs(60),
            fetcher_timeout: Duration::from_secs(60 * 60),
            boot_id_file: None,
            fetcher: Vec::new(),
            gc_disk_headroom: 0.1,
            disk_watch_interval: Duration::from_secs(60),
            container_disk_watch_interval: Duration::from_secs(15),
            enforce_container_disk_quota: true,
            container_disk_least_names: LEAST_NAMES,
            xfs_project_range: PROJECTS.to_owned(),
            xfs_kill_containers: false,
            zk_session_timeout: Duration::from_secs(10),
            registration_backoff_factor: Duration::from_millis(200),
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(2),
            max_completed_executors_per_framework: 150,
            executor_shutdown_grace_period: Duration::from_secs(5),
            http_heartbeat_interval: Duration::from_secs(30),
            authenticate_http_executors: false,
            http_executor_domain_sockets: false,
            domain_socket_location: None,
            tls: TlsConfig::default(),
        }
    }
}

impl AgentConfig {
    /// Where the listener is to be.
    pub(crate) fn listen(&self) -> ListenConfig {
        ListenConfig {
            ip: self.ip,
            port: self.port,
            hostname: self.hostname.clone(),
            allowed_hosts: self.allowed_hosts.clone(),
            insecure: self.insecure,
            max_body_bytes: DEFAULT_MAX_BODY,
            tls: self.tls.clone(),
        }
    }

    /// When sandboxes of ended tasks go.
    pub(crate) fn sweep_policy(&self) -> Policy {
        Policy {
            gc_delay: self.gc_delay,
            gc_disk_headroom: self.gc_disk_headroom,
            disk_watch_interval: self.disk_watch_interval,
        }
    }

    pub(crate) fn disk_watching(&self) -> Watching {
        Watching {
            interval: self.container_disk_watch_interval,
            enforce: self.enforce_container_disk_quota,
            least_names: self.container_disk_least_names,
        }
    }

    pub(crate) fn executor_timeouts(&self) -> ExecutorTimeouts {
        ExecutorTimeouts {
            registration: self.executor_registration_timeout,
            reregistration: self.executor_reregistration_timeout,
            shutdown: self.executor_shutdown_grace_period,
        }
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.runtime_dir.clone().unwrap_or_else(|| self.work_dir.join("runtime"))
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write for example 30s or 7d"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: AgentConfig,
    }

    #[test]
    fn flags_files_and_defaults_agree() {
        let line = Line::try_parse_from(["agent"]).unwrap();
        assert_eq!(line.config, AgentConfig::default());
        let line = ["agent", "--gc-delay", "2h", "--work-dir", "/w", "--port", "0", "--tls-ca", "/ca"];
        let line = Line::try_parse_from(line).unwrap();
        let file = r#"{"gc-delay": "2h", "work-dir": "/w", "port": 0, "tls-ca": "/ca"}"#;
        let file: AgentConfig = serde_json::from_str(file).unwrap();
        assert_eq!(line.config, file);
        assert_eq!(line.config.runtime_dir(), PathBuf::from("/w/runtime"));
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<AgentConfig>(r#"{"work_dir": "/w"}"#).is_err());
        assert!(serde_json::from_str::<AgentConfig>(r#"{"tls-cart": "/c"}"#).is_err());
    }
}
