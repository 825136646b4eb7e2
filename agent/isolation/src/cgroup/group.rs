//! One container's group: a directory in every hierarchy, and its controllers.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::{Context, IsolationError};

use super::file::read;
use super::kill::{kill_v1, kill_v2, processes};
use super::remove::remove;
use super::{
    Controller, CpuV1, CpuV2, Hierarchies, Limits, MemoryV1, MemoryV2, OomReport, OomWatch, Pids, Statistics,
};

/// A container's group in all hierarchies. Making this value touches nothing.
pub struct Group {
    v1: Vec<PathBuf>,
    v2: Option<PathBuf>,
    freezer: Option<PathBuf>,
    memory_v1: Option<PathBuf>,
    controllers: Vec<Box<dyn Controller>>,
}

impl Group {
    pub(super) fn new(hierarchies: &Hierarchies, path: &Path) -> Self {
        let v1 = |controller: &str| hierarchies.v1.get(controller).map(|point| point.join(path));
        let v2_directory = hierarchies.v2.as_ref().map(|tree| tree.mount_point.join(path));
        let v2 = |controller: &str| {
            let tree = hierarchies.v2.as_ref().filter(|tree| tree.has(controller))?;
            Some(tree.mount_point.join(path))
        };
        let mut controllers: Vec<Box<dyn Controller>> = Vec::new();
        if let Some(cpu) = v1("cpu") {
            controllers.push(Box::new(CpuV1 { cpu, cpuacct: v1("cpuacct") }));
        } else if let Some(directory) = v2("cpu") {
            controllers.push(Box::new(CpuV2 { directory }));
        }
        if let Some(directory) = v1("memory") {
            controllers.push(Box::new(MemoryV1 { directory }));
        } else if let Some(directory) = v2("memory") {
            controllers.push(Box::new(MemoryV2 { directory }));
        }
        if let Some(directory) = v1("pids").or_else(|| v2("pids")) {
            controllers.push(Box::new(Pids { directory }));
        }
        Self {
            v1: hierarchies.v1_mount_points().into_iter().map(|point| point.join(path)).collect(),
            v2: v2_directory,
            freezer: v1("freezer"),
            memory_v1: v1("memory"),
            controllers,
        }
    }

    /// Creates the directories; those that exist are kept.
    ///
    /// # Errors
    /// Names the directory.
    pub fn create(&self) -> Result<(), IsolationError> {
        for directory in self.directories() {
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).context("create the cgroup", directory.display());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the limits; before the first process joins, or to change them later.
    ///
    /// # Errors
    /// Names the value and the file the kernel refused. Limits written before that stay.
    pub fn apply(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.controllers.iter().try_for_each(|controller| controller.apply(limits))
    }

    /// The v1 `tasks` files, open for writing. A single-threaded process that writes `0` to each has joined, without the
    /// milliseconds that a write to `cgroup.procs` takes.
    ///
    /// # Errors
    /// Names the file.
    pub fn open_tasks(&self) -> Result<Vec<File>, IsolationError> {
        let open = |directory: &PathBuf| {
            let path = directory.join("tasks");
            OpenOptions::new().write(true).open(&path).context("open", path.display())
        };
        self.v1.iter().map(open).collect()
    }

    /// The v2 directory, to be cloned into. `None` on a machine without v2.
    ///
    /// # Errors
    /// Names the directory.
    pub fn open_v2(&self) -> Result<Option<OwnedFd>, IsolationError> {
        let Some(directory) = &self.v2 else { return Ok(None) };
        let file = File::open(directory).context("open", directory.display())?;
        Ok(Some(file.into()))
    }

    /// Watches for the kernel's first kill for want of memory. `None` where the kernel kills the group as one (v2).
    ///
    /// # Errors
    /// As [`OomWatch::v1`].
    pub fn watch_oom(&self) -> Result<Option<OomWatch>, IsolationError> {
        self.memory_v1.as_deref().map(OomWatch::v1).transpose()
    }

    /// What the group has used. All zero when it is gone.
    ///
    /// # Errors
    /// Names the file that could not be read.
    pub fn statistics(&self) -> Result<Statistics, IsolationError> {
        let mut statistics = Statistics::default();
        self.controllers.iter().try_for_each(|controller| controller.read(&mut statistics))?;
        Ok(statistics)
    }

    /// The report to give if the kernel killed anything here for want of memory.
    ///
    /// # Errors
    /// Names the file that could not be read.
    pub fn oom(&self) -> Result<Option<OomReport>, IsolationError> {
        let seen = self.statistics()?;
        Ok((seen.oom_kills > 0).then_some(OomReport {
            limit_bytes: seen.memory_limit_bytes,
            peak_bytes: seen.memory_peak_bytes,
            kills: seen.oom_kills,
        }))
    }

    /// The processes in the group, as seen from this process's pid namespace.
    ///
    /// # Errors
    /// Names the file that could not be read.
    pub fn processes(&self) -> Result<Vec<i32>, IsolationError> {
        self.directories().next().map_or(Ok(Vec::new()), |directory| processes(directory))
    }

    /// Whether the group exists in any hierarchy.
    pub fn exists(&self) -> bool {
        self.directories().any(|directory| directory.exists())
    }

    /// SIGKILLs every process of the group, whatever session or parent it has. Does not wait for their end.
    ///
    /// # Errors
    /// Names the file the kernel refused; and when the machine has neither v2 nor a v1 freezer.
    pub fn kill(&self) -> Result<(), IsolationError> {
        match (&self.v2, &self.freezer) {
            (Some(directory), _) => kill_v2(directory),
            (None, Some(freezer)) => kill_v1(freezer),
            (None, None) if !self.exists() => Ok(()),
            (None, None) => Err(IsolationError::invalid(
                "kill the group",
                self.v1.first().map_or(String::new(), |directory| directory.display().to_string()),
                "this machine has neither cgroup v2 nor the v1 freezer; mount one of them",
            )),
        }
    }

    /// Removes the directories, with pauses while the kernel still lets go of killed processes. Idempotent.
    ///
    /// # Errors
    /// Names the group that stayed busy for five seconds.
    pub fn remove(&self) -> Result<(), IsolationError> {
        for directory in self.directories() {
            if read(directory, "cgroup.procs")?.is_some() {
                remove(directory)?;
            }
        }
        Ok(())
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().chain(&self.v2)
    }
}
