//! Project quota for sandboxes, where the disk of the work directory has it: the kernel counts, and refuses what is too much.
//! The projects that are taken are those of the directories that are there, so that nothing need be written down.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chapada_isolation::IsolationError;
use chapada_isolation::project_quota::{Most, ProjectUsage, assign, is_available, limit, project_of, usage};

use super::charges::names_within;
use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::layout::Layout;

/// How much more than it may take a container can take when it is to end for that. Source: Mesos' `disk/xfs`.
const HEADROOM: u64 = 10 << 20;
const HEADROOM_NAMES: u64 = 1000;

/// The projects of an agent.
#[derive(Debug)]
pub(crate) struct Projects {
    range: RangeInclusive<u32>,
    /// Whether who takes too much ends, and does not just see writes fail.
    kill: bool,
    /// How many files a sandbox may have however small its quota is.
    least_names: u64,
    /// By number, the sandbox.
    taken: Mutex<BTreeMap<u32, PathBuf>>,
}

impl Projects {
    /// `None` where the disk has no project quota. Looks at every sandbox there is.
    ///
    /// # Errors
    /// [`AgentError::Flag`] for what is no range.
    pub(crate) fn open(config: &AgentConfig, layout: &Layout) -> Result<Option<Self>, AgentError> {
        let range = range(&config.xfs_project_range).ok_or_else(|| {
            AgentError::flag("xfs-project-range", "write the first and the last project, as [5000-10000]")
        })?;
        if !is_available(layout.work_dir()) {
            return Ok(None);
        }
        let projects = Self {
            range,
            kill: config.xfs_kill_containers,
            least_names: config.container_disk_least_names,
            taken: Mutex::default(),
        };
        projects.find(&layout.agents(), &layout.standalone());
        tracing::info!(taken = projects.taken().len(), "disk quota is the kernel's: project quota");
        Ok(Some(projects))
    }

    /// Makes a sandbox, which is empty, a project that may take so much.
    ///
    /// # Errors
    /// When none is free, or the kernel does not take it.
    pub(crate) fn begin(&self, sandbox: &Path, bytes: u64) -> Result<(), IsolationError> {
        let project = self.number(sandbox)?;
        self.bound(sandbox, project, bytes)?;
        assign(sandbox, project)
    }

