//! What an operator can set. Flags carry Marathon's and Mesos' names in kebab case.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use chapada_listener::{DEFAULT_MAX_BODY, ListenConfig};
use chapada_services_core::Settings;

/// The port that Marathon listens on.
pub const DEFAULT_PORT: u16 = 8080;

/// Configuration of the services framework.
#[derive(Clone, Debug, PartialEq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServicesConfig {
    /// Where the masters are: `host:port`, several of them, or `zk://h1,h2,h3/path`.
    #[arg(long, default_value = "127.0.0.1:5050", env = "CHAPADA_MASTER")]
    pub master: String,
    /// ZooKeeper ensemble and path for its own records, `zk://h1:2181,h2:2181/chapada-services`; several processes elect
    /// one then. Without it there is one process and its records are in `--work-dir`.
    #[arg(long)]
    pub zk: Option<String>,
    /// How long ZooKeeper waits for a silent process before another takes over.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub zk_session_timeout: Duration,
    /// Folder for records; made if there is none.
    #[arg(long, default_value = "/var/lib/chapada/services")]
    pub work_dir: PathBuf,
    /// Address to listen on. Anything but loopback needs credentials or `--insecure`.
    #[arg(long, default_value = "127.0.0.1")]
    pub ip: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub port: u16,
    /// Name under which others, the master's web UI among them, reach this process. Default: the address.
    #[arg(long)]
    pub hostname: Option<String>,
    /// Further names that a request's Host header may carry.
    #[arg(long, value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Names and passwords of those who may call, a `name:password` line each; only its owner may read the file. A password may
    /// stand as `$pbkdf2-sha256$i=ROUNDS$SALT$HASH`.
    #[arg(long)]
    pub http_credentials_file: Option<PathBuf>,
    /// What browsers show when they ask for a name and a password.
    #[arg(long, default_value = "Chapada")]
    pub http_realm: String,
    /// Who may do what to which apps, in TOML: `[[grant]]` with `principal`, `actions` (create, update, delete, view, operate) and
    /// `under`, a list of paths. What no grant allows is denied.
    #[arg(long, requires = "http_credentials_file")]
    pub access_policy: Option<PathBuf>,
    /// Origins whose pages may read; `*` for all.
    #[arg(long, value_delimiter = ',')]
    pub access_control_allow_origin: Vec<String>,
    /// Never compress answers.
    #[arg(long)]
    pub disable_http_compression: bool,
    /// Requests that are answered at once; more are answered with 503. Default: no limit.
    #[arg(long)]
    pub http_max_concurrent_requests: Option<u32>,
    /// How long a process that waits for its turn tries to reach the leader.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub leader_proxy_connection_timeout: Duration,
    /// How long it waits for the leader's answer.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub leader_proxy_read_timeout: Duration,
    /// How many requests it has with the leader at once.
    #[arg(long, default_value_t = 64)]
    pub leader_proxy_max_open_connections: u32,
    /// Listen off loopback although anyone who reaches the port may then run anything on the cluster.
    #[arg(long)]
    pub insecure: bool,
    /// Largest request body, in bytes.
    #[arg(long, default_value_t = DEFAULT_MAX_BODY)]
    pub max_body_bytes: u64,
    /// Name of the framework at the master.
    #[arg(long, default_value = "services")]
    pub framework_name: String,
    /// The role in which it is offered resources.
    #[arg(long, default_value = "*")]
    pub role: String,
    /// Whether what is new in a new top-level group is offered resources in the role of the group's name only.
    #[arg(long, value_enum, default_value_t = EnforceRole::Off)]
    pub new_group_enforce_role: EnforceRole,
    /// Whom tasks run as that name no user. Default: the agent's own user.
    #[arg(long, default_value = "")]
    pub user: String,
    /// Directory with a file for each secret that apps and pods may name; without it those that name one are refused.
    #[arg(long)]
    pub secrets_dir: Option<PathBuf>,
    /// The container network of apps and pods that ask for one without a name; without it they are refused.
    #[arg(long)]
    pub default_network_name: Option<String>,
    /// For how long tasks run on while this process is away; after that the master ends them.
    #[arg(long, default_value = "1w", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub failover_timeout: Duration,
}

/// Whose name the role of a new service must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforceRole {
    /// The framework's or its top-level group's.
    Off,
    /// Its top-level group's.
    Top,
}

impl Default for ServicesConfig {
    fn default() -> Self {
        Self {
            master: "127.0.0.1:5050".to_owned(),
            zk: None,
            zk_session_timeout: Duration::from_secs(10),
            work_dir: PathBuf::from("/var/lib/chapada/services"),
            ip: IpAddr::from([127, 0, 0, 1]),
            port: DEFAULT_PORT,
            hostname: None,
            allowed_hosts: Vec::new(),
            http_credentials_file: None,
            http_realm: "Chapada".to_owned(),
            access_policy: None,
            access_control_allow_origin: Vec::new(),
            disable_http_compression: false,
            http_max_concurrent_requests: None,
            leader_proxy_connection_timeout: Duration::from_secs(5),
            leader_proxy_read_timeout: Duration::from_secs(10),
            leader_proxy_max_open_connections: 64,
            insecure: false,
            max_body_bytes: DEFAULT_MAX_BODY,
            framework_name: "services".to_owned(),
            role: "*".to_owned(),
            new_group_enforce_role: EnforceRole::Off,
            user: String::new(),
            secrets_dir: None,
            default_network_name: None,
            failover_timeout: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl ServicesConfig {
    /// What definitions depend on.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            secrets: self.secrets_dir.is_some(),
            network: self.default_network_name.clone(),
            new_group_enforce_role: self.new_group_enforce_role == EnforceRole::Top,
        }
    }

    pub(crate) fn listen(&self) -> ListenConfig {
        ListenConfig {
            ip: self.ip,
            port: Some(self.port),
            hostname: self.hostname.clone(),
            allowed_hosts: self.allowed_hosts.clone(),
            insecure: self.insecure,
            max_body_bytes: self.max_body_bytes,
        }
    }
}
