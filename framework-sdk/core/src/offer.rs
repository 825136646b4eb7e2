//! An offer as a framework sees it.

use chapada_model::{
    AgentId, Attribute, AttributeValue, Domain, ExecutorId, OfferId, ResourceError, Resources, Role, Text,
    Unavailability,
};

use crate::constraint::{Field, Place};

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
    /// When the machine is to be left, if it is.
    pub unavailability: Option<Unavailability>,
}

impl Place for Offer {
    fn value_of(&self, field: &Field) -> Option<Text> {
        match field {
            Field::Hostname => Some(Text::clone(&self.hostname)),
            Field::Region => self.domain.as_ref().map(|domain| Text::clone(&domain.region)),
            Field::Zone => self.domain.as_ref().map(|domain| Text::clone(&domain.zone)),
            Field::Agent => Some(self.agent.as_str().into()),
            Field::Attribute(name) => self.attribute(name),
        }
    }
}

impl Offer {
    /// These resources of this agent, of which nothing else is known, made to the role `*`.
    pub fn new(id: OfferId, agent: AgentId, hostname: impl Into<Text>, resources: Resources) -> Self {
        Self {
            id,
            agent,
            hostname: hostname.into(),
            address: "".into(),
            role: Role::star(),
            resources,
            attributes: Vec::new(),
            domain: None,
            executors: Vec::new(),
            unavailability: None,
        }
    }

    /// Takes what was placed out of it, so that more can be placed on the rest.
    ///
    /// # Errors
    /// When it does not hold as much; it is unchanged then.
    pub fn take(&mut self, taken: &Resources) -> Result<(), ResourceError> {
        self.resources.sub(taken)
    }

    /// The same offer without what a placement takes, so that more can be placed on the rest.
    ///
    /// # Errors
    /// When it does not hold as much.
    pub fn without(&self, taken: &Resources) -> Result<Self, ResourceError> {
        Ok(Self { resources: self.resources.checked_sub(taken)?, ..self.clone() })
    }

    /// The agent's attribute of that name as text; the first when there are several.
    pub fn attribute(&self, name: &str) -> Option<Text> {
        let attribute = self.attributes.iter().find(|attribute| &*attribute.name == name)?;
        Some(match &attribute.value {
            AttributeValue::Text(text) => Text::clone(text),
            value => value.to_string().into(),
        })
    }
}
