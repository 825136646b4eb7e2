//! An offer as a framework sees it.

use chapada_model::{
    AgentId, Attribute, AttributeValue, Domain, ExecutorId, OfferId, ResourceError, Resources, Role, Text,
};

/// Resources of one agent, for one role, until answered or rescinded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it is accepted or declined by.
    pub id: OfferId,
    /// Whose resources they are.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: Text,
    /// The agent's `ip:port`; empty when not said.
    pub address: Text,
    /// The role it is made to.
    pub role: Role,
    /// What is offered, allocated to the role.
    pub resources: Resources,
    /// What the operator says of the agent.
    pub attributes: Vec<Attribute>,
    /// Region and zone of the agent.
    pub domain: Option<Domain>,
    /// The framework's executors that run there.
    pub executors: Vec<ExecutorId>,
}

impl Offer {
    /// The same offer without what a placement takes, so that more can be placed on the rest.
    ///
    /// # Errors
    /// When it does not hold as much.
    pub fn without(&self, taken: &Resources) -> Result<Self, ResourceError> {
        Ok(Self { resources: self.resources.checked_sub(taken)?, ..self.clone() })
    }

    /// The agent's attribute of that name as text; the first when there are several.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let attribute = self.attributes.iter().find(|attribute| &*attribute.name == name)?;
        Some(match &attribute.value {
            AttributeValue::Text(text) => text.to_string(),
            value => value.to_string(),
        })
    }
}
