//! Ports of the machine that containers on its network listen on, compared every so often with those they were given.
//! Source: Mesos' `network/ports`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Event, Limitation, Runner, TaskView, View};
use chapada_isolation::listeners::Listeners;
use chapada_model::{ContainerId, Range, Ranges, Reason, Resource, Resources};
use chapada_wire::v1;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::wishes::Ports;
use super::{is_alone, of};
use crate::config::AgentConfig;
use crate::containers::Means;
use crate::error::AgentError;
use crate::shell::Input;

/// How ports are watched.
#[derive(Clone, Debug)]
pub(crate) struct Watching {
    /// How often.
    pub(crate) interval: Duration,
    /// Whether a port too many ends a container; otherwise it is said in the log.
    pub(crate) enforce: bool,
    /// The only ports that are looked at; all when this is absent.
    pub(crate) among: Option<Ranges>,
}

impl Watching {
    /// As an operator wants it.
    ///
    /// # Errors
    /// Names the flag that makes no sense.
    pub(crate) fn of(config: &AgentConfig, resources: &Resources) -> Result<Self, AgentError> {
        let among = match &config.container_ports_isolated_range {
            None if config.check_agent_port_range_only => Some(ranges(resources)),
            None => None,
            Some(text) => {
                let named = format!("ports:{text}").parse::<Resources>();
                let named =
                    named.map_err(|error| AgentError::flag("container-ports-isolated-range", error))?;
                Some(ranges(&named))
            }
        };
        let interval = config.container_ports_watch_interval;
        Ok(Self { interval, enforce: config.enforce_container_ports, among })
    }
}

fn ranges(resources: &Resources) -> Ranges {
    Ranges::new(resources.ports().map(|port| Range { begin: port, end: port }))
}

/// Watches until `stop`.
pub(crate) async fn watch(
    means: Arc<Means>,
    watching: Watching,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let mut ticks = interval(watching.interval.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = HashSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (reply, answer) = oneshot::channel();
        if inputs.send(Input::View(reply)).await.is_err() {
            return;
        }
        let Ok(view) = answer.await else { return };
        let (shared, among) = (means.clone(), watching.among.clone());
        let found = match spawn_blocking(move || look(&shared, &view, among.as_ref())).await {
            Ok(found) => found,
            Err(error) => return tracing::error!(%error, "looking for ports failed"),
        };
        said.retain(|known| found.contains(known));
        for excess in found {
            report(&means, &watching, &mut said, excess).await;
        }
    }
}

/// A container, and ports on which it listens although they are not its.
type Excess = (ContainerId, Vec<u16>);

async fn report(means: &Means, watching: &Watching, said: &mut HashSet<Excess>, excess: Excess) {
    let (container, ports) = excess.clone();
    let taken = ports.iter().map(|port| Range { begin: u64::from(*port), end: u64::from(*port) });
    let ranges = Ranges::new(taken);
    let message = format!("Container {container} is listening on unallocated port(s): {ranges}");
    if watching.enforce {
        let resources = Resources::from(vec![Resource::ranges("ports", ranges)]);
        let limitation = Box::new(Limitation { reason: Reason::ContainerLimitation, message, resources });
        // The loop is gone only when the agent stops.
        drop(means.events.send(Event::ContainerLimited { container, limitation }).await);
    } else if said.insert(excess) {
        tracing::warn!(container_id = %container, message, "it would end with --enforce-container-ports");
    }
}

/// Containers that listen on ports which are not theirs. Blocks.
fn look(means: &Means, view: &View, among: Option<&Ranges>) -> Vec<Excess> {
    let tenants = tenants(means, view);
    if tenants.is_empty() {
        return Vec::new();
    }
    let listeners = match Listeners::read() {
        Ok(listeners) if listeners.is_empty() => return Vec::new(),
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(%error, "cannot find out who listens");
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for (container, given) in tenants {
        let group = means.launcher.cgroups().group(container.as_str());
        // One that has ended meanwhile has no processes.
        let Ok(processes) = group.processes() else { continue };
        let is_watched = |port: &u16| {
            let own = Range { begin: u64::from(*port), end: u64::from(*port) };
            among.is_none_or(|among| among.contains(&Ranges::new([own])))
        };
        let ports = listeners.of(&processes).into_iter().filter(|port| !given.has(*port) && is_watched(port));
        let ports: Vec<u16> = ports.collect();
        if !ports.is_empty() {
            found.push((container, ports));
        }
    }
    found
}

/// Containers with processes on the machine's network, with the ports they were given: those of an executor are its tasks',
/// and those of a pod are all its tasks'.
fn tenants(means: &Means, view: &View) -> BTreeMap<ContainerId, Ports> {
    let networks = &means.supplies.networks;
    let lives = |task: &&TaskView| task.phase.is_live() && of(networks, &task.record).is_none();
    let tasks: Vec<&TaskView> =
        view.tasks.iter().filter(lives).filter(|task| !is_alone(&task.record)).collect();
    let mut of_executors: BTreeMap<&ContainerId, Ports> = BTreeMap::new();
    for executor in &view.executors {
        let info = v1::ExecutorInfo::decode(executor.record.info.as_bytes()).unwrap_or_default();
        of_executors.insert(&executor.record.container, Ports::of(&info.resources));
    }
    let mut own = BTreeMap::new();
    for task in &tasks {
        let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
        let ports = Ports::of(&info.resources);
        match executor_of(task) {
            None => drop(own.insert(task.record.container.clone(), ports)),
            Some(executor) => of_executors.entry(executor).or_default().add(ports),
        }
    }
    for executor in view.executors.iter().filter(|executor| !executor.record.is_pod()) {
        let container = &executor.record.container;
        own.insert(container.clone(), of_executors.get(container).cloned().unwrap_or_default());
    }
    for task in tasks {
        if let Runner::Pod { parent, .. } = &task.record.runner {
            own.insert(task.record.container.clone(), of_executors.get(parent).cloned().unwrap_or_default());
        }
    }
    own
}

fn executor_of(task: &TaskView) -> Option<&ContainerId> {
    match &task.record.runner {
        Runner::Command => None,
        Runner::Custom { .. } => Some(&task.record.container),
        Runner::Pod { parent, .. } => Some(parent),
    }
}
