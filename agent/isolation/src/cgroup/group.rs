//! One container's group: a directory in every hierarchy that it needs, and its controllers.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::{Context, IsolationError};

use super::file::write;
use super::kill::{kill_v1, kill_v2, processes};
use super::remove::remove;
use super::{
    Controller, CpuV1, CpuV2, Cpuset, DeviceRule, DiskTraffic, Hierarchies, HugePages, IoV1, IoV2, Limits,
    MemoryV1, MemoryV2, NetworkClass, OomReport, OomWatch, Pids, Pressure, PressureLevels, Quota, Statistics,
    Target, devices, disk_traffic, freeze, pressure,
};

/// What only some containers need a group for.
const ON_REQUEST: [&str; 4] = ["blkio", "cpuset", "hugetlb", "net_cls"];
/// What v2 does better, where there is a v2 tree beside v1.
const V2_DOES: [&str; 2] = ["cpuacct", "freezer"];

/// A container's group in all hierarchies. Making this value touches nothing.
pub struct Group {
    v1: Vec<InV1>,
    v2: Option<PathBuf>,
    freezer: Option<PathBuf>,
    memory_v1: Option<PathBuf>,
    devices_v1: Option<PathBuf>,
    blkio_v1: Option<PathBuf>,
    io_v2: Option<PathBuf>,
    controllers: Vec<Box<dyn Controller>>,
}

/// The directory in one v1 hierarchy.
struct InV1 {
    directory: PathBuf,
    /// Whether every container has it.
    always: bool,
    /// What else it is made for.
    on_request: Vec<&'static str>,
}

impl InV1 {
    fn of(hierarchies: &Hierarchies, path: &Path) -> Vec<Self> {
        let in_hierarchy = |point: &PathBuf| {
            let here = |name: &str| hierarchies.v1.get(name) == Some(point);
            let skipped = |name: &str| {
                ON_REQUEST.contains(&name) || (hierarchies.v2.is_some() && V2_DOES.contains(&name))
            };
            Self {
                directory: point.join(path),
                always: hierarchies.v1.keys().any(|name| here(name) && !skipped(name)),
                on_request: ON_REQUEST.into_iter().filter(|name| here(name)).collect(),
            }
        };
        hierarchies.v1_mount_points().into_iter().map(in_hierarchy).collect()
    }
}

