//! What is on the disks for running containers, who pays for it, and how much it may be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chapada_agent_core::{ExecutorView, TaskView, View};
use chapada_model::{
    ContainerId, DiskKind, ExecutorDescription, ExecutorKey, Resource, ResourceValue, Resources,
    TaskDescription,
};
use chapada_wire::v1;
use prost::Message;

use super::projects::Projects;
use super::walker::{Measured, Used};
use crate::layout::Layout;
use crate::volumes::{Place, Volumes};

/// Beneath the sandbox of a pod, the sandboxes of its tasks.
pub(super) const MEMBERS: &str = "containers";
const BYTES_PER_MIB: u128 = 1 << 20;
/// Of how many bytes an ext4 has a file. Source: `inode_ratio` in mke2fs.conf(5).
const BYTES_PER_NAME: u64 = 16 << 10;

/// What a charge is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// The sandbox of a container, and what it writes over its image.
    Sandbox(ContainerId),
    /// A persistent volume, by its directory.
    Volume(PathBuf),
}

/// How it is found out how much there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Directories, each without these names right beneath it.
    Trees(Vec<(PathBuf, Vec<&'static str>)>),
    /// All of the file system that is mounted here.
    FileSystem(PathBuf),
}

/// Something that takes room on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) key: Key,
    /// The disk, by the directory that the operator knows it by.
    pub(super) disk: PathBuf,
    pub(super) measure: Measure,
    /// What it may take; empty when nobody said how much.
    pub(super) quota: Resources,
    /// The kernel counts it.
    pub(super) counted: bool,
    /// Whether the agent is to see to that: what has a file system to itself is bounded by it.
    pub(super) bounded: bool,
    /// Containers that end when it is too much: those that can write there.
    pub(super) payers: Vec<ContainerId>,
    /// Containers that have it, also those that can only read.
    pub(super) users: Vec<ContainerId>,
    /// Containers whose sandboxes count for it as well.
    pub(super) members: Vec<ContainerId>,
}

impl Charge {
    pub(super) fn quota_bytes(&self) -> Option<u64> {
        bytes_of(&self.quota)
    }

    /// How many names of files and directories there may be, where each sandbox may have `least`; nothing where there may be as
    /// many bytes as the disk has.
    pub(super) fn quota_names(&self, least: u64) -> Option<u64> {
        let sandboxes = self.members.len() as u64 + 1;
        self.quota_bytes().map(|bytes| names_within(bytes, least.saturating_mul(sandboxes)))
    }

    /// More names than this are too many before all are counted: somebody ends for it.
    pub(super) fn most_names(&self, least: u64) -> Option<u64> {
        self.quota_names(least).filter(|_| self.bounded && !self.payers.is_empty())
    }

    /// What the kernel has counted, if all of it is of one project.
    pub(super) fn count(&mut self, projects: &Projects) -> Option<Measured> {
        let Measure::Trees(trees) = &self.measure else { return None };
        let ((sandbox, skipped), others) = trees.split_first()?;
        let is_whole = skipped.is_empty() && others.iter().all(|(path, _)| projects.has(sandbox, path));
        let used = projects.usage(sandbox, self.quota_bytes()).filter(|_| is_whole)?;
        self.counted = true;
        let names = projects.names(used.inodes);
        Some(Measured { key: self.key.clone(), used: Used { bytes: used.bytes, names } })
    }
}

/// How many names there may be in so many bytes, but never less than `least`. A file without content takes no room that is
/// measured, and as much of what the disk has room for as any other.
pub(super) fn names_within(bytes: u64, least: u64) -> u64 {
    (bytes / BYTES_PER_NAME).max(least)
}

/// A container that is in no books.
pub(super) struct OfNoTask {
    /// That of its shim.
    pub(super) container: ContainerId,
    pub(super) sandbox: PathBuf,
    pub(super) resources: Resources,
}

/// Where things are.
pub(super) struct Ground<'a> {
    pub(super) layout: &'a Layout,
    pub(super) volumes: &'a Volumes,
    /// What a container writes over its image is here, if it has one.
    pub(super) upper: &'a dyn Fn(&str) -> Option<PathBuf>,
}

