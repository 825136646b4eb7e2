//! Task groups, and executors of the framework's own.

use chapada_model::{AgentId, ExecutorDescription, ExecutorId, Filters, OfferId, TaskDescription};
use chapada_wire::v1;
use chapada_wire::v1::offer::operation::{LaunchGroup, Type as OperationType};
use chapada_wire::v1::scheduler as api;
use chapada_wire::v1::scheduler::call::Type;

use super::{CallError, Driver};

impl Driver {
    /// Launches tasks together on offers of one agent, under one executor: all of them, or none. What they leave over is
    /// declined with `filters`.
    ///
    /// An executor of the same description that runs there already takes the tasks in, and takes nothing of the offers. Should
    /// the group break a rule, each of its tasks ends as TASK_ERROR, and its update says which.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn launch_group(
        &self,
        offers: impl IntoIterator<Item = OfferId>,
        executor: &ExecutorDescription,
        tasks: &[TaskDescription],
        filters: Filters,
    ) -> Result<(), CallError> {
        let task_group = v1::TaskGroupInfo { tasks: tasks.iter().map(Into::into).collect() };
        let mut operation = v1::offer::Operation {
            launch_group: Some(LaunchGroup { executor: Some(executor.into()), task_group: Some(task_group) }),
            ..Default::default()
        };
        operation.set_type(OperationType::LaunchGroup);
        self.accept(offers, vec![operation], filters).await
    }

    /// Sends bytes to an executor of one's own. They may get lost.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn message(
        &self,
        agent: &AgentId,
        executor: &ExecutorId,
        data: &[u8],
    ) -> Result<(), CallError> {
        let message = api::call::Message {
            agent_id: Some(agent.into()),
            executor_id: Some(executor.into()),
            data: Some(data.to_vec()),
        };
        self.call(Type::Message, |call| call.message = Some(message)).await
    }

    /// Ends an executor and all tasks that it runs, each of which has an update of its own. Nobody says when the agent is not
    /// connected: ask for the tasks then.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn shutdown_executor(&self, agent: &AgentId, executor: &ExecutorId) -> Result<(), CallError> {
        let shutdown =
            api::call::Shutdown { agent_id: Some(agent.into()), executor_id: Some(executor.into()) };
        self.call(Type::Shutdown, |call| call.shutdown = Some(shutdown)).await
    }
}
