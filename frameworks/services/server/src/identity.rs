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

    /// What one that leads is reached by. Whoever takes nothing but TLS asks for it: what callers show of themselves must not go on in
    /// the clear, whatever stands in the leader's records. Otherwise it is as the leader says; a former version does not say it, and is
    /// taken to speak as this one does.
    pub(crate) fn scheme_of(&self, leader: &LeaderInfo) -> &'static str {
        if self.config.tls.serves() && !self.config.tls.tls_also_plain {
            return HTTPS;
        }
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
    fn a_leader_is_reached_as_it_says_unless_this_one_takes_nothing_but_tls() {
        let leader = |capabilities: Vec<String>| LeaderInfo {
            id: "one".to_owned(),
            hostname: "one".to_owned(),
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 8080,
            version: String::new(),
            capabilities,
        };
        // What this one speaks; then how one is reached that says https, http, and nothing, being of a former version.
        for (cert, tls_also_plain, reached) in [
            (Some("cert.pem"), false, [HTTPS, HTTPS, HTTPS]),
            (Some("cert.pem"), true, [HTTPS, HTTP, HTTPS]),
            (None, false, [HTTPS, HTTP, HTTP]),
        ] {
            let tls = TlsConfig { tls_cert: cert.map(Into::into), tls_also_plain, ..TlsConfig::default() };
            let config = ServicesConfig { tls, ..ServicesConfig::default() };
            let identity = Identity::new("two:8080".to_owned(), config);
            let says = [Some(HTTPS), Some(HTTP), None];
            let says = says.map(|says| ["other"].into_iter().chain(says).map(str::to_owned).collect());
            let schemes = says.map(|says| identity.scheme_of(&leader(says)));
            assert_eq!(schemes, reached, "{cert:?}, also plain: {tls_also_plain}");
        }
    }
}
