//! Our place in every hierarchy: `<mount>/<parent>/<container>`, and `<mount>/<parent>/shims` for the shims themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError};

use super::file::{is_gone, read, write};
use super::kill::processes;
use super::remove::remove;
use super::{Group, Hierarchies, Limits};

/// The group in which the shims themselves run; no container may have this name.
pub const SHIMS: &str = "shims";

/// The v2 controllers that containers want, as far as the machine has them.
const V2_WANTED: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];

/// What v1 calls a controller of v2.
fn v1_name(name: &str) -> &str {
    if name == "io" { "blkio" } else { name }
}

/// Where the processes go that were in a v2 group which is to have controllers below it.
const LEAF: &str = "chapada-host";

/// Processes may start while others are moved, so it takes more than one round; who still has not finished never will.
const MOVES: u32 = 5;

/// The place of one agent's containers in the cgroup hierarchies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    hierarchies: Hierarchies,
    parent: PathBuf,
}

impl Cgroups {
    /// Finds the hierarchies of this machine. `parent` is a relative path below each mount point, such as
    /// `chapada/<name of the agent>`; nothing is created yet.
    ///
    /// # Errors
    /// As [`Hierarchies::discover`]; and when `parent` is empty, absolute or has `..` in it.
    pub fn discover(parent: impl Into<PathBuf>) -> Result<Self, IsolationError> {
        Self::below(Hierarchies::discover()?, parent)
    }

    /// The place `parent` in these hierarchies; tests give hierarchies of their own.
    ///
    /// # Errors
    /// When `parent` is empty, absolute or has `..` in it.
    pub fn below(hierarchies: Hierarchies, parent: impl Into<PathBuf>) -> Result<Self, IsolationError> {
        let parent = parent.into();
        let plain = parent.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || parent.as_os_str().is_empty() {
            let reason = "it must be a relative path without .., such as chapada/agent";
            return Err(IsolationError::invalid("use the cgroups root", parent.display(), reason));
        }
        Ok(Self { hierarchies, parent })
    }

    /// What this machine has.
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// The path below each mount point.
    pub fn parent(&self) -> &Path {
        &self.parent
    }

    /// Creates our place in every hierarchy, the shims' group, and hands the v2 controllers down. Idempotent.
    ///
    /// # Errors
    /// Names the path; without root the first `mkdir` fails.
    pub fn ensure(&self) -> Result<(), IsolationError> {
        for directory in self.roots() {
            fs::create_dir_all(&directory).context("create the cgroup", directory.display())?;
        }
        self.group(SHIMS).create(&Limits::default())?;
        let Some(tree) = &self.hierarchies.v2 else { return Ok(()) };
        // Few machines have huge pages; where its administrator does not hand them down, nor do we.
        let handed_down = read(&tree.mount_point, "cgroup.subtree_control")?.unwrap_or_default();
        let is_rare = |name: &str| name == "hugetlb" && !handed_down.split_whitespace().any(|it| it == name);
        let wanted = V2_WANTED
            .iter()
            .filter(|name| !is_rare(name))
            .filter(|name| tree.has(name) && !self.hierarchies.v1.contains_key(v1_name(name)));
        let enable: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
        if enable.is_empty() {
            return Ok(());
        }
        let mut directory = tree.mount_point.clone();
        hand_down(&directory, &enable.join(" "))?;
        for part in self.parent.components() {
            directory.push(part);
            hand_down(&directory, &enable.join(" "))?;
        }
        Ok(())
    }

    /// Bounds the memory of all shims together. v2 slows them down beyond it; v1 knows only to kill, so leave room: what many
    /// weigh is in the shim's page.
    ///
    /// # Errors
    /// Names the file; when there is no memory controller or [`Cgroups::ensure`] has not been called.
    pub fn cap_shims(&self, bytes: u64) -> Result<(), IsolationError> {
        let shims = self.parent.join(SHIMS);
        match (self.hierarchies.v1.get("memory"), &self.hierarchies.v2) {
            (Some(point), _) => write(&point.join(shims), "memory.limit_in_bytes", &bytes.to_string()),
            (None, Some(tree)) => write(&tree.mount_point.join(shims), "memory.high", &bytes.to_string()),
            (None, None) => {
                Err(IsolationError::invalid("bound", "the shims", "this machine has no memory controller"))
            }
        }
    }

