//! Carries the core's calls to the master, one after the other.

use std::collections::BTreeMap;

use chapada_model::{AgentId, Filters, Label, OfferId, TaskDescription, TaskId, TaskState, TaskStatus};
use chapada_sdk::wire::discovery_info::Visibility;
use chapada_sdk::{CallError, Driver, InvalidTask, Offer, Placement, TaskBuilder, wire};
use chapada_services_core::{Effect, Launch, LaunchPort};
use tokio::sync::mpsc;

use crate::actor::Master;
use crate::handle::ServicesHandle;

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
pub(crate) async fn carry(driver: Driver, mut calls: mpsc::Receiver<Effect>, services: ServicesHandle) {
    while let Some(call) = calls.recv().await {
        match make(&driver, call, &services).await {
            Ok(()) | Err(CallError::NothingToAcknowledge) => {}
            Err(error @ CallError::Disconnected) => tracing::debug!(%error, "a call was not made"),
        }
    }
}

async fn make(driver: &Driver, call: Effect, services: &ServicesHandle) -> Result<(), CallError> {
    match call {
        Effect::Launch { offer, tasks, refuse } => {
            let tasks = describe(tasks, services).await;
            driver.launch([offer], tasks, Filters { refuse }).await
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
        Effect::Reconcile(tasks) => reconcile(driver, tasks).await,
        Effect::Revive => driver.revive().await,
        Effect::Suppress => driver.suppress().await,
        Effect::Store { .. }
        | Effect::Probe(_)
        | Effect::AskReady(_)
        | Effect::Publish(_)
        | Effect::Answer { .. } => Ok(()),
    }
}

/// Those named until there is an answer for each; all of them just once.
async fn reconcile(driver: &Driver, tasks: Vec<(TaskId, Option<AgentId>)>) -> Result<(), CallError> {
    match tasks.is_empty() {
        true => driver.reconcile([]).await,
        false => driver.reconcile_until_answered(tasks).await,
    }
}

/// The tasks in the API's terms. One that cannot be said in them ends at once.
async fn describe(launches: Vec<Launch>, services: &ServicesHandle) -> Vec<TaskDescription> {
    let mut tasks = Vec::new();
    for launch in launches {
        let (task, agent) = (launch.task.clone(), launch.agent.clone());
        match description(launch) {
            Ok(description) => {
                tracing::info!(task_id = %task, agent_id = %agent, "launch");
                tasks.push(description);
            }
            Err(error) => {
                tracing::error!(task_id = %task, %error, "a task cannot be described");
                let message = Some(error.to_string().into());
                let status =
                    TaskStatus { message, agent: Some(agent), ..TaskStatus::new(task, TaskState::Error) };
                services.event(chapada_services_core::Event::Update(status)).await;
            }
        }
    }
    tasks
}

fn description(launch: Launch) -> Result<TaskDescription, InvalidTask> {
    let Launch { task, name, agent, resources, shell, args, user, env, labels, ports, kill_grace } = launch;
    let mut builder = match shell {
        Some(line) => TaskBuilder::shell(&task, line),
        None => TaskBuilder::program(&task, args.first().cloned().unwrap_or_default(), args),
    };
    for (variable, value) in env {
        builder = builder.env(variable, value);
    }
    for (key, value) in labels {
        builder = builder.label(Label { key: key.into(), value: Some(value.into()) });
    }
    if let Some(user) = user {
        builder = builder.user(user);
    }
    if let Some(grace) = kill_grace {
        builder = builder.kill_grace_period(grace);
    }
    let placement = Placement { resources, ports: ports.iter().map(|port| port.number).collect() };
    let discovery = discovery(&name, ports);
    builder.name(name).customise(|info| info.discovery = Some(discovery)).place(&at(agent), &placement)
}

/// As much of an offer as a task's description needs: the agent.
fn at(agent: AgentId) -> Offer {
    let none = OfferId::new("none").expect("a word is an id");
    Offer::new(none, agent, "", Default::default())
}

fn discovery(name: &str, ports: Vec<LaunchPort>) -> wire::DiscoveryInfo {
    let port = |port: LaunchPort| wire::Port {
        number: Some(port.number.into()),
        name: port.name,
        protocol: Some(port.protocol.to_owned()),
        labels: Some(labels(port.labels)),
        ..Default::default()
    };
    let mut info = wire::DiscoveryInfo {
        name: Some(name.to_owned()),
        ports: Some(wire::Ports { ports: ports.into_iter().map(port).collect() }),
        ..Default::default()
    };
    info.set_visibility(Visibility::Framework);
    info
}

fn labels(labels: BTreeMap<String, String>) -> wire::Labels {
    let label = |(key, value)| wire::Label { key: Some(key), value: Some(value) };
    wire::Labels { labels: labels.into_iter().map(label).collect() }
}