    /// Makes another directory, which is empty, part of the project of a sandbox, if that has one and the disk is the same.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn join(&self, sandbox: &Path, directory: &Path) -> Result<(), IsolationError> {
        match self.of(sandbox).filter(|_| is_on_one_disk(sandbox, directory)) {
            Some(project) => assign(directory, project),
            None => Ok(()),
        }
    }

    /// Whether a directory is of the same project as a sandbox.
    pub(super) fn has(&self, sandbox: &Path, directory: &Path) -> bool {
        let project = self.of(sandbox);
        project.is_some() && is_on_one_disk(sandbox, directory) && project_of(directory).ok() == project
    }

    fn of(&self, sandbox: &Path) -> Option<u32> {
        self.taken().iter().find(|(_, path)| *path == sandbox).map(|(project, _)| *project)
    }

    /// What the project of a sandbox takes; `None` when it has none. What it may take is this from now on.
    pub(super) fn usage(&self, sandbox: &Path, quota: Option<u64>) -> Option<ProjectUsage> {
        let project = self.of(sandbox)?;
        let found = usage(sandbox, project).ok()?;
        if let Some(quota) = quota.filter(|quota| !self.is_bounded(&found, *quota))
            && let Err(error) = self.bound(sandbox, project, quota)
        {
            tracing::warn!(sandbox = %sandbox.display(), %error, "cannot change the quota");
        }
        Some(found)
    }

    /// How many names there are of so many files that the kernel counted, as far as that is anybody's business: where too much fails
    /// and ends nobody, the kernel alone sees to it, and there may be more than now may be.
    pub(super) fn names(&self, counted: u64) -> u64 {
        if self.kill { counted } else { 0 }
    }

    /// Whether the kernel bounds a project by so many bytes and the files that belong to them. Its bounds may be of an earlier
    /// agent, with other flags.
    fn is_bounded(&self, found: &ProjectUsage, bytes: u64) -> bool {
        let most = self.most(bytes);
        (found.limit_bytes, found.limit_inodes) == (Some(most.bytes), Some(most.inodes))
    }

    fn bound(&self, sandbox: &Path, project: u32, bytes: u64) -> Result<(), IsolationError> {
        limit(sandbox, project, Some(self.most(bytes)))
    }

    fn most(&self, bytes: u64) -> Most {
        let names = names_within(bytes, self.least_names);
        let names = if self.kill { names.saturating_add(HEADROOM_NAMES) } else { names };
        // None would be no bound.
        Most { bytes: self.hard(bytes), inodes: names.max(1) }
    }

    /// In the unit of the kernel.
    fn hard(&self, bytes: u64) -> u64 {
        let bytes = if self.kill { bytes.saturating_add(HEADROOM) } else { bytes };
        bytes.div_ceil(1024).saturating_mul(1024)
    }

    /// The project of a sandbox: a free one, unless it has one.
    fn number(&self, sandbox: &Path) -> Result<u32, IsolationError> {
        let mut taken = self.taken();
        if let Some((project, _)) = taken.iter().find(|(_, path)| *path == sandbox) {
            return Ok(*project);
        }
        let mut free = self.range.clone().find(|project| !taken.contains_key(project));
        if free.is_none() {
            // What was in them is removed with the last name.
            taken.retain(|_, path| path.exists());
            free = self.range.clone().find(|project| !taken.contains_key(project));
        }
        let Some(project) = free else {
            let reason = "all of --xfs-project-range are taken by sandboxes that are kept";
            return Err(IsolationError::invalid("find a project for", sandbox.display(), reason));
        };
        taken.insert(project, sandbox.to_owned());
        Ok(project)
    }

    /// Sandboxes of before, by the layout of [`Layout::runs`], those of pods beneath them, and those of no task.
    fn find(&self, agents: &Path, standalone: &Path) {
        let mut found = BTreeMap::new();
        let mut note = |sandbox: &Path| {
            let project = project_of(sandbox).ok().filter(|project| self.range.contains(project));
            found.extend(project.map(|project| (project, sandbox.to_owned())));
        };
        entries(standalone).iter().for_each(|sandbox| note(sandbox));
        for agent in entries(agents) {
            for framework in entries(&agent.join("frameworks")) {
                for executor in entries(&framework.join("executors")) {
                    for run in entries(&executor.join("runs")) {
                        // Those of a pod's tasks first: one that has none of its own has that of the pod.
                        entries(&run.join(super::charges::MEMBERS)).iter().for_each(|member| note(member));
                        note(&run);
                    }
                }
            }
        }
        *self.taken() = found;
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u32, PathBuf>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_on_one_disk(one: &Path, other: &Path) -> bool {
    let disk = |path: &Path| fs::symlink_metadata(path).map(|found| found.dev()).ok();
    disk(one).is_some() && disk(one) == disk(other)
}

/// The directories in a directory, without links.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// `[5000-10000]`; project 0 is nobody's.
fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.trim().strip_prefix('[')?.strip_suffix(']')?.split_once('-')?;
    let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
    (!range.is_empty() && *range.start() > 0).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_as_mesos_writes_it() {
        assert_eq!(range("[5000-10000]"), Some(5000..=10_000));
        for bad in ["", "5000-10000", "[0-5]", "[5-4]", "[x-5]"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }

    fn projects(kill: bool, least_names: u64) -> Projects {
        Projects { range: 5..=6, kill, least_names, taken: Mutex::default() }
    }

    #[test]
    fn a_bound_of_an_earlier_agent_is_changed_whichever_part_of_it_differs() {
        let before = projects(false, 200_000).most(1 << 20);
        let found =
            |limit_bytes, limit_inodes| ProjectUsage { limit_bytes, limit_inodes, ..Default::default() };
        let same = found(Some(before.bytes), Some(before.inodes));
        assert!(projects(false, 200_000).is_bounded(&same, 1 << 20));
        assert!(!projects(false, 200_000).is_bounded(&same, 2 << 20));
        assert!(!projects(false, 100_000).is_bounded(&same, 1 << 20), "fewer files than before");
        assert!(!projects(true, 200_000).is_bounded(&same, 1 << 20), "with headroom");
        assert!(!projects(false, 200_000).is_bounded(&found(same.limit_bytes, None), 1 << 20), "of no files");
        assert_eq!(projects(false, 0).most(1).inodes, 1);
    }

    #[test]
    fn where_too_many_files_fail_nobody_ends_for_them() {
        assert_eq!((projects(true, 0).names(150_000), projects(false, 0).names(150_000)), (150_000, 0));
    }

    #[test]
    fn a_project_is_free_again_when_its_sandbox_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let projects = projects(true, 0);
        let sandbox = |name: &str| {
            let sandbox = folder.path().join(name);
            fs::create_dir_all(&sandbox).unwrap();
            sandbox
        };
        assert_eq!(
            (projects.number(&sandbox("a")).unwrap(), projects.number(&sandbox("b")).unwrap()),
            (5, 6)
        );
        assert_eq!(projects.number(&sandbox("a")).unwrap(), 5);
        assert!(projects.number(&sandbox("c")).is_err());
        fs::remove_dir(sandbox("a")).unwrap();
        assert_eq!(projects.number(&sandbox("c")).unwrap(), 5);
        assert_eq!(projects.hard(1000), HEADROOM + 1024);
    }
}
