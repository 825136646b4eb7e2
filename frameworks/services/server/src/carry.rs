//! Carries the core's calls to the master, one after the other.

use chapada_model::{AgentId, Filters, Reason, TaskDescription, TaskId, TaskState, TaskStatus, Text};
use chapada_sdk::{CallError, Driver, wire};
use chapada_services_core::{Effect, Event, Launch, LaunchGroup};

use crate::calls::{Call, Waiting};
use crate::describe;
use crate::handle::ServicesHandle;
use crate::secrets::Secrets;

/// Makes the calls until the core has ended.
pub(crate) async fn carry(driver: Driver, calls: Waiting, services: ServicesHandle, secrets: Secrets) {
    while let Some(call) = calls.next().await {
        let launched = call.launched();
        let made = match call {
            Call::Decline { offers, refuse } => {
                tracing::debug!(count = offers.len(), "declined");
                driver.decline(offers, Filters { refuse }).await
            }
            Call::Other(call) => Box::pin(make(&driver, *call, &services, &secrets)).await,
        };
        match made {
            Ok(()) | Err(CallError::NothingToAcknowledge) => {}
            Err(error @ CallError::Disconnected) => {
                tracing::debug!(%error, "a call was not made");
                for (task, agent) in launched {
                    not_launched(task, agent, &services).await;
                }
            }
        }
    }
}

/// A launch that has not left is known not to have happened: the instance need not wait until it is asked about.
async fn not_launched(task: TaskId, agent: AgentId, services: &ServicesHandle) {
    let status = TaskStatus {
        message: Some("there was no master to launch it".into()),
        agent: Some(agent),
        reason: Some(Reason::MasterDisconnected),
        ..TaskStatus::new(task, TaskState::Dropped)
    };
    services.unsent(Event::Update(status)).await;
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
        Effect::Decline { offer, refuse } => driver.decline([offer], Filters { refuse }).await,
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
            Err(error) => give_up(task, agent, error.to_string().into(), services).await,
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
                    give_up(task, agent.clone(), error.to_string().into(), services).await;
                }
            }
        }
    }
    operations
}

async fn give_up(task: TaskId, agent: AgentId, why: Text, services: &ServicesHandle) {
    tracing::error!(task_id = %task, %why, "a task cannot be described");
    let status =
        TaskStatus { message: Some(why), agent: Some(agent), ..TaskStatus::new(task, TaskState::Error) };
    services.unsent(Event::Update(status)).await;
}

#[cfg(test)]
mod tests {
    use chapada_model::{Milli, Now, Resource, Resources, Role};
    use chapada_sdk::{FrameworkConfig, Link, connect};
    use chapada_services_core::{Command, Offer, Seed, Services};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::actor::Master;
    use crate::calls;
    use crate::handle::Input;

    /// What a core with one app decides when it is offered a machine.
    fn launch() -> Effect {
        let mut services = Services::new(Role::star(), Seed::new(1, 1));
        let app = json!({"id": "/a", "cmd": "x", "portDefinitions": []});
        let definition = app.as_object().unwrap().clone();
        let all = [Resource::scalar("cpus", Milli::whole(1)), Resource::scalar("mem", Milli::whole(1_024))];
        let resources = Resources::from_list(all).unwrap();
        let offer = Offer::new("o".parse().unwrap(), "agent".parse().unwrap(), "host", resources);
        let mut events = vec![
            Event::Offers(vec![offer]),
            Event::Command { request: 1, command: Command::Create { definition, force: false } },
            Event::Subscribed,
        ];
        while let Some(event) = events.pop() {
            for effect in services.apply(Now::default(), event) {
                match effect {
                    Effect::Store { number, .. } => events.push(Event::Stored(number)),
                    launch @ Effect::Launch { .. } => return launch,
                    _ => {}
                }
            }
        }
        panic!("nothing was launched")
    }

    #[tokio::test]
    async fn the_core_is_told_at_once_of_a_launch_that_no_master_took() {
        // Somebody is at the door, and does not answer.
        let (door, _waits) = mpsc::channel(1);
        let config = FrameworkConfig {
            link: Link::Door(door),
            ..FrameworkConfig::new("services", "127.0.0.1:5050".parse().unwrap())
        };
        let (driver, _events) = connect(config, None);
        let (services, inputs) = ServicesHandle::new();
        let (mut calls, waiting) = calls::queue();
        calls.call(launch());
        drop(calls);
        carry(driver, waiting, services, Secrets::new(None)).await;
        let mut queues = inputs.take().await;
        let Some(Input::Event(Event::Update(status))) = queues.recv(false).await else {
            panic!("nothing is known of it")
        };
        assert!(status.task.as_str().starts_with("a.instance-"), "{status:?}");
        assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::MasterDisconnected)));
    }
}
