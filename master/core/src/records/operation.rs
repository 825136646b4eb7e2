//! An operation on an agent's resources.

use std::sync::Arc;

use chapada_model::{
    AgentId, Conversion, FrameworkId, OperationKey, OperationKind, OperationStatus, Resources, Role, Wall,
};

/// How many operations of one framework may be without an answer or without its acknowledgement. A framework that
/// acknowledges nothing is refused further ones, so that neither master nor agents grow with it.
pub const MAX_OPERATIONS: usize = 1_000;

/// An operation that its agent has not answered, or whose outcome its framework has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferOperation {
    /// The master's name for it.
    pub key: OperationKey,
    /// Whose it is; absent when an operator asked for it.
    pub framework: Option<FrameworkId>,
    /// Where it is done.
    pub agent: AgentId,
    /// The role of the offers that it used.
    pub role: Role,
    /// Which operation it is; absent when it is known only by its agent's word.
    pub kind: Option<OperationKind>,
    /// What it makes of what; absent when it is known only by its agent's word.
    pub conversion: Option<Arc<Conversion>>,
    /// What it holds until its agent answers: what it consumes, when the outcome is not taken for granted.
    pub holds: Resources,
    /// What is known of it.
    pub status: Arc<OperationStatus>,
    /// When it was accepted, or first stated by its agent.
    pub started: Wall,
}
