//! Who this process is: where it is reached, and who it is to the master.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chapada_model::FrameworkId;
use chapada_sdk::LeaderInfo;

use crate::config::ServicesConfig;
use crate::standing::Turn;

const HTTPS: &str = "https";
const HTTP: &str = "http";

/// Cheap to clone; all clones know the same.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The name and port under which clients reach it.
    pub(crate) host_port: Arc<str>,
    /// As it was started.
    pub(crate) config: Arc<ServicesConfig>,
    /// Whose turn it is.
    pub(crate) turn: Turn,
    /// When it was started.
    pub(crate) started: Instant,
    master: Arc<Mutex<Registration>>,
}

/// What is known of the registration with the master.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registration {
    /// The framework's id, once it has one.
    pub(crate) framework: Option<FrameworkId>,
    /// The leading master's web page.
    pub(crate) master_url: Option<String>,
}

impl Identity {
    pub(crate) fn new(host_port: String, config: ServicesConfig) -> Self {
        Self {
            host_port: host_port.into(),
            config: Arc::new(config),
            turn: Turn::new(),
            started: Instant::now(),
            master: Arc::default(),
        }
    }

    /// The address of the API.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.own_scheme(), self.host_port)
    }

    /// What this process is reached by.
    pub(crate) fn own_scheme(&self) -> &'static str {
        if self.config.tls.serves() { HTTPS } else { HTTP }
    }

    /// What one that leads is reached by, as it says itself; a former version does not say it, and is taken to speak as this one does.
    pub(crate) fn scheme_of(&self, leader: &LeaderInfo) -> &'static str {
        let says = |scheme: &&str| leader.capabilities.iter().any(|one| one == scheme);
        [HTTPS, HTTP].into_iter().find(says).unwrap_or_else(|| self.own_scheme())
    }

    /// What masters are reached by.
    pub(crate) fn masters_scheme(&self) -> &'static str {
        if self.config.tls.tls_ca.is_some() { "https" } else { "http" }
    }

    pub(crate) fn registration(&self) -> Registration {
        self.master.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_registration(&self, registration: Registration) {
        *self.master.lock().unwrap_or_else(PoisonError::into_inner) = registration;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use chapada_tls::TlsConfig;

    use super::*;

    #[test]
    fn a_leader_is_reached_as_it_says_whatever_this_one_speaks() {
        let tls = |cert: Option<&str>| TlsConfig { tls_cert: cert.map(Into::into), ..TlsConfig::default() };
        let leader = |capabilities: Vec<String>| LeaderInfo {
            id: "one".to_owned(),
            hostname: "one".to_owned(),
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 8080,
            version: String::new(),
            capabilities,
        };
        for (cert, own) in [(Some("cert.pem"), HTTPS), (None, HTTP)] {
            let config = ServicesConfig { tls: tls(cert), ..ServicesConfig::default() };
            let identity = Identity::new("two:8080".to_owned(), config);
            for says in [HTTPS, HTTP] {
                assert_eq!(identity.scheme_of(&leader(vec!["other".to_owned(), says.to_owned()])), says);
            }
            assert_eq!(identity.scheme_of(&leader(Vec::new())), own, "of a former version");
        }
    }
}
