//! Operations on resources: what they make of what, and what became of them.

use crate::numbered::numbered;
use crate::{AgentId, FrameworkId, OperationId, OperationKey, ResourceError, Resources, Text, UpdateUuid};

numbered!(
    /// What became of an operation. All the values of the v1 API.
    OperationState {
        /// Nobody here can do it; also stands for a value that the receiver does not know.
        Unsupported = 0 "OPERATION_UNSUPPORTED",
        /// Its agent has not answered.
        Pending = 1 "OPERATION_PENDING",
        /// It is done.
        Finished = 2 "OPERATION_FINISHED",
        /// It was tried and has changed nothing.
        Failed = 3 "OPERATION_FAILED",
        /// It makes no sense.
        Error = 4 "OPERATION_ERROR",
        /// It never reached its agent.
        Dropped = 5 "OPERATION_DROPPED",
        /// Its agent is unreachable.
        Unreachable = 6 "OPERATION_UNREACHABLE",
        /// Its agent was given up by an operator.
        GoneByOperator = 7 "OPERATION_GONE_BY_OPERATOR",
        /// Its agent has not yet come back to this master.
        Recovering = 8 "OPERATION_RECOVERING",
        /// Nobody knows of it.
        Unknown = 9 "OPERATION_UNKNOWN",
    }
);

impl OperationState {
    /// Whether nothing more becomes of it.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Error | Self::Dropped | Self::GoneByOperator => true,
            Self::Unsupported | Self::Pending | Self::Unreachable | Self::Recovering | Self::Unknown => false,
        }
    }
}

numbered!(
    /// The operations that change resources.
    OperationKind {
        /// Keeps resources for a role.
        Reserve = 2 "RESERVE",
        /// Undoes the last reservation of resources.
        Unreserve = 3 "UNRESERVE",
        /// Makes persistent volumes of reserved disk.
        Create = 4 "CREATE",
        /// Ends persistent volumes with all that is in them.
        Destroy = 5 "DESTROY",
        /// Makes a persistent volume larger.
        GrowVolume = 11 "GROW_VOLUME",
        /// Makes a persistent volume smaller.
        ShrinkVolume = 12 "SHRINK_VOLUME",
    }
);

/// What an operation makes of what.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Conversion {
    /// What is no longer there.
    pub consumed: Resources,
    /// What is there instead.
    pub converted: Resources,
}

impl Conversion {
    /// Makes the change in `all`.
    ///
    /// # Errors
    /// [`ResourceError`] when what it consumes is not there, or what it makes is there already; `all` is unchanged then.
    pub fn apply(&self, all: &mut Resources) -> Result<(), ResourceError> {
        let mut changed = all.checked_sub(&self.consumed)?;
        changed.add(&self.converted)?;
        *all = changed;
        Ok(())
    }
}

/// What is known of an operation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OperationStatus {
    /// The master's name for it; absent of one that nobody knows.
    pub key: Option<OperationKey>,
    /// The framework's name for it, when it gave one.
    pub operation: Option<OperationId>,
    /// Whose it is; absent when an operator asked for it.
    pub framework: Option<FrameworkId>,
    /// Where it was done.
    pub agent: Option<AgentId>,
    /// What became of it.
    pub state: OperationState,
    /// For the framework's author.
    pub message: Option<Text>,
    /// What it has made, once it is done.
    pub converted: Resources,
    /// Set when it is repeated until acknowledged.
    pub uuid: Option<UpdateUuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_is_done_as_a_whole_or_not_at_all() {
        let mut all: Resources = "cpus:2;mem:100".parse().unwrap();
        let reserve =
            Conversion { consumed: "cpus:1".parse().unwrap(), converted: "cpus(ops):1".parse().unwrap() };
        reserve.apply(&mut all).unwrap();
        assert_eq!(all, "cpus:1;cpus(ops):1;mem:100".parse().unwrap());
        let too_much = Conversion { consumed: "cpus:2".parse().unwrap(), converted: Resources::EMPTY };
        assert!(too_much.apply(&mut all).is_err());
        assert_eq!(all, "cpus:1;cpus(ops):1;mem:100".parse().unwrap());
    }
}
