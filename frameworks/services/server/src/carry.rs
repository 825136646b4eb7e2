//! Carries the core's calls to the master, one after the other.

use chapada_model::{AgentId, Filters, TaskDescription, TaskId, TaskState, TaskStatus};
use chapada_sdk::{CallError, Driver, wire};
use chapada_services_core::{Effect, Launch, LaunchGroup};
use tokio::sync::mpsc;

use crate::actor::Master;
use crate::describe::{self, Indescribable};
use crate::handle::ServicesHandle;
use crate::secrets::Secrets;

/// How many calls may wait for the connection. What does not fit is dropped: kills and questions are repeated by the
/// core, updates by their agents, and a launch that was not sent is found out by asking for its task.
const CALLS: usize = 16_384;

/// The core's side of the queue.
pub(crate) struct Calls(mpsc::Sender<Effect>);

/// The queue of calls: where they are put in, and where they come out.
pub(crate) fn queue() -> (Calls, mpsc::Receiver<Effect>) {
    let (sender, receiver) = mpsc::channel(CALLS);
    (Calls(sender), receiver)
}

impl Master for Calls {
    fn call(&mut self, call: Effect) {
        if self.0.try_send(call).is_err() {
            tracing::warn!("a call to the master was dropped: {CALLS} are waiting already");
        }
    }
}

/// Makes the calls until the core has ended.
pub(crate) async fn carry(
    driver: Driver,
    mut calls: mpsc::Receiver<Effect>,
    services: ServicesHandle,
    secrets: Secrets,
) {
    while let Some(call) = calls.recv().await {
        match Box::pin(make(&driver, call, &services, &secrets)).await {
            Ok(()) | Err(CallError::NothingToAcknowledge) => {}
            Err(error @ CallError::Disconnected) => tracing::debug!(%error, "a call was not made"),
        }
    }
}

async fn make(
    driver: &Driver,
    call: Effect,
    services: &ServicesHandle,
    secrets: &Secrets,
) -> Result<(), CallError> {
    match call {
        Effect::Accept { offer, operations, tasks, groups, refuse } => {
            let mut all = describe::homes(operations);
            let tasks = described(tasks, services, secrets).await;
            all.extend(Box::pin(described_groups(groups, services, secrets)).await);
            all.extend(describe::launch(&tasks));
            driver.accept([offer], all, Filters { refuse }).await
        }
        Effect::Launch { offer, tasks, groups, refuse } => {
            let tasks = described(tasks, services, secrets).await;
            let mut operations = Box::pin(described_groups(groups, services, secrets)).await;
            if operations.is_empty() {
                return driver.launch([offer], tasks, Filters { refuse }).await;
            }
            operations.extend(describe::launch(&tasks));
            driver.accept([offer], operations, Filters { refuse }).await
        }
        Effect::Decline { offer, refuse } => {
            tracing::debug!(offer_id = %offer, "declined");
            driver.decline([offer], Filters { refuse }).await
        }
        Effect::Kill { task, agent } => {
            tracing::info!(task_id = %task, "kill");
            driver.kill(&task, agent.as_ref(), None).await
        }
        Effect::Acknowledge { task, agent, uuid } => {
            let status = TaskStatus {
                agent: Some(agent),
                uuid: Some(uuid),
                ..TaskStatus::new(task, TaskState::Running)
            };
            driver.acknowledge(&status).await
        }
        Effect::Reconcile(tasks) => driver.reconcile(tasks).await,
        Effect::Revive => driver.revive().await,
        Effect::Suppress => driver.suppress().await,
        Effect::Roles(roles) => driver.set_roles(roles).await,
        Effect::ReviveIn(roles) => driver.revive_in(roles).await,
        Effect::SuppressIn(roles) => driver.suppress_in(roles).await,
        Effect::Store { .. }
        | Effect::Probe(_)
        | Effect::AskReady(_)
        | Effect::Publish(_)
        | Effect::Answer { .. } => Ok(()),
    }
}

/// The tasks in the API's terms. One that cannot be said in them ends at once.
async fn described(
    launches: Vec<Launch>,
    services: &ServicesHandle,
    secrets: &Secrets,
) -> Vec<TaskDescription> {
    let mut tasks = Vec::new();
    for launch in launches {
        let (task, agent) = (launch.task.clone(), launch.agent.clone());
        match describe::task(launch, secrets).await {
            Ok(description) => {
                tracing::info!(task_id = %task, agent_id = %agent, "launch");
                tasks.push(description);
            }
            Err(error) => give_up(task, agent, &error, services).await,
        }
    }
    tasks
}

/// As [`described`], for the instances of pods: each with all of its containers, or none of them.
async fn described_groups(
    groups: Vec<LaunchGroup>,
    services: &ServicesHandle,
    secrets: &Secrets,
) -> Vec<wire::offer::Operation> {
    let mut operations = Vec::new();
    for group in groups {
        let agent = group.agent.clone();
        let tasks: Vec<TaskId> = group.tasks.iter().map(|task| task.launch.task.clone()).collect();
        match describe::group::launch(group, secrets).await {
            Ok(operation) => {
                tracing::info!(?tasks, agent_id = %agent, "launch of a group");
                operations.push(operation);
            }
            Err(error) => {
                for task in tasks {
                    give_up(task, agent.clone(), &error, services).await;
                }
            }
        }
    }
    operations
}

async fn give_up(task: TaskId, agent: AgentId, error: &Indescribable, services: &ServicesHandle) {
    tracing::error!(task_id = %task, %error, "a task cannot be described");
    let message = Some(error.to_string().into());
    let status = TaskStatus { message, agent: Some(agent), ..TaskStatus::new(task, TaskState::Error) };
    services.event(chapada_services_core::Event::Update(status)).await;
}