impl Ground<'_> {
    /// Everything that runs, and what it has.
    pub(super) fn charges(&self, view: &View, of_no_task: &[OfNoTask]) -> Vec<Charge> {
        let bounded = of_no_task.iter().map(|one| {
            self.sandbox(&one.container, one.sandbox.clone(), Vec::new(), plain_disk(&one.resources))
        });
        bounded.filter(|charge| !charge.quota.is_empty()).chain(self.of_the_books(view)).collect()
    }

    fn of_the_books(&self, view: &View) -> Vec<Charge> {
        let Some(agent) = &view.agent else { return Vec::new() };
        let mut volumes = BTreeMap::new();
        let mut of_executors: BTreeMap<ExecutorKey, Charge> = BTreeMap::new();
        let mut charges = Vec::new();
        for executor in &view.executors {
            let (record, resources) = (&executor.record, of_executor(executor));
            let skipped = if record.is_pod() { vec![MEMBERS] } else { Vec::new() };
            let sandbox = self.layout.executor_sandbox(agent, record);
            self.add_volumes(&mut volumes, &resources, &record.container);
            let charge = self.sandbox(&record.container, sandbox, skipped, plain_disk(&resources));
            of_executors.insert(record.key.clone(), charge);
        }
        for task in view.tasks.iter().filter(|task| task.phase.is_live()) {
            let resources = of_task(task);
            let plain = plain_disk(&resources);
            let container = &task.record.container;
            self.add_volumes(&mut volumes, &resources, container);
            // What tasks may take, they may take together, and with their executor.
            if let Some(executor) = task.record.executor_key().and_then(|key| of_executors.get_mut(&key)) {
                executor.quota = executor.quota.iter().chain(&plain).cloned().collect::<Vec<_>>().into();
                if !task.record.is_delegated() {
                    executor.members.push(container.clone());
                }
            }
            if !task.record.is_delegated() {
                let sandbox = self.layout.sandbox(agent, &task.record);
                charges.push(self.sandbox(container, sandbox, Vec::new(), plain));
            }
        }
        charges.extend(of_executors.into_values());
        charges.extend(volumes.into_values());
        charges
    }

    fn sandbox(
        &self,
        container: &ContainerId,
        sandbox: PathBuf,
        skipped: Vec<&'static str>,
        quota: Vec<Resource>,
    ) -> Charge {
        let mut trees = vec![(sandbox, skipped)];
        trees.extend((self.upper)(container.as_str()).map(|upper| (upper, Vec::new())));
        Charge {
            key: Key::Sandbox(container.clone()),
            disk: self.layout.work_dir().to_owned(),
            measure: Measure::Trees(trees),
            quota: quota.into(),
            counted: false,
            bounded: true,
            payers: vec![container.clone()],
            users: vec![container.clone()],
            members: Vec::new(),
        }
    }

    fn add_volumes(
        &self,
        volumes: &mut BTreeMap<PathBuf, Charge>,
        resources: &Resources,
        container: &ContainerId,
    ) {
        for resource in resources {
            let Some(place) = self.volumes.place(resource) else { continue };
            let charge = volumes.entry(place.directory()).or_insert_with(|| of_volume(resource, &place));
            if !charge.users.contains(container) {
                charge.users.push(container.clone());
            }
            let volume = resource.disk.as_ref().and_then(|disk| disk.volume.as_ref());
            if volume.is_some_and(|volume| !volume.read_only) && !charge.payers.contains(container) {
                charge.payers.push(container.clone());
            }
        }
    }
}

fn of_volume(resource: &Resource, place: &Place) -> Charge {
    let source = resource.disk.as_ref().and_then(|disk| disk.source.as_deref());
    let is_mount = source.is_some_and(|source| source.kind == DiskKind::Mount);
    let directory = place.directory();
    Charge {
        key: Key::Volume(directory.clone()),
        disk: place.root.clone(),
        measure: match is_mount {
            true => Measure::FileSystem(directory),
            false => Measure::Trees(vec![(directory, Vec::new())]),
        },
        quota: vec![resource.clone()].into(),
        counted: false,
        bounded: !is_mount,
        payers: Vec::new(),
        users: Vec::new(),
        members: Vec::new(),
    }
}

/// How much a sandbox may take for which this was asked; nothing when nobody said how much.
pub(crate) fn plain_quota(resources: &[Resources]) -> Option<u64> {
    let plain: Vec<Resource> = resources.iter().flat_map(plain_disk).collect();
    bytes_of(&plain.into())
}

fn bytes_of(quota: &Resources) -> Option<u64> {
    let milli = quota.disk().0;
    (milli > 0).then(|| u64::try_from(u128::from(milli) * BYTES_PER_MIB / 1000).unwrap_or(u64::MAX))
}

/// The disk that a sandbox may take: what is neither a volume nor of another disk.
fn plain_disk(resources: &Resources) -> Vec<Resource> {
    let is_plain = |resource: &&Resource| {
        &*resource.name == "disk"
            && resource.disk.is_none()
            && matches!(resource.value, ResourceValue::Scalar(_))
    };
    resources.iter().filter(is_plain).cloned().collect()
}

fn of_task(task: &TaskView) -> Resources {
    let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
    TaskDescription::try_from(&info).map(|task| task.resources).unwrap_or_default()
}

fn of_executor(executor: &ExecutorView) -> Resources {
    let info = v1::ExecutorInfo::decode(executor.record.info.as_bytes()).unwrap_or_default();
    ExecutorDescription::try_from(&info).map(|executor| executor.resources).unwrap_or_default()
}