impl Group {
    pub(super) fn new(hierarchies: &Hierarchies, path: &Path) -> Self {
        let v1 = |controller: &str| hierarchies.v1.get(controller).map(|point| point.join(path));
        let unified = hierarchies.v2.as_ref().map(|tree| tree.mount_point.join(path));
        let v2 = |controller: &str| {
            let tree = hierarchies.v2.as_ref().filter(|tree| tree.has(controller))?;
            Some(tree.mount_point.join(path))
        };
        let mut controllers: Vec<Box<dyn Controller>> = Vec::new();
        if let Some(cpu) = v1("cpu") {
            controllers.push(Box::new(CpuV1 { cpu, cpuacct: v1("cpuacct"), unified: unified.clone() }));
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
        if let Some(directory) = v1("blkio") {
            controllers.push(Box::new(IoV1 { directory }));
        } else if let Some(directory) = v2("io") {
            controllers.push(Box::new(IoV2 { directory }));
        }
        if let Some(directory) = v1("cpuset") {
            controllers.push(Box::new(Cpuset { directory, v1: true }));
        } else if let Some(directory) = v2("cpuset") {
            controllers.push(Box::new(Cpuset { directory, v1: false }));
        }
        if let Some(directory) = v1("hugetlb") {
            controllers.push(Box::new(HugePages { directory, limit: "limit_in_bytes" }));
        } else if let Some(directory) = v2("hugetlb") {
            controllers.push(Box::new(HugePages { directory, limit: "max" }));
        }
        if let Some(directory) = v1("net_cls") {
            controllers.push(Box::new(NetworkClass { directory }));
        }
        Self {
            v1: InV1::of(hierarchies, path),
            v2: unified,
            freezer: v1("freezer"),
            memory_v1: v1("memory"),
            devices_v1: v1("devices"),
            blkio_v1: v1("blkio"),
            io_v2: v2("io"),
            controllers,
        }
    }

    /// Creates the directories that a container with these limits needs; those that exist are kept.
    ///
    /// # Errors
    /// Names the directory.
    pub fn create(&self, limits: &Limits) -> Result<(), IsolationError> {
        let needed = |group: &&InV1| group.always || group.on_request.iter().any(|name| limits.needs(name));
        let v1 = self.v1.iter().filter(needed).map(|group| &group.directory);
        for directory in v1.chain(&self.v2) {
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).context("create the cgroup", directory.display());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the limits of a group that has just been made, before the first process joins; all but [`Group::quota`].
    ///
    /// # Errors
    /// As [`Group::apply`].
    pub fn begin(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.controllers.iter().try_for_each(|controller| controller.apply(limits, Target::New))
    }

    /// What limits the time of processors, to be set when what its processes do is the container's own. `None`: nothing does.
    ///
    /// # Errors
    /// Names the file.
    pub fn quota(&self, limits: &Limits) -> Result<Option<Quota>, IsolationError> {
        for controller in &self.controllers {
            if let Some(quota) = controller.quota(limits)? {
                return Ok(Some(quota));
            }
        }
        Ok(None)
    }

    /// Lets its processes use the devices that every container has, these, and no other. To be called once.
    ///
    /// # Errors
    /// Names the rule or the group that the kernel refused.
    pub fn restrict_devices(&self, more: &[DeviceRule]) -> Result<(), IsolationError> {
        match (&self.devices_v1, &self.v2) {
            (Some(directory), _) => devices::restrict_v1(directory, more),
            (None, Some(directory)) => devices::restrict_v2(directory, more),
            (None, None) => Ok(()),
        }
    }

    /// Stops all its processes where they are, or lets them go on. Waits up to half a second for those in the kernel.
    ///
    /// # Errors
    /// Names the file; and when the machine has neither v2 nor the v1 freezer.
    pub fn freeze(&self, frozen: bool) -> Result<(), IsolationError> {
        match (&self.v2, &self.freezer) {
            (Some(directory), _) => freeze::v2(directory, frozen),
            (None, Some(directory)) => freeze::v1(directory, frozen),
            (None, None) => Err(self.without_v2_and_freezer("freeze the group")),
        }
    }

    /// What its processes wait for. Nothing on a machine without v2.
    ///
    /// # Errors
    /// Names the file that could not be read.
    pub fn pressure(&self) -> Result<Pressure, IsolationError> {
        self.v2.as_deref().map_or(Ok(Pressure::default()), pressure::of_group)
    }

    /// Changes the limits of a group; what these do not name is without limit then. Processors, disks, huge pages and network
    /// classes can be limited on v1 only in a group that began so.
    ///
    /// # Errors
    /// Names the value and the file the kernel refused. Limits written before that stay.
    pub fn apply(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.controllers.iter().try_for_each(|controller| controller.apply(limits, Target::Running))
    }

    /// The v1 `tasks` files, open for writing. A single-threaded process that writes `0` to each has joined, without the
    /// milliseconds that a write to `cgroup.procs` takes.
    ///
    /// # Errors
    /// Names the file.
    pub fn open_tasks(&self) -> Result<Vec<File>, IsolationError> {
        let mut files = Vec::new();
        for group in &self.v1 {
            let path = group.directory.join("tasks");
            match OpenOptions::new().write(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !group.always => {}
                result => files.push(result.context("open", path.display())?),
            }
        }
        Ok(files)
    }

    /// Moves this process, which must have one thread, into the group. On v2 that waits for every processor, milliseconds on a
    /// quiet machine, where being cloned into it waits for none.
    ///
    /// # Errors
    /// Names the file.
    pub fn enter(&self) -> Result<(), IsolationError> {
        for mut file in self.open_tasks()? {
            file.write_all(b"0").context("enter", "a cgroup by its tasks file")?;
        }
        self.v2.as_deref().map_or(Ok(()), |directory| write(directory, "cgroup.procs", "0"))
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

    /// Has the kernel count from now on how often memory is short. `None` where only v2 has memory: see [`Self::pressure`].
    ///
    /// # Errors
    /// When the group is gone or the kernel has no `memory.pressure_level`.
    pub fn watch_pressure_levels(&self) -> Result<Option<PressureLevels>, IsolationError> {
        self.memory_v1.as_deref().map(PressureLevels::v1).transpose()
    }

    /// What the group uses. All zero when it is gone.
    ///
    /// # Errors
    /// Names the file that could not be read.
    pub fn statistics(&self) -> Result<Statistics, IsolationError> {
        let mut statistics = Statistics::default();
        self.controllers.iter().try_for_each(|controller| controller.read(&mut statistics))?;
        Ok(statistics)
    }

    /// The same, with what is only of interest once all is over.
    ///
    /// # Errors
    /// As [`Group::statistics`].
    pub fn last_statistics(&self) -> Result<Statistics, IsolationError> {
        let mut statistics = self.statistics()?;
        self.controllers.iter().try_for_each(|controller| controller.read_last(&mut statistics))?;
        Ok(statistics)
    }

    /// What went over each disk. On v1 that is counted only for a group with limits on disks.
    ///
    /// # Errors
    /// Names the file that could not be read.
    pub fn disk_traffic(&self) -> Result<Vec<DiskTraffic>, IsolationError> {
        match (&self.blkio_v1, &self.io_v2) {
            (Some(directory), _) => disk_traffic::v1(directory),
            (None, Some(directory)) => disk_traffic::v2(directory),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The report to give if the kernel killed anything here for want of memory.
    ///
    /// # Errors
    /// Names the file that could not be read.
    pub fn oom(&self) -> Result<Option<OomReport>, IsolationError> {
        let seen = self.last_statistics()?;
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
        let always = self.v1.iter().find(|group| group.always).map(|group| &group.directory);
        self.v2.as_ref().or(always).map_or(Ok(Vec::new()), |directory| processes(directory))
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
            (None, None) => Err(self.without_v2_and_freezer("kill the group")),
        }
    }

    fn without_v2_and_freezer(&self, operation: &'static str) -> IsolationError {
        let name = self.v1.first().map_or(String::new(), |group| group.directory.display().to_string());
        let reason = "this machine has neither cgroup v2 nor the v1 freezer; mount one of them";
        IsolationError::invalid(operation, name, reason)
    }

    /// Removes the directories, with pauses while the kernel still lets go of killed processes. Idempotent.
    ///
    /// # Errors
    /// Names the group that stayed busy for five seconds.
    pub fn remove(&self) -> Result<(), IsolationError> {
        self.directories().try_for_each(|directory| remove(directory))
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().map(|group| &group.directory).chain(&self.v2)
    }
}

/// A v2 group below a container's, for what is to be killed together; nothing where there is no v2.
#[derive(Debug)]
pub struct SubGroup(Option<PathBuf>);

impl Group {
    /// Makes a group below this one. It goes with this one at the latest.
    ///
    /// # Errors
    /// Names the directory.
    pub fn create_below(&self, name: &str) -> Result<SubGroup, IsolationError> {
        let Some(directory) = self.v2.as_ref().map(|above| above.join(name)) else {
            return Ok(SubGroup(None));
        };
        fs::create_dir(&directory).context("create the cgroup", directory.display())?;
        Ok(SubGroup(Some(directory)))
    }
}

impl SubGroup {
    /// The directory, to be cloned into.
    ///
    /// # Errors
    /// Names the directory.
    pub fn open(&self) -> Result<Option<OwnedFd>, IsolationError> {
        let Some(directory) = &self.0 else { return Ok(None) };
        let file = File::open(directory).context("open", directory.display())?;
        Ok(Some(file.into()))
    }

    /// SIGKILLs every process in it. Does not wait for their end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn kill(&self) -> Result<(), IsolationError> {
        self.0.as_deref().map_or(Ok(()), kill_v2)
    }

    /// Removes it if the kernel has let go of its last process; if not, it goes with the group above.
    pub fn remove_if_empty(&self) {
        let _busy = self.0.as_ref().map(fs::remove_dir);
    }
}
