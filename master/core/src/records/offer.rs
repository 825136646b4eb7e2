//! An outstanding offer.

use std::sync::Arc;

use chapada_model::{
    AgentDescription, AgentId, ExecutorId, FrameworkId, Mono, Now, OfferId, Resources, Role, Unavailability,
};

/// Resources of one agent that one framework may use, in one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// Who may use it.
    pub framework: FrameworkId,
    /// Whose resources they are.
    pub agent: AgentId,
    /// What that agent said about itself when the offer was made.
    pub host: Arc<AgentDescription>,
    /// The role they are offered to.
    pub role: Role,
    /// The resources, each allocated to the role.
    pub resources: Resources,
    /// The framework's own executors that run there.
    pub executors: Vec<ExecutorId>,
    /// When its machine will be away, if that is scheduled.
    pub unavailability: Option<Unavailability>,
    /// When it was made.
    pub since: Now,
    /// When it is taken back unless it is answered.
    pub until: Mono,
}
