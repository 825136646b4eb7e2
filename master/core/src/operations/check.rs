//! What all operations are checked against.

use chapada_model::{Conversion, FrameworkDescription, OperationKind, Resource, Resources, Role, Text};

use super::{create, destroy, grow, reserve, shrink, unreserve};
use crate::{Agent, Change};

/// Where an operation is to be done, and by whom.
pub(crate) struct Ground<'a> {
    pub(crate) framework: &'a FrameworkDescription,
    pub(crate) agent: &'a Agent,
    /// The role of the offers.
    pub(crate) role: &'a Role,
    /// What is left of the offers, allocated to nobody in form.
    pub(crate) left: &'a Resources,
}

impl Change {
    /// Which operation it is.
    pub fn kind(&self) -> OperationKind {
        match self {
            Self::Reserve { .. } => OperationKind::Reserve,
            Self::Unreserve { .. } => OperationKind::Unreserve,
            Self::Create { .. } => OperationKind::Create,
            Self::Destroy { .. } => OperationKind::Destroy,
            Self::GrowVolume { .. } => OperationKind::GrowVolume,
            Self::ShrinkVolume { .. } => OperationKind::ShrinkVolume,
        }
    }

    /// What it makes of what, or which rule it breaks.
    pub(crate) fn check(&self, ground: &Ground<'_>) -> Result<Conversion, String> {
        match self {
            Self::Reserve { resources } => reserve::check(ground, resources),
            Self::Unreserve { resources } => unreserve::check(ground, resources),
            Self::Create { volumes } => create::check(ground, volumes),
            Self::Destroy { volumes } => destroy::check(ground, volumes),
            Self::GrowVolume { volume, addition } => grow::check(ground, volume, addition),
            Self::ShrinkVolume { volume, subtract } => shrink::check(ground, volume, *subtract),
        }
    }
}

impl Ground<'_> {
    /// The resources of an operation, allocated to nobody in form.
    pub(super) fn plain(&self, what: &str, resources: &Resources) -> Result<Resources, String> {
        if resources.is_empty() {
            return Err(format!("{what} names no resources"));
        }
        let other =
            |r: &&Resource| r.allocation_role.as_ref().is_some_and(|allocation| allocation != self.role);
        match resources.iter().find(other) {
            Some(resource) => Err(format!(
                "Resource {resource} is allocated to another role than the offers' {}",
                self.role
            )),
            None => Ok(resources.unallocated()),
        }
    }

    /// Whoever reserves or creates must say so under its own name.
    pub(super) fn check_principal(&self, what: &str, said: Option<&Text>) -> Result<(), String> {
        let own = self.framework.principal.as_ref();
        match own == said {
            true => Ok(()),
            false => Err(format!(
                "{what} names principal '{}', but the framework's is '{}'",
                said.map_or("", |text| text),
                own.map_or("", |text| text)
            )),
        }
    }

    pub(super) fn check_offered(&self, what: &str, consumed: &Resources) -> Result<(), String> {
        match self.left.contains(consumed) {
            true => Ok(()),
            false => Err(format!("{what} needs {consumed}, but only {} is left of the offers", self.left)),
        }
    }
}
