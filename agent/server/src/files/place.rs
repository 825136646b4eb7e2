//! From a path as Mesos' API writes it to a sandbox and a path in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chapada_isolation::beneath;
use chapada_model::{ContainerId, ExecutorId, FrameworkId, TaskKey};
use nix::fcntl::OFlag;

use super::FileError;
use crate::layout::{LATEST, Layout};

/// The sandboxes of this agent.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    layout: Layout,
}

/// A file in a sandbox, or where one may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Relative to the directory of all sandboxes.
    path: PathBuf,
    /// As it was asked for, without slashes at the end.
    pub(crate) shown: String,
}

impl Place {
    /// The container whose sandbox it is in: of a pod's task its own, otherwise the one of the run.
    pub(crate) fn container(&self) -> Option<ContainerId> {
        let parts: Vec<&str> = self.path.iter().filter_map(|part| part.to_str()).collect();
        // <agent>/frameworks/<framework>/executors/<executor>/runs/<run>
        match parts.get(6..)? {
            [_, "containers", container, ..] | [container, ..] => container.parse().ok(),
            [] => None,
        }
    }
}

impl Place {
    /// Where a log is kept that turned so often since; itself at 0.
    pub(super) fn older(&self, age: u32) -> Self {
        let (mut path, mut shown) = (self.path.clone().into_os_string(), self.shown.clone());
        if age > 0 {
            path.push(format!(".{age}"));
            shown.push_str(&format!(".{age}"));
        }
        Self { path: path.into(), shown }
    }
}

impl Files {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// Reads a path of the HTTP API: a sandbox by its place on disk, or as `/frameworks/…/executors/…/runs/latest`.
    pub(crate) fn place(&self, asked: &str) -> Result<Place, FileError> {
        let shown = asked.trim_end_matches('/').to_owned();
        let below = Path::new(asked).strip_prefix(self.layout.agents()).ok();
        let named = below.and_then(Path::to_str).unwrap_or_else(|| asked.trim_start_matches('/'));
        let parts: Vec<&str> = named.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| matches!(*part, "." | "..")) || asked.contains('\0') {
            return Err(FileError::Invalid(format!("{asked}: '.' and '..' are not allowed in a path")));
        }
        let not_found = || FileError::NotFound(asked.to_owned());
        let path = match parts.as_slice() {
            [agent, "frameworks", framework, "executors", executor, "runs", run, rest @ ..] => {
                let runs = self.layout.agents().join(agent);
                let runs =
                    runs.join("frameworks").join(framework).join("executors").join(executor).join("runs");
                self.in_run(&runs, run, rest).ok_or_else(not_found)?
            }
            ["frameworks", framework, "executors", executor, "runs", run, rest @ ..] => {
                let runs = self.newest_runs(framework, executor).ok_or_else(not_found)?;
                self.in_run(&runs, run, rest).ok_or_else(not_found)?
            }
            _ => return Err(not_found()),
        };
        Ok(Place { path, shown })
    }

    /// A path below the sandbox of a task's newest run.
    pub(crate) fn of_task(&self, task: &TaskKey, path: &str) -> Result<Place, FileError> {
        if path.starts_with('/') {
            return Err(FileError::Invalid(format!("{path}: give a path relative to the sandbox")));
        }
        let of = format!("/frameworks/{}/executors/{}/runs/{LATEST}/{path}", task.framework, task.task);
        let place = self.place(&of)?;
        Ok(Place { shown: path.trim_end_matches('/').to_owned(), ..place })
    }

    /// Opens it to be looked at, not read: nothing happens to a device or a FIFO.
    pub(super) fn look(&self, place: &Place) -> Result<File, FileError> {
        self.open(place, OFlag::O_PATH)
    }

    /// Opens it for reading.
    pub(super) fn open_file(&self, place: &Place) -> Result<File, FileError> {
        self.open(place, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
    }

    fn open(&self, place: &Place, flags: OFlag) -> Result<File, FileError> {
        let failed = |error| FileError::of(&place.shown, error);
        let root = File::open(self.layout.agents()).map_err(failed)?;
        beneath::open(&root, &place.path, flags.bits(), 0).map_err(failed)
    }

    fn in_run(&self, runs: &Path, run: &str, rest: &[&str]) -> Option<PathBuf> {
        let container: ContainerId = match run {
            LATEST => fs::read_link(runs.join(LATEST)).ok()?.to_str()?.parse().ok()?,
            named => named.parse().ok()?,
        };
        let mut path = runs.strip_prefix(self.layout.agents()).ok()?.join(container.as_str());
        path.extend(rest);
        Some(path)
    }

    /// The runs under whichever id this agent had when it last ran that executor.
    fn newest_runs(&self, framework: &str, executor: &str) -> Option<PathBuf> {
        let (framework, executor): (FrameworkId, ExecutorId) =
            (framework.parse().ok()?, executor.parse().ok()?);
        let agents = fs::read_dir(self.layout.agents()).ok()?.filter_map(Result::ok);
        let ids = agents.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let runs = ids.map(|agent| self.layout.runs(&agent, &framework, &executor));
        runs.filter(|runs| runs.is_dir()).max_by_key(|runs| runs.metadata().and_then(|it| it.modified()).ok())
    }
}
