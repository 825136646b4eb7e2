//! What runs on this agent and what it uses: read from cgroups, network namespaces, and what was measured of the disks.

mod network;
mod pressure;
mod readings;
mod resource;
mod running;

pub(crate) use pressure::{Watch, Watches};
pub(crate) use readings::Readings;
pub(crate) use running::Running;

use std::sync::Arc;

use chapada_agent_core::View;
use chapada_isolation::cgroup::{DiskTraffic, Group, Pressure, PressureCounts};
use chapada_model::{ContainerId, Resources, Wall};
use chapada_shim::Statistics;
use chapada_wire::v1;

use crate::containers::Means;
use crate::{clock, networks};
use network::OwnNetwork;
use readings::Figures;

/// A container and what it uses.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) running: Running,
    pub(crate) status: v1::ContainerStatus,
    /// Nothing of a container that ended in this moment.
    pub(crate) used: Option<v1::ResourceStatistics>,
}

/// All that runs, and what it used at most two seconds ago; the time of reading stands in it.
pub(crate) async fn list(means: &Arc<Means>, view: &View) -> Vec<Listed> {
    let running = Running::all(view);
    let figures = readings::of(means, &running).await;
    running.into_iter().map(|running| show(means, running, &figures)).collect()
}

/// What a container of no task uses, which asked for this. Blocks.
pub(crate) fn of_group(group: &Group, pid: u32, asked: &[Resources]) -> Option<v1::ResourceStatistics> {
    let reading = Reading::now(group, group.statistics().ok()?, pid);
    Some(resource::statistics(&reading, asked, &Default::default()))
}

/// What the kernel says of a container.
#[derive(Clone, Debug, Default)]
struct Reading {
    at: Wall,
    group: Statistics,
    disks: Vec<DiskTraffic>,
    network: Option<OwnNetwork>,
    /// What it waited for.
    waits: Pressure,
    /// How often memory was short.
    shortages: Option<PressureCounts>,
}

impl Reading {
    fn now(group: &Group, statistics: Statistics, pid: u32) -> Self {
        Self {
            at: clock::wall(),
            group: statistics,
            disks: group.disk_traffic().unwrap_or_default(),
            network: OwnNetwork::of_process(pid),
            waits: group.pressure().unwrap_or_default(),
            shortages: None,
        }
    }
}

/// Blocks. `None` for one that has ended.
fn read(means: &Means, container: &ContainerId, pid: u32) -> Option<Reading> {
    let group = means.launcher.cgroups().group(container.as_str());
    let statistics = group
        .statistics()
        .inspect_err(|error| tracing::debug!(container_id = %container, %error, "cannot read what it uses"));
    let shortages = means.pressure_watches.counts(container);
    Some(Reading { shortages, ..Reading::now(&group, statistics.ok()?, pid) })
}

/// A pod has nothing of its own.
fn show(means: &Means, running: Running, figures: &Figures) -> Listed {
    let reading = figures.get(&running.container).map(|reading| Reading::clone(reading)).or_else(|| {
        let members = running.members.iter().filter_map(|member| figures.get(member));
        members.map(|reading| Reading::clone(reading)).reduce(resource::together)
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