    /// The group of one container. `name` is a container id, or [`SHIMS`]; nothing is created yet.
    pub fn group(&self, name: &str) -> Group {
        Group::new(&self.hierarchies, &self.parent.join(name))
    }

    /// The group of a container within the groups of these, the outermost first: it is charged to all of them and killed with
    /// each. On v2 it has no limits of its own, for a group that has processes cannot hand its controllers down.
    pub fn group_within(&self, above: &[String], name: &str) -> Group {
        if above.is_empty() {
            return self.group(name);
        }
        let mut hierarchies = self.hierarchies.clone();
        hierarchies.v2.iter_mut().for_each(|tree| tree.controllers.clear());
        let path = above.iter().fold(self.parent.clone(), |path, name| path.join(name));
        Group::new(&hierarchies, &path.join(name))
    }

    /// Whether a group within another can have limits of its own.
    pub fn bounds_within(&self) -> bool {
        ["cpu", "memory"].iter().all(|controller| self.hierarchies.v1.contains_key(*controller))
    }

    /// The names of all container groups that exist in any hierarchy.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub fn containers(&self) -> Result<BTreeSet<String>, IsolationError> {
        let mut names = BTreeSet::new();
        for directory in self.roots() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error).context("list", directory.display()),
            };
            for entry in entries {
                let entry = entry.context("list", directory.display())?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.path().is_dir() && name != SHIMS {
                    names.insert(name);
                }
            }
        }
        Ok(names)
    }

    /// Removes our place from every hierarchy, and each level above it that is empty then. Kills nothing: a group that
    /// still has processes is an error.
    ///
    /// # Errors
    /// Names the group that stayed busy.
    pub fn remove(&self) -> Result<(), IsolationError> {
        for mount_point in self.mount_points() {
            let directory = mount_point.join(&self.parent);
            if read(&directory, "cgroup.procs")?.is_some() {
                remove(&directory)?;
            }
            for above in self.parent.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
                if fs::remove_dir(mount_point.join(above)).is_err() {
                    break; // another agent's groups are there
                }
            }
        }
        Ok(())
    }

    fn mount_points(&self) -> Vec<&PathBuf> {
        let mut points = self.hierarchies.v1_mount_points();
        points.extend(self.hierarchies.v2.as_ref().map(|tree| &tree.mount_point));
        points
    }

    fn roots(&self) -> Vec<PathBuf> {
        self.mount_points().into_iter().map(|point| point.join(&self.parent)).collect()
    }
}

/// Lets the groups below a v2 group have controllers. The kernel allows that only to a group without processes (unless it is
/// the root of the machine), so those it has, such as this agent in its service's or container's group, move to a leaf.
fn hand_down(directory: &Path, controllers: &str) -> Result<(), IsolationError> {
    for _ in 0..MOVES {
        match write(directory, "cgroup.subtree_control", controllers) {
            Err(error) if error.errno() == Some(libc::EBUSY) => move_to_leaf(directory)?,
            result => return result,
        }
    }
    write(directory, "cgroup.subtree_control", controllers)
}

fn move_to_leaf(directory: &Path) -> Result<(), IsolationError> {
    let leaf = directory.join(LEAF);
    fs::create_dir_all(&leaf).context("create the cgroup", leaf.display())?;
    for pid in processes(directory)? {
        match write(&leaf, "cgroup.procs", &pid.to_string()) {
            Err(error) if error.errno() == Some(libc::ESRCH) => {} // it has ended meanwhile
            result => result?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Unified;
    use super::*;

    #[test]
    fn the_parent_stays_below_the_mount_point() {
        for bad in ["", "/abs", "a/../b", "..", "./a"] {
            assert!(Cgroups::below(Hierarchies::default(), bad).is_err(), "{bad}");
        }
        assert!(Cgroups::below(Hierarchies::default(), "chapada/agent-1").is_ok());
    }

    #[test]
    fn containers_are_listed_without_the_shims() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Unified { mount_point: dir.path().to_owned(), controllers: vec![] };
        let cgroups =
            Cgroups::below(Hierarchies { v2: Some(tree), ..Hierarchies::default() }, "chapada/a").unwrap();
        assert!(cgroups.containers().unwrap().is_empty());
        cgroups.ensure().unwrap();
        fs::create_dir(dir.path().join("chapada/a/one")).unwrap();
        assert_eq!(cgroups.containers().unwrap().into_iter().collect::<Vec<_>>(), ["one"]);
    }
}
