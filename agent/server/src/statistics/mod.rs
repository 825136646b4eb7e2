//! What runs on this agent and what it uses: read from cgroups, network namespaces, and what was measured of the disks.

mod network;
mod resource;
mod running;

pub(crate) use running::Running;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use chapada_agent_core::View;
use chapada_isolation::cgroup::{DiskTraffic, Group};
use chapada_model::{ContainerId, Resources};
use chapada_shim::Statistics;
use chapada_wire::v1;
use tokio::task::spawn_blocking;

use crate::containers::Means;
use crate::networks;
use network::OwnNetwork;

/// A container and what it uses.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) running: Running,
    pub(crate) status: v1::ContainerStatus,
    /// Nothing of a container that ended in this moment.
    pub(crate) used: Option<v1::ResourceStatistics>,
}

/// All that runs. Files are read on as many threads as there are processors, for a thousand containers have ten thousand.
pub(crate) async fn list(means: &Arc<Means>, view: &View) -> Vec<Listed> {
    let mut running = Running::all(view);
    let threads = available_parallelism().map_or(1, NonZero::get).min(running.len().max(1));
    let share = running.len().div_ceil(threads).max(1);
    let mut readers = Vec::new();
    while !running.is_empty() {
        let part = running.split_off(running.len().saturating_sub(share));
        let means = means.clone();
        readers
            .push(spawn_blocking(move || part.into_iter().map(|one| read(&means, one)).collect::<Vec<_>>()));
    }
    let mut found = Vec::new();
    for reader in readers.into_iter().rev() {
        match reader.await {
            Ok(part) => found.extend(part),
            Err(error) => tracing::error!(%error, "reading what containers use failed"),
        }
    }
    let by_container: HashMap<ContainerId, Reading> = found
        .iter()
        .filter_map(|(running, reading)| Some((running.container.clone(), reading.clone()?)))
        .collect();
    found.into_iter().map(|(running, reading)| show(means, running, reading, &by_container)).collect()
}

/// What a container of no task uses, which asked for this. Blocks.
pub(crate) fn of_group(group: &Group, pid: u32, asked: &[Resources]) -> Option<v1::ResourceStatistics> {
    let reading = Reading {
        group: group.statistics().ok()?,
        disks: group.disk_traffic().unwrap_or_default(),
        network: OwnNetwork::of_process(pid),
    };
    Some(resource::statistics(&reading, asked, &Default::default()))
}

/// What the kernel says of a container.
#[derive(Clone, Debug, Default)]
struct Reading {
    group: Statistics,
    disks: Vec<DiskTraffic>,
    network: Option<OwnNetwork>,
}

/// Blocks. A pod has nothing of its own.
fn read(means: &Means, running: Running) -> (Running, Option<Reading>) {
    let group = means.launcher.cgroups().group(running.container.as_str());
    let reading = running.pid.and_then(|pid| {
        let statistics = group.statistics();
        let statistics = statistics.inspect_err(
            |error| tracing::debug!(container_id = %running.container, %error, "cannot read what it uses"),
        );
        Some(Reading {
            group: statistics.ok()?,
            disks: group.disk_traffic().unwrap_or_default(),
            network: OwnNetwork::of_process(pid),
        })
    });
    (running, reading)
}

fn show(
    means: &Means,
    running: Running,
    reading: Option<Reading>,
    others: &HashMap<ContainerId, Reading>,
) -> Listed {
    let reading = reading.or_else(|| {
        let members = running.members.iter().filter_map(|member| others.get(member));
        members.cloned().reduce(resource::together)
    });
    let disk = means.supplies.disk_figures.of_container(&running.container);
    let status = v1::ContainerStatus {
        container_id: Some(running.container_id()),
        executor_pid: running.pid,
        network_infos: networks::infos_of(
            &means.supplies.networks,
            &running.container,
            running.parent.as_ref(),
        ),
        cgroup_info: means.supplies.network_classes.shown(running.container.as_str()),
    };
    let used = reading.map(|reading| resource::statistics(&reading, &running.asked, &disk));
    Listed { running, status, used }
}
