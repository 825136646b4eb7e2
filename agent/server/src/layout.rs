//! Where things are on disk, as Mesos lays them out below the work directory.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chapada_agent_core::{ExecutorRecord, Runner, TaskRecord};
use chapada_model::{AgentId, ExecutorId, FrameworkId};

/// The name of the link to the newest run.
pub(crate) const LATEST: &str = "latest";

/// The work directory and what has its place in it.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    work_dir: PathBuf,
    /// Read while a sandbox is made, written while empty directories above sandboxes are removed.
    above_sandboxes: Arc<RwLock<()>>,
}

impl Layout {
    pub(crate) fn new(work_dir: PathBuf) -> Self {
        Self { work_dir, above_sandboxes: Arc::default() }
    }

    pub(crate) fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.work_dir.join("agent.log")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.work_dir.join("agent.lock")
    }

    /// What the agent said of itself when it was last started.
    pub(crate) fn described(&self) -> PathBuf {
        self.work_dir.join("agent.info")
    }

    /// Where the secrets of executors are.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.work_dir.join("tokens")
    }

    /// What containers joined, and what they know names by.
    pub(crate) fn networks(&self) -> PathBuf {
        self.work_dir.join("networks")
    }

    /// Which container has which GPU.
    pub(crate) fn gpus(&self) -> PathBuf {
        self.work_dir.join("gpus")
    }

    /// Which container has which class of packets.
    pub(crate) fn network_classes(&self) -> PathBuf {
        self.work_dir.join("network-classes")
    }

    /// What was fetched and is kept for the next who wants it.
    pub(crate) fn fetched(&self) -> PathBuf {
        self.work_dir.join("fetched")
    }

    /// What fetchers have while they run.
    pub(crate) fn fetching(&self) -> PathBuf {
        self.work_dir.join("fetching")
    }

    /// Where the sandboxes of containers are that are in no other and of no task.
    pub(crate) fn standalone(&self) -> PathBuf {
        self.work_dir.join("containers")
    }

    /// Where the sandboxes of all agent ids are.
    pub(crate) fn agents(&self) -> PathBuf {
        self.work_dir.join("slaves")
    }

    /// Where the runs of an executor are.
    pub(crate) fn runs(&self, agent: &AgentId, framework: &FrameworkId, executor: &ExecutorId) -> PathBuf {
        let agent = self.agents().join(agent.as_str());
        let framework = agent.join("frameworks").join(framework.as_str());
        framework.join("executors").join(executor.as_str()).join("runs")
    }

    /// The sandbox of a task. One of a pod is beneath its executor's, as Mesos has it.
    pub(crate) fn sandbox(&self, agent: &AgentId, record: &TaskRecord) -> PathBuf {
        let runs = self.runs(agent, &record.key.framework, &executor_of(record));
        match &record.runner {
            Runner::Command | Runner::Custom { .. } => runs.join(record.container.as_str()),
            Runner::Pod { parent, .. } => {
                runs.join(parent.as_str()).join("containers").join(record.container.as_str())
            }
        }
    }

    /// The sandbox of an executor.
    pub(crate) fn executor_sandbox(&self, agent: &AgentId, record: &ExecutorRecord) -> PathBuf {
        self.runs(agent, &record.key.framework, &record.key.executor).join(record.container.as_str())
    }

    /// Nobody removes what is above sandboxes while this is held.
    fn making(&self) -> RwLockReadGuard<'_, ()> {
        self.above_sandboxes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody makes a sandbox while this is held, which therefore is to be short. Blocks.
    pub(crate) fn clearing(&self) -> RwLockWriteGuard<'_, ()> {
        self.above_sandboxes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the sandbox of a task and points `latest` to it; for one of a pod, `tasks/<id>` in the executor's.
    pub(crate) fn make_sandbox(&self, agent: &AgentId, record: &TaskRecord) -> io::Result<PathBuf> {
        let _making = self.making();
        let sandbox = self.sandbox(agent, record);
        let Runner::Pod { parent, .. } = &record.runner else { return make_run(sandbox) };
        let runs = self.runs(agent, &record.key.framework, &executor_of(record));
        let above = make_run(runs.join(parent.as_str()))?;
        DirBuilder::new().recursive(true).mode(0o750).create(&sandbox)?;
        let tasks = above.join("tasks");
        DirBuilder::new().recursive(true).mode(0o755).create(&tasks)?;
        let own = Path::new("../containers").join(record.container.as_str());
        point(&tasks, record.key.task.as_str(), &own, record.container.as_str())?;
        Ok(sandbox)
    }

    /// Makes the sandbox of an executor and points `latest` to it.
    pub(crate) fn make_executor_sandbox(
        &self,
        agent: &AgentId,
        record: &ExecutorRecord,
    ) -> io::Result<PathBuf> {
        let _making = self.making();
        make_run(self.executor_sandbox(agent, record))
    }
}

fn make_run(sandbox: PathBuf) -> io::Result<PathBuf> {
    let runs = sandbox.parent().expect("a sandbox has a directory of runs above it");
    let name = sandbox.file_name().expect("a sandbox has the name of its container").to_owned();
    DirBuilder::new().recursive(true).mode(0o755).create(runs)?;
    DirBuilder::new().recursive(true).mode(0o750).create(&sandbox)?;
    point(runs, LATEST, Path::new(&name), &name.to_string_lossy())?;
    Ok(sandbox)
}

/// Makes a link, in the place of another if there is one. `tag` keeps those apart that make it at once.
fn point(directory: &Path, name: &str, target: &Path, tag: &str) -> io::Result<()> {
    let beside = directory.join(format!(".{LATEST}-{tag}"));
    match symlink(target, &beside) {
        // Another task of the pod is making it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    match fs::rename(&beside, directory.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// The executor under whose name a task's sandbox is: a command task's is its own.
pub(crate) fn executor_of(record: &TaskRecord) -> ExecutorId {
    let own = || ExecutorId::new(record.key.task.as_str()).expect("a task id is as good an id as any");
    record.executor().cloned().unwrap_or_else(own)
}
