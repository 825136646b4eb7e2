//! What an operator can set. Flags carry Marathon's and Mesos' names in kebab case.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use chapada_listener::{DEFAULT_MAX_BODY, ListenConfig};
use chapada_services_core::{AcceptedRoles, Patience, Settings};
use chapada_tls::TlsConfig;

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
    /// How long ZooKeeper waits for a silent process before another takes over. A number alone means milliseconds.
    #[arg(long, default_value = "10s", value_parser = time)]
    #[serde(with = "humantime_serde")]
    pub zk_session_timeout: Duration,
    /// Folder for records; made if there is none.
    #[arg(long, default_value = "/var/lib/chapada/services")]
    pub work_dir: PathBuf,
    /// Address to listen on. Anything but loopback needs credentials, certificates of callers or `--insecure`.
    #[arg(long, visible_alias = "http-address", default_value = "127.0.0.1")]
    pub ip: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, visible_alias = "http-port", default_value_t = DEFAULT_PORT)]
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
    /// How long a process that waits for its turn tries to reach the leader. A number alone means milliseconds.
    #[arg(long, default_value = "5s", value_parser = time)]
    #[serde(with = "humantime_serde")]
    pub leader_proxy_connection_timeout: Duration,
    /// How long it waits for the leader's answer. A number alone means milliseconds.
    #[arg(long, default_value = "10s", value_parser = time)]
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
    #[arg(long, visible_alias = "mesos-role", default_value = "*")]
    pub role: String,
    /// Whether what is new in a new top-level group is offered resources in the role of the group's name only.
    #[arg(long, value_enum, default_value_t = EnforceRole::Off)]
    pub new_group_enforce_role: EnforceRole,
    /// Whose resources those accept that have no `acceptedResourceRoles`.
    #[arg(long, value_enum, default_value_t = AcceptBehavior::Any)]
    pub accepted_resource_roles_default_behavior: AcceptBehavior,
    /// Stands before the names of the variables `HOST` and `PORT...` of tasks.
    #[arg(long, default_value = "", value_parser = variable_prefix)]
    pub env_vars_prefix: String,
    /// The most apps and pods; a change that would make more is refused.
    #[arg(long, default_value_t = 50_000)]
    pub max_apps: usize,
    /// The most instances of all apps and pods together; a change that would make more is refused.
    #[arg(long, default_value_t = 1_000_000)]
    pub max_instances: u64,
    /// The most deployments at once; more are refused.
    #[arg(long, default_value_t = 100)]
    pub max_running_deployments: usize,
    /// The lowest number that service ports are given.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..))]
    pub local_port_min: u16,
    /// The highest.
    #[arg(long, default_value_t = 20_000)]
    pub local_port_max: u16,
    /// How many versions are kept of each app, and of the tree of groups. Those that an app's tasks still have, and the one before the
    /// present one, are kept besides.
    #[arg(long, default_value_t = 50, value_parser = at_least_one)]
    pub zk_max_versions: usize,
    /// The most tasks that are launched with one offer.
    #[arg(long, default_value_t = 50, value_parser = at_least_one)]
    pub max_instances_per_offer: usize,
    /// Whether machines with GPUs are left to those who need some.
    #[arg(long, value_enum, default_value_t = GpuScheduling::Restricted)]
    pub gpu_scheduling_behavior: GpuScheduling,
    /// How many seconds before a machine's maintenance nothing begins there any more.
    #[arg(long, default_value_t = 0)]
    pub draining_seconds: u64,
    /// How many events a reader of the event stream may be behind before it is cut.
    #[arg(long, default_value_t = 1_024, value_parser = at_least_one)]
    pub event_stream_max_outstanding_messages: usize,
    /// How long what of an offer is not used need not be offered again. A number alone means milliseconds.
    #[arg(long, default_value = "2m", value_parser = time)]
    #[serde(with = "humantime_serde")]
    pub decline_offer_duration: Duration,
    /// How long until a kill of which nothing was heard is repeated. A number alone means milliseconds.
    #[arg(long, default_value = "30s", value_parser = time)]
    #[serde(with = "humantime_serde")]
    pub kill_retry_timeout: Duration,
    /// How long a task may take to start before it is killed and another takes its place. A number alone means milliseconds.
    #[arg(long, default_value = "5m", value_parser = time)]
    #[serde(with = "humantime_serde")]
    pub task_launch_timeout: Duration,
    /// Where people find the web UI, as the master shows it. Default: the address of this process.
    #[arg(long)]
    pub webui_url: Option<String>,
    /// Whom tasks run as that name no user. Default: the agent's own user.
    #[arg(long, alias = "mesos-user", default_value = "")]
    pub user: String,
    /// Directory with a file for each secret that apps and pods may name; without it those that name one are refused.
    #[arg(long)]
    pub secrets_dir: Option<PathBuf>,
    /// The container network of apps and pods that ask for one without a name; without it they are refused.
    #[arg(long)]
    pub default_network_name: Option<String>,
    /// For how long tasks run on while this process is away; after that the master ends them. A number alone means seconds, as
    /// Marathon has it.
    #[arg(long, default_value = "1w", value_parser = time_in_seconds)]
    #[serde(with = "humantime_serde")]
    pub failover_timeout: Duration,
    /// What the port speaks, and what the master and the leader of these processes are dialled with.
    #[command(flatten)]
    #[serde(flatten)]
    pub tls: TlsConfig,
}

/// Who may use machines with GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuScheduling {
    /// Those who need some.
    Restricted,
    /// All.
    Unrestricted,
}

/// Whose resources are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptBehavior {
    /// All.
    Any,
    /// Those that are reserved for no role.
    Unreserved,
    /// Those that are reserved for the app's role.
    Reserved,
}

