//! Who this process is: where it is reached, and who it is to the master.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chapada_model::FrameworkId;

use crate::config::ServicesConfig;
use crate::standing::Turn;

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
        format!("http://{}", self.host_port)
    }

    pub(crate) fn registration(&self) -> Registration {
        self.master.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_registration(&self, registration: Registration) {
        *self.master.lock().unwrap_or_else(PoisonError::into_inner) = registration;
    }
}
