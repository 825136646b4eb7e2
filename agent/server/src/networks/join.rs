//! A container's way into its networks, before it is made.

use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::ExecutorRecord;
use chapada_network::{Attached, Networks, Wish};
use chapada_shim::{ContainerSpec, JoinedNamespace, NamespaceKind, NamespaceOf};
use chapada_wire::v1;
use prost::Message;

use super::names::NameFiles;
use super::wishes::{NetworkWish, network_of};
use crate::containers::{Means, Order, What};

/// Leaving is tried so often; what still resists is found again at the next start.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Networks that were joined.
#[derive(Debug)]
pub(crate) struct Joined {
    attached: Arc<Attached>,
    /// The container whose they are: the executor's for the tasks of a pod.
    of: String,
}

/// Joins the networks of an order's container; `None` for one on the machine's network, or on one that its shim makes.
/// Dropping the future gives up at once.
///
/// # Errors
/// Says why in one line, for the framework's author.
pub(crate) async fn join(means: &Means, order: &Order) -> Result<Option<Joined>, String> {
    let (task, pod) = match &order.what {
        What::Task { task, pod } => (task, pod),
        What::Executor { executor, .. } => {
            return match of_executor(executor)? {
                NetworkWish::Join(wishes) => {
                    attach(means, executor.container.as_str(), wishes).await.map(Some)
                }
                NetworkWish::Alone | NetworkWish::Host => Ok(None),
            };
        }
    };
    let info = v1::TaskInfo::decode(task.info.as_bytes()).map_err(|error| error.to_string())?;
    let own = wish("container", info.container.as_ref())?;
    let (of, wishes) = match (own, pod) {
        (NetworkWish::Join(wishes), _) => (&task.container, wishes),
        (NetworkWish::Alone, _) | (NetworkWish::Host, None) => return Ok(None),
        (NetworkWish::Host, Some(executor)) => match of_executor(executor)? {
            NetworkWish::Host => return Ok(None),
            NetworkWish::Alone => (&executor.container, Vec::new()),
            NetworkWish::Join(wishes) => (&executor.container, wishes),
        },
    };
    attach(means, of.as_str(), wishes).await.map(Some)
}

/// The same for a container of no task, of this name.
///
/// # Errors
/// Says why in one line, for its author.
pub(crate) async fn join_alone(
    means: &Means,
    container: Option<&v1::ContainerInfo>,
    name: &str,
) -> Result<Option<Joined>, String> {
    match wish("container", container)? {
        NetworkWish::Join(wishes) => attach(means, name, wishes).await.map(Some),
        NetworkWish::Alone | NetworkWish::Host => Ok(None),
    }
}

async fn attach(means: &Means, of: &str, wishes: Vec<Wish>) -> Result<Joined, String> {
    let bridge = &means.settings.bridge_network;
    let named = |wish: Wish| match wish.network.is_empty() {
        true => Wish { network: bridge.clone(), ..wish },
        false => wish,
    };
    let wishes = wishes.into_iter().map(named).collect();
    let attached = means.supplies.networks.attach(of, wishes).await;
    let attached = attached.map_err(|error| format!("cannot join the container's networks: {error}"))?;
    Ok(Joined { attached, of: of.to_string() })
}

fn of_executor(executor: &ExecutorRecord) -> Result<NetworkWish, String> {
    let info = v1::ExecutorInfo::decode(executor.info.as_bytes()).map_err(|error| error.to_string())?;
    wish("executor.container", info.container.as_ref())
}

fn wish(field: &str, container: Option<&v1::ContainerInfo>) -> Result<NetworkWish, String> {
    let wish = container.map(|container| network_of(field, container)).transpose();
    Ok(wish.map_err(|refusal| refusal.message)?.unwrap_or_default())
}

impl Joined {
    /// Puts a container into the networks, under the names that it has there.
    ///
    /// # Errors
    /// The names could not be written.
    pub(crate) fn give(&self, means: &Means, spec: &mut ContainerSpec) -> std::io::Result<()> {
        let of = NamespaceOf::Path(self.attached.namespace.clone());
        spec.joined.push(JoinedNamespace { kind: NamespaceKind::Network, of });
        means.supplies.names.give(spec, &self.attached, &self.of)
    }
}

/// What those know names by that are in the container of others, which has joined networks.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) attached: Arc<Attached>,
    /// The host name of that container.
    pub(crate) hostname: String,
}

impl Named {
    /// Gives a container the names of the one that it is in, whose host name it has anyway.
    ///
    /// # Errors
    /// The names could not be written.
    pub(crate) fn give(&self, means: &Means, spec: &mut ContainerSpec) -> std::io::Result<()> {
        means.supplies.names.give(spec, &self.attached, &self.hostname)?;
        spec.hostname = None;
        Ok(())
    }
}

/// Takes a container that has ended out of its networks. One that is in none has left at once.
pub(crate) async fn leave(networks: &Networks, container: &str) {
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS {
        match networks.detach(container).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(container_id = container, %error, attempt, "a container does not leave its networks")
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    tracing::error!(container_id = container, "the container's networks stay until the agent is restarted");
}

/// Takes out of their networks all containers but these, which are there, and removes what else nobody owns.
pub(crate) async fn leave_all_but(networks: &Networks, names: &NameFiles, known: &[String]) {
    for container in networks.orphans(known) {
        tracing::info!(container_id = container, "leaving the networks of a container that is gone");
        leave(networks, &container).await;
    }
    let (networks, names, known) = (networks.clone(), names.clone(), known.to_vec());
    let swept = tokio::task::spawn_blocking(move || {
        names.retain(&known);
        networks.sweep()
    });
    if let Ok(Err(error)) = swept.await {
        tracing::error!(%error, "networks of before stay");
    }
}
