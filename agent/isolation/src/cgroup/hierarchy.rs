//! Which cgroup hierarchies this machine has, and where. Nothing is assumed: v1 controllers may be mounted together or
//! apart, v2 may carry all controllers, some, or none beside v1.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::mountinfo::{self, Mount};
use crate::{Context, IsolationError};

/// The v1 hierarchies we use, if mounted. `name=systemd` because a service manager kills by it.
const V1_USED: [&str; 11] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "name=systemd",
    "net_cls",
    "pids",
];

/// Where the cgroup hierarchies of this machine are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchies {
    /// Mount point of each v1 controller we use; two controllers mounted together share one path.
    pub v1: BTreeMap<String, PathBuf>,
    /// The v2 tree, if mounted, be it without controllers.
    pub v2: Option<Unified>,
}

/// The v2 tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unified {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The controllers that are v2's on this machine.
    pub controllers: Vec<String>,
}

impl Hierarchies {
    /// Looks at `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// When `/proc` is not readable, or no hierarchy limits cpu or memory; the error names which.
    pub fn discover() -> Result<Self, IsolationError> {
        let path = "/proc/self/mountinfo";
        let text = fs::read_to_string(path).context("read", path)?;
        let found = Self::from_mounts(&mountinfo::parse(&text));
        for controller in ["cpu", "memory"] {
            if !found.has(controller) {
                return Err(IsolationError::invalid(
                    "find the cgroup controller",
                    controller,
                    "it is in no mounted hierarchy; mount cgroup2 on /sys/fs/cgroup, or the v1 controller",
                ));
            }
        }
        Ok(found)
    }

    /// What these mounts amount to. The first mount of a hierarchy that shows all of it wins.
    pub fn from_mounts(mounts: &[Mount]) -> Self {
        let mut found = Self::default();
        let (whole, partial): (Vec<&Mount>, Vec<&Mount>) =
            mounts.iter().partition(|mount| mount.root.as_os_str() == "/");
        for mount in whole.into_iter().chain(partial) {
            match mount.file_system.as_str() {
                "cgroup" => found.add_v1(mount),
                "cgroup2" if found.v2.is_none() => found.v2 = Some(Unified::at(mount.mount_point.clone())),
                _ => {}
            }
        }
        found
    }

    fn add_v1(&mut self, mount: &Mount) {
        for option in &mount.super_options {
            if V1_USED.contains(&option.as_str()) {
                self.v1.entry(option.clone()).or_insert_with(|| mount.mount_point.clone());
            }
        }
    }

    /// Whether the controller is available in either version.
    pub fn has(&self, controller: &str) -> bool {
        self.v1.contains_key(controller) || self.v2.as_ref().is_some_and(|tree| tree.has(controller))
    }

    /// The mount points of all v1 hierarchies, each once.
    pub(super) fn v1_mount_points(&self) -> Vec<&PathBuf> {
        let mut points: Vec<_> = self.v1.values().collect();
        points.sort_unstable();
        points.dedup();
        points
    }
}

impl Unified {
    /// The v2 tree at this mount point; its controllers are read from it.
    pub fn at(mount_point: PathBuf) -> Self {
        let controllers = fs::read_to_string(mount_point.join("cgroup.controllers")).unwrap_or_default();
        Self { mount_point, controllers: controllers.split_whitespace().map(str::to_owned).collect() }
    }

    /// Whether v2 has this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_with_controllers_apart() {
        let text = "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu\n\
                    33 31 0:30 / /cg/cpuacct rw - cgroup cgroup rw,cpuacct\n\
                    34 31 0:31 / /cg/memory rw - cgroup cgroup rw,memory\n\
                    35 31 0:32 / /cg/blkio rw - cgroup cgroup rw,blkio\n\
                    40 31 0:37 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                    41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::from_mounts(&mountinfo::parse(text));
        assert_eq!(found.v1.len(), 5);
        assert_eq!(found.v1["name=systemd"], PathBuf::from("/cg/systemd"));
        assert!(found.has("cpu") && found.has("memory") && !found.has("pids"));
        assert_eq!(found.v2.as_ref().map(|tree| tree.controllers.len()), Some(0));
    }

    #[test]
    fn controllers_mounted_together_are_one_hierarchy() {
        let text = "32 31 0:29 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        let found = Hierarchies::from_mounts(&mountinfo::parse(text));
        assert_eq!(found.v1.len(), 2);
        assert_eq!(found.v1_mount_points().len(), 1);
    }

    #[test]
    fn pure_v2_reads_its_controllers() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        let tree = Unified::at(dir.path().to_owned());
        assert!(tree.has("cpu") && tree.has("pids") && !tree.has("cpuacct"));
    }
}
