//! What the shell of this core can do and what an operator has chosen, as far as definitions depend on it.

use crate::definition::{AppDefinition, Defaults};
use crate::event::Refusal;

/// Chosen when the process starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether there are values of secrets. Without them what names one is refused.
    pub secrets: bool,
    /// The container network of those that name none. Without one they are refused.
    pub network: Option<String>,
    /// Whether new top-level groups enforce their name as the role of what is in them.
    pub new_group_enforce_role: bool,
}

impl Settings {
    /// What definitions mean by leaving things out.
    pub(crate) fn defaults<'a>(&'a self, role: &'a str) -> Defaults<'a> {
        Defaults { role, network: self.network.as_deref() }
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
