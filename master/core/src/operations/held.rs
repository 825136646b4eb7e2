//! The operations that an agent states, against those in the books.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{AgentId, OperationKey, OperationState, OperationStatus, Resources, Role};

use crate::{AgentCommand, Master, OfferOperation, SchedulerEvent};

impl Master {
    /// Takes over what an agent states of operations. Those it does not know never reached it; those that nobody waits for
    /// come back, to be acknowledged once the agent is welcome.
    pub(crate) fn take_over_operations(
        &mut self,
        agent: &AgentId,
        stated: Vec<OperationStatus>,
    ) -> Vec<OperationStatus> {
        let keys: BTreeSet<&OperationKey> = stated.iter().filter_map(|status| status.key.as_ref()).collect();
        let known = self.index.operations_by_agent.of(agent);
        for key in known.into_iter().filter(|key| !keys.contains(key)) {
            self.lose_operation(&key, OperationState::Dropped, "The operation did not reach its agent");
        }
        let mut unwanted = Vec::new();
        for status in stated {
            let Some(key) = status.key.clone() else { continue };
            if self.reader_of(&status).is_none() || status.uuid.is_none() {
                self.forget_operation(&key);
                unwanted.push(status);
                continue;
            }
            let status = Arc::new(OperationStatus { agent: Some(agent.clone()), ..status });
            match self.books.operations.get_mut(&key) {
                Some(record) => Arc::make_mut(record).status = status,
                None => self.insert_operation(Arc::new(OfferOperation {
                    key,
                    framework: status.framework.clone(),
                    agent: agent.clone(),
                    role: Role::star(),
                    kind: None,
                    conversion: None,
                    holds: Resources::EMPTY,
                    status,
                    started: self.now.wall,
                })),
            }
        }
        unwanted
    }

    /// Tells a welcomed agent to forget what nobody waits for.
    pub(crate) fn acknowledge_unwanted(&mut self, agent: &AgentId, unwanted: Vec<OperationStatus>) {
        for status in unwanted {
            if let (Some(key), Some(uuid)) = (status.key, status.uuid) {
                self.tell_agent(agent, AgentCommand::AcknowledgeOperation { key, uuid });
            }
        }
    }

    /// The operations of an agent that was given up: it states those it knows when it comes back.
    pub(crate) fn lose_operations_of(&mut self, agent: &AgentId) {
        for key in self.index.operations_by_agent.of(agent) {
            self.lose_operation(&key, OperationState::Unreachable, "The agent is unreachable");
        }
    }

    /// The operations of an agent that is gone for good.
    pub(crate) fn end_operations_of(&mut self, agent: &AgentId, why: &str) {
        for key in self.index.operations_by_agent.of(agent) {
            self.lose_operation(&key, OperationState::GoneByOperator, why);
        }
    }

    fn lose_operation(&mut self, key: &OperationKey, state: OperationState, message: &str) {
        let Some(operation) = self.forget_operation(key) else { return };
        if let Some(framework) = self.reader_of(&operation.status) {
            let status = OperationStatus {
                state,
                message: Some(message.into()),
                converted: Resources::EMPTY,
                uuid: None,
                ..(*operation.status).clone()
            };
            self.tell_framework(framework, SchedulerEvent::UpdateOperation(Arc::new(status)));
        }
    }
}
