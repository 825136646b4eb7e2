//! What the shell of this core can do and what an operator has chosen, as far as definitions depend on it.

use std::ops::RangeInclusive;
use std::time::Duration;

use chapada_model::Text;
use chapada_sdk_core::{Constraint, Field, Request, Rule};

use crate::definition::{AppDefinition, Defaults};
use crate::event::Refusal;
use crate::matching::request;

/// Chosen when the process starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether there are values of secrets. Without them what names one is refused.
    pub secrets: bool,
    /// The container network of those that name none. Without one they are refused.
    pub network: Option<String>,
    /// Whether new top-level groups enforce their name as the role of what is in them.
    pub new_group_enforce_role: bool,
    /// What those accept that do not say whose resources they do.
    pub accepted_roles: AcceptedRoles,
    /// Stands before the names of the variables `HOST` and `PORT…`, which tasks are given.
    pub env_prefix: String,
    /// The most apps and pods: each costs memory here and in the store for as long as it exists.
    pub max_apps: usize,
    /// The most instances of all apps and pods together, those that wait included: each is held in memory.
    pub max_instances: u64,
    /// The most deployments at once.
    pub max_deployments: usize,
    /// The numbers that service ports are given; when all are taken, an app keeps 0.
    pub service_ports: RangeInclusive<u16>,
    /// How many versions are kept of each app, and of the tree.
    pub max_versions: usize,
    /// The most tasks that are launched with one offer.
    pub max_per_offer: usize,
    /// Whether machines with GPUs are left to those who need some.
    pub spares_gpus: bool,
    /// How long before a machine is to be left nothing begins there any more.
    pub leaves_before: Duration,
    /// How long what of an offer is not used need not be offered again.
    pub decline_offer: Duration,
    /// How long things are waited for.
    pub patience: Patience,
    /// Where apps and pods stay that say nothing of regions and zones: the masters' region, which [`Event::HomeRegion`] tells.
    ///
    /// [`Event::HomeRegion`]: crate::Event::HomeRegion
    pub home_region: Option<Text>,
}

/// How long things are waited for. Neither may be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a kill of which nothing was heard is repeated.
    pub kill_retry: Duration,
    /// Until a task that does not start is given up.
    pub task_launch: Duration,
}

/// Whose resources are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedRoles {
    /// All.
    Any,
    /// Those that are reserved for no role.
    Unreserved,
    /// Those that are reserved for the app's own role. Apps with persistent volumes take what is reserved for none: they
    /// reserve it themselves.
    Reserved,
}

impl Default for Settings {
    /// Source: Marathon's defaults, but for `max_apps`, `max_instances` and `max_per_offer`, which bound what it does not.
    fn default() -> Self {
        Self {
            secrets: false,
            network: None,
            new_group_enforce_role: false,
            accepted_roles: AcceptedRoles::Any,
            env_prefix: String::new(),
            max_apps: 50_000,
            max_instances: 1_000_000,
            max_deployments: 100,
            service_ports: 10_000..=20_000,
            max_versions: 50,
            max_per_offer: 50,
            spares_gpus: true,
            leaves_before: Duration::ZERO,
            decline_offer: Duration::from_secs(120),
            patience: Patience::default(),
            home_region: None,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { kill_retry: Duration::from_secs(30), task_launch: Duration::from_secs(300) }
    }
}

impl Settings {
    /// What definitions mean by leaving things out.
    pub(crate) fn defaults<'a>(&'a self, role: &'a str) -> Defaults<'a> {
        Defaults { role, network: self.network.as_deref() }
    }

    /// What one instance needs that has no home, and of whose resources it may be.
    pub(crate) fn request(&self, definition: &AppDefinition) -> Request {
        let mut request = request(definition);
        request.spares_gpus = self.spares_gpus;
        request.leaves_before = self.leaves_before;
        if definition.is_resident() {
            // It is reserved, so it must be nobody's.
            request.accepted_roles = vec!["*".into()];
        } else if request.accepted_roles.is_empty() {
            request.accepted_roles = match self.accepted_roles {
                AcceptedRoles::Any => Vec::new(),
                AcceptedRoles::Unreserved => vec!["*".into()],
                AcceptedRoles::Reserved => vec![definition.role.as_str().into()],
            };
        }
        let says_where = |constraint: &Constraint| matches!(constraint.field(), Field::Region | Field::Zone);
        if let Some(home) =
            self.home_region.as_ref().filter(|_| !definition.constraints.iter().any(says_where))
        {
            request.constraints.push(Constraint::new(Field::Region, Rule::Home(home.clone())));
        }
        request
    }

    /// Refuses what the shell cannot do.
    pub(crate) fn check(&self, definition: &AppDefinition) -> Result<(), Refusal> {
        let of_pod = definition.pod.as_ref().is_some_and(|pod| !pod.secrets.is_empty());
        if self.secrets || (definition.secrets.is_empty() && !of_pod) {
            return Ok(());
        }
        let error = "this framework was started without --secrets-dir and has no secrets";
        Err(Refusal::Invalid(vec![crate::definition::FieldError::new("/secrets", error)]))
    }
}
