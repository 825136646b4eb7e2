//! What became of operations that were given an id: reservations and volumes.

use chapada_model::{AgentId, OperationId, OperationStatus};
use chapada_wire::v1::scheduler as api;
use chapada_wire::v1::scheduler::call::Type;

use super::{CallError, Driver};

impl Driver {
    /// Says that the outcome of an operation was handled, so that it does not come again. Only with
    /// [`Acknowledge::Explicitly`](crate::Acknowledge); otherwise the driver does it.
    ///
    /// # Errors
    /// When not subscribed, or the status has nothing to acknowledge ([`OperationStatus::uuid`]).
    pub async fn acknowledge_operation(&self, status: &OperationStatus) -> Result<(), CallError> {
        let (Some(uuid), Some(agent), Some(operation)) = (&status.uuid, &status.agent, &status.operation)
        else {
            return Err(CallError::NothingToAcknowledge);
        };
        let acknowledge = api::call::AcknowledgeOperationStatus {
            agent_id: Some(agent.into()),
            resource_provider_id: None,
            uuid: Some(uuid.0.to_vec()),
            operation_id: Some(operation.into()),
        };
        let fill = |call: &mut api::Call| call.acknowledge_operation_status = Some(acknowledge);
        self.call(Type::AcknowledgeOperationStatus, fill).await
    }

    /// Asks once for the state of these operations, or of all of the framework when none is named.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn reconcile_operations(
        &self,
        operations: impl IntoIterator<Item = (OperationId, Option<AgentId>)>,
    ) -> Result<(), CallError> {
        let one =
            |(operation, agent): (OperationId, Option<AgentId>)| api::call::reconcile_operations::Operation {
                operation_id: Some((&operation).into()),
                agent_id: agent.as_ref().map(Into::into),
                resource_provider_id: None,
            };
        let asked = api::call::ReconcileOperations { operations: operations.into_iter().map(one).collect() };
        self.call(Type::ReconcileOperations, |call| call.reconcile_operations = Some(asked)).await
    }
}
