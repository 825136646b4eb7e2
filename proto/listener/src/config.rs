//! Where and how a daemon listens.

use std::net::IpAddr;

use chapada_tls::TlsConfig;

/// The largest request body that is read, in bytes, unless configured otherwise: 8 MiB.
pub const DEFAULT_MAX_BODY: u64 = 8 * 1024 * 1024;

/// Where a daemon listens and which names it answers to. Flags carry Mesos' names.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListenConfig {
    /// Address to listen on. Anything but loopback needs credentials, certificates of callers or `--insecure`.
    #[arg(long, default_value = "127.0.0.1")]
    pub ip: IpAddr,
    /// Port to listen on; 0 takes a free one. Default: the daemon's own (master 5050, agent 5051, services 8080).
    #[arg(long)]
    pub port: Option<u16>,
    /// Name under which this daemon is reached. Default: the address.
    #[arg(long)]
    pub hostname: Option<String>,
    /// Further names that a request's Host header may carry (names of a load balancer, DNS aliases).
    #[arg(long, value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Listen off loopback although anyone who reaches the port may then command this daemon.
    #[arg(long)]
    pub insecure: bool,
    /// Largest request body, in bytes; a larger one is answered with 413.
    #[arg(long, default_value_t = DEFAULT_MAX_BODY)]
    pub max_body_bytes: u64,
    /// What the port speaks.
    #[command(flatten)]
    #[serde(flatten)]
    pub tls: TlsConfig,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            ip: IpAddr::from([127, 0, 0, 1]),
            port: None,
            hostname: None,
            allowed_hosts: Vec::new(),
            insecure: false,
            max_body_bytes: DEFAULT_MAX_BODY,
            tls: TlsConfig::default(),
        }
    }
}