/// A time as people write it, of which a number alone means milliseconds, as in Marathon's flags.
fn time(text: &str) -> Result<Duration, String> {
    time_in(Duration::from_millis, text)
}

/// The same of seconds.
fn time_in_seconds(text: &str) -> Result<Duration, String> {
    time_in(Duration::from_secs, text)
}

fn time_in(unit: fn(u64) -> Duration, text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(number) => unit(number),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    if time.is_zero() { Err("must not be zero".to_owned()) } else { Ok(time) }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be 1 at least".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

fn variable_prefix(text: &str) -> Result<String, String> {
    let fits = |c: char| c == '_' || c.is_ascii_alphanumeric();
    match text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("may have letters, digits and _ only, and no digit first".to_owned()),
    }
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
            accepted_resource_roles_default_behavior: AcceptBehavior::Any,
            env_vars_prefix: String::new(),
            max_apps: 50_000,
            max_instances: 1_000_000,
            max_running_deployments: 100,
            local_port_min: 10_000,
            local_port_max: 20_000,
            zk_max_versions: 50,
            max_instances_per_offer: 50,
            gpu_scheduling_behavior: GpuScheduling::Restricted,
            draining_seconds: 0,
            event_stream_max_outstanding_messages: 1_024,
            decline_offer_duration: Duration::from_secs(120),
            kill_retry_timeout: Duration::from_secs(30),
            task_launch_timeout: Duration::from_secs(300),
            webui_url: None,
            user: String::new(),
            secrets_dir: None,
            default_network_name: None,
            failover_timeout: Duration::from_secs(7 * 24 * 60 * 60),
            tls: TlsConfig::default(),
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
            accepted_roles: match self.accepted_resource_roles_default_behavior {
                AcceptBehavior::Any => AcceptedRoles::Any,
                AcceptBehavior::Unreserved => AcceptedRoles::Unreserved,
                AcceptBehavior::Reserved => AcceptedRoles::Reserved,
            },
            env_prefix: self.env_vars_prefix.clone(),
            max_apps: self.max_apps,
            max_instances: self.max_instances,
            max_deployments: self.max_running_deployments,
            service_ports: self.local_port_min..=self.local_port_max,
            max_versions: self.zk_max_versions,
            max_per_offer: self.max_instances_per_offer,
            spares_gpus: self.gpu_scheduling_behavior == GpuScheduling::Restricted,
            leaves_before: Duration::from_secs(self.draining_seconds),
            decline_offer: self.decline_offer_duration,
            patience: Patience { kill_retry: self.kill_retry_timeout, task_launch: self.task_launch_timeout },
            home_region: None, // the master says it
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
            tls: self.tls.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        config: ServicesConfig,
    }

    fn read(args: &[&str]) -> Result<ServicesConfig, clap::Error> {
        Line::try_parse_from(["services"].iter().chain(args)).map(|line| line.config)
    }

    #[test]
    fn marathons_flags_are_known_by_its_names() {
        assert_eq!(read(&[]).unwrap().settings(), Settings::default());
        assert_eq!(read(&[]).unwrap(), ServicesConfig::default());
        let line = "--http-address 127.0.0.2 --http-port 81 --mesos-role web --env-vars-prefix P_ --max-apps 3 \
            --max-running-deployments 4 --event-stream-max-outstanding-messages 5 --decline-offer-duration 6000 \
            --kill-retry-timeout 7s --task-launch-timeout 8000 --accepted-resource-roles-default-behavior unreserved \
            --local-port-min 9 --local-port-max 10 --zk-max-versions 11 --max-instances-per-offer 12 \
            --gpu-scheduling-behavior unrestricted --draining-seconds 13 --max-instances 14";
        let config = read(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        assert_eq!(
            (config.ip.to_string().as_str(), config.port, config.role.as_str()),
            ("127.0.0.2", 81, "web")
        );
        assert_eq!(config.event_stream_max_outstanding_messages, 5);
        let seconds = Duration::from_secs;
        let settings = Settings {
            accepted_roles: AcceptedRoles::Unreserved,
            env_prefix: "P_".to_owned(),
            max_apps: 3,
            max_instances: 14,
            max_deployments: 4,
            service_ports: 9..=10,
            max_versions: 11,
            max_per_offer: 12,
            spares_gpus: false,
            leaves_before: seconds(13),
            decline_offer: seconds(6),
            patience: Patience { kill_retry: seconds(7), task_launch: seconds(8) },
            ..Settings::default()
        };
        assert_eq!(config.settings(), settings);
    }

    #[test]
    fn marathons_values_mean_what_they_mean_there() {
        let line = "--failover-timeout 604800 --leader-proxy-connection-timeout 5000 --leader-proxy-read-timeout 10000 \
            --zk-session-timeout 10000 --mesos-user web --webui-url http://apps.example/";
        let config = read(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        let default = ServicesConfig::default();
        assert_eq!(
            config,
            ServicesConfig {
                user: "web".to_owned(),
                webui_url: Some("http://apps.example/".to_owned()),
                ..default
            },
            "the times are those that are the defaults"
        );
        assert_eq!(read(&["--failover-timeout", "2h"]).unwrap().failover_timeout, Duration::from_secs(7_200));
    }

    #[test]
    fn what_could_never_end_or_be_is_refused() {
        for (flag, value) in [
            ("--kill-retry-timeout", "0"),
            ("--task-launch-timeout", "0s"),
            ("--event-stream-max-outstanding-messages", "0"),
            ("--env-vars-prefix", "A=B"),
            ("--zk-max-versions", "0"),
            ("--max-instances-per-offer", "0"),
            ("--local-port-min", "0"),
            ("--local-port-max", "65536"),
        ] {
            assert!(read(&[flag, value]).is_err(), "{flag}");
        }
    }
}
