//! Answers to RECONCILE_OPERATIONS: statuses without uuid.

use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId, OperationId, OperationState, OperationStatus, Resources};

use crate::reconcile::Standing;
use crate::{Master, SchedulerEvent};

impl Master {
    pub(crate) fn reconcile_operations(
        &mut self,
        framework: &FrameworkId,
        operations: Vec<(OperationId, Option<AgentId>)>,
    ) {
        let own = self.index.operations_by_framework.iter(framework);
        let known: Vec<Arc<OperationStatus>> = own
            .filter_map(|key| self.books.operations.get(key))
            .map(|operation| operation.status.clone())
            .filter(|status| status.operation.is_some())
            .collect();
        let answers: Vec<OperationStatus> = match operations.is_empty() {
            true => known.iter().map(|status| latest(status)).collect(),
            false => operations
                .into_iter()
                .map(|(id, agent)| {
                    let status = known.iter().find(|status| status.operation.as_ref() == Some(&id));
                    status.map_or_else(|| self.standing_answer(framework, id, agent), |status| latest(status))
                })
                .collect(),
        };
        for status in answers {
            self.tell_framework(framework, SchedulerEvent::UpdateOperation(Arc::new(status)));
        }
    }

    /// What can be said of an operation that is not in the books. Source: Mesos' `reconcileOperations`.
    fn standing_answer(
        &self,
        framework: &FrameworkId,
        operation: OperationId,
        agent: Option<AgentId>,
    ) -> OperationStatus {
        let (state, message) = match self.standing_of(agent.as_ref()) {
            Standing::MayReturn => {
                (OperationState::Recovering, "Reconciliation: Agent has not come back to this master yet")
            }
            Standing::Registered => {
                (OperationState::Unknown, "Reconciliation: Operation is unknown to the agent")
            }
            Standing::Unreachable(_) => (OperationState::Unreachable, "Reconciliation: Agent is unreachable"),
            Standing::Gone => {
                (OperationState::GoneByOperator, "Reconciliation: Agent was removed by operator")
            }
            Standing::Unknown => (OperationState::Unknown, "Reconciliation: Operation is unknown"),
        };
        OperationStatus {
            key: None,
            operation: Some(operation),
            framework: Some(framework.clone()),
            agent,
            state,
            message: Some(message.into()),
            converted: Resources::EMPTY,
            uuid: None,
        }
    }
}

fn latest(status: &OperationStatus) -> OperationStatus {
    OperationStatus { uuid: None, ..status.clone() }
}
