//! Where things are on disk, as Mesos lays them out below the work directory.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use chapada_agent_core::TaskRecord;
use chapada_model::{AgentId, ExecutorId, FrameworkId};

/// The name of the link to the newest run.
pub(crate) const LATEST: &str = "latest";

/// The work directory and what has its place in it.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    work_dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(work_dir: PathBuf) -> Self {
        Self { work_dir }
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

    /// The sandbox of a task.
    pub(crate) fn sandbox(&self, agent: &AgentId, record: &TaskRecord) -> PathBuf {
        let runs = self.runs(agent, &record.key.framework, &executor_of(record));
        runs.join(record.container.as_str())
    }

    /// Makes the sandbox of a task and points `latest` to it.
    pub(crate) fn make_sandbox(&self, agent: &AgentId, record: &TaskRecord) -> io::Result<PathBuf> {
        let sandbox = self.sandbox(agent, record);
        let runs = sandbox.parent().expect("a sandbox has a directory of runs above it");
        DirBuilder::new().recursive(true).mode(0o755).create(runs)?;
        DirBuilder::new().recursive(true).mode(0o750).create(&sandbox)?;
        let beside = runs.join(format!(".{LATEST}-{}", record.container));
        symlink(record.container.as_str(), &beside)?;
        fs::rename(&beside, runs.join(LATEST))?;
        Ok(sandbox)
    }
}

/// The executor under whose name a task's sandbox is: a command task's is its own.
pub(crate) fn executor_of(record: &TaskRecord) -> ExecutorId {
    let own = || ExecutorId::new(record.key.task.as_str()).expect("a task id is as good an id as any");
    record.executor.clone().unwrap_or_else(own)
}
