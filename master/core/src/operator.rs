//! What an operator can ask for and is told at once whether it will be done.

use chapada_model::{AgentId, FrameworkId, Now, Text};

use crate::{Change, Effect, Master, Ticket};

/// A call of an operator, already parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorCall {
    /// Changes an agent's resources: reservations and volumes.
    Change {
        /// Which agent.
        agent: AgentId,
        /// How.
        change: Change,
        /// Who the connection is authenticated as; absent when nobody asked.
        principal: Option<Text>,
    },
    /// Removes a framework now, with all its tasks.
    Teardown {
        /// Which.
        framework: FrameworkId,
    },
}

/// Why a call of an operator was refused. Nothing has changed then. The shell maps each to a status of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorRefused {
    /// 400: what it says cannot be.
    #[error("{0}")]
    Invalid(String),
    /// 409: it could be, but not as things are.
    #[error("{0}")]
    Conflict(String),
    /// 404: nothing of that name is there.
    #[error("{0}")]
    NotFound(String),
}

impl Master {
    /// Takes a call of an operator and gives the verdict that the caller waits for; with a ticket, until that is durable.
    ///
    /// # Errors
    /// [`OperatorRefused`] says why; nothing has changed then, apart from what time alone has changed.
    pub fn apply_operator(
        &mut self,
        now: Now,
        call: OperatorCall,
    ) -> Result<(Vec<Effect>, Option<Ticket>), OperatorRefused> {
        self.begin(now);
        let ticket = match call {
            OperatorCall::Change { agent, change, principal } => {
                self.operate_by_operator(&agent, &change, principal.as_ref())?;
                None
            }
            OperatorCall::Teardown { framework } => {
                if !self.books.frameworks.contains_key(&framework) {
                    let message = format!("No framework found with ID {framework}");
                    return Err(OperatorRefused::Invalid(message));
                }
                self.teardown(&framework)
            }
        };
        Ok((self.finish(), ticket))
    }
}
