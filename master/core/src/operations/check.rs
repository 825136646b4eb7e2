//! What all operations are checked against.

use chapada_model::{
    Conversion, FrameworkCapability, FrameworkDescription, OperationKind, Resource, Resources, Role, Text,
};

use super::{create, destroy, grow, reserve, shrink, unreserve};
use crate::{Agent, Change};

/// Who asks for an operation.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// A framework, with offers of a role.
    Framework {
        /// Which.
        framework: &'a FrameworkDescription,
        /// The role of the offers.
        role: &'a Role,
    },
    /// An operator, with nothing but a name, if that.
    Operator {
        /// Who the connection is authenticated as.
        principal: Option<&'a Text>,
    },
}

/// Where an operation is to be done, and by whom.
pub(crate) struct Ground<'a> {
    pub(crate) by: By<'a>,
    pub(crate) agent: &'a Agent,
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

    /// What it makes of what, or which rule it breaks. Whether there is as much as it needs is for the caller to see.
    pub(crate) fn check(&self, ground: &Ground<'_>) -> Result<Conversion, String> {
        match self {
            Self::Reserve { source, resources } => reserve::check(ground, source, resources),
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
        let own = self.role();
        let other = |r: &&Resource| r.allocation_role.is_some() && r.allocation_role.as_ref() != own;
        match (resources.iter().find(other), own) {
            (Some(resource), Some(role)) => {
                Err(format!("Resource {resource} is allocated to another role than the offers' {role}"))
            }
            (Some(resource), None) => Err(format!(
                "Resource {resource} is allocated: leave 'allocation_info' out, nobody may hold it"
            )),
            (None, _) => Ok(resources.unallocated()),
        }
    }

    /// Whoever reserves or creates must say so under its own name. An operator whom nobody asked for one may use any.
    pub(super) fn check_principal(&self, what: &str, said: Option<&Text>) -> Result<(), String> {
        let (own, whose) = match self.by {
            By::Framework { framework, .. } => (framework.principal.as_ref(), "the framework's"),
            By::Operator { principal: None } => return Ok(()),
            By::Operator { principal } => (principal, "the caller's"),
        };
        match own == said {
            true => Ok(()),
            false => Err(format!(
                "{what} names principal '{}', but {whose} is '{}'",
                said.map_or("", |text| text),
                own.map_or("", |text| text)
            )),
        }
    }

    /// The role that all must be reserved for; none when any will do.
    pub(super) fn role(&self) -> Option<&Role> {
        match self.by {
            By::Framework { role, .. } => Some(role),
            By::Operator { .. } => None,
        }
    }

    /// Whether whoever asks knows of something that others do not. An operator knows all.
    pub(super) fn can(&self, capability: FrameworkCapability) -> bool {
        match self.by {
            By::Framework { framework, .. } => framework.can(capability),
            By::Operator { .. } => true,
        }
    }
}
