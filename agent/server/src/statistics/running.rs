//! Which containers run, and what stands in their descriptions.

use std::collections::BTreeMap;

use chapada_agent_core::{ExecutorView, Runner, TaskView, View};
use chapada_model::{ContainerId, ExecutorDescription, ExecutorKey, Resources, TaskDescription};
use chapada_wire::v1;
use prost::Message;

use crate::http::executor_name;
use crate::layout::executor_of;

/// A container with a process in it, or a pod with such containers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) executor: String,
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) framework: String,
    pub(crate) container: ContainerId,
    /// That of its pod.
    pub(crate) parent: Option<ContainerId>,
    /// A pod has no process of its own.
    pub(crate) pid: Option<u32>,
    /// What it asked for, with the tasks that are in it.
    pub(super) asked: Vec<Resources>,
    /// The containers of a pod.
    pub(super) members: Vec<ContainerId>,
}

impl Running {
    /// Everything that runs, pods before what is in them.
    pub(crate) fn all(view: &View) -> Vec<Self> {
        let mut executors: BTreeMap<&ExecutorKey, Self> = view
            .executors
            .iter()
            .map(|executor| (&executor.record.key, Self::of_executor(executor)))
            .collect();
        let mut tasks = Vec::new();
        for task in view.tasks.iter().filter(|task| task.phase.is_live()) {
            let key = task.record.executor_key();
            let running = Self::of_task(task);
            if let Some(executor) = key.and_then(|key| executors.get_mut(&key)) {
                executor.asked.extend(running.asked.iter().cloned());
                if matches!(task.record.runner, Runner::Pod { .. }) && running.pid.is_some() {
                    executor.members.push(running.container.clone());
                }
            }
            if !task.record.is_delegated() && running.pid.is_some() {
                tasks.push(running);
            }
        }
        let runs = |executor: &Self| executor.pid.is_some() || !executor.members.is_empty();
        executors.into_values().filter(runs).chain(tasks).collect()
    }

    fn of_task(task: &TaskView) -> Self {
        let record = &task.record;
        let info = v1::TaskInfo::decode(record.info.as_bytes()).unwrap_or_default();
        let executor = executor_of(record).to_string();
        Self {
            name: executor_name(&info),
            source: executor.clone(),
            executor,
            framework: record.key.framework.to_string(),
            container: record.container.clone(),
            parent: match &record.runner {
                Runner::Pod { parent, .. } => Some(parent.clone()),
                Runner::Command | Runner::Custom { .. } => None,
            },
            pid: task.phase.pid(),
            asked: TaskDescription::try_from(&info).ok().map(|task| task.resources).into_iter().collect(),
            members: Vec::new(),
        }
    }

    fn of_executor(executor: &ExecutorView) -> Self {
        let record = &executor.record;
        let info = v1::ExecutorInfo::decode(record.info.as_bytes()).unwrap_or_default();
        let description = ExecutorDescription::try_from(&info).ok();
        Self {
            asked: description.map(|executor| executor.resources).into_iter().collect(),
            executor: record.key.executor.to_string(),
            name: info.name.unwrap_or_default(),
            source: info.source.unwrap_or_default(),
            framework: record.key.framework.to_string(),
            container: record.container.clone(),
            parent: None,
            pid: executor.phase.pid(),
            members: Vec::new(),
        }
    }

    /// Its id with that of its pod.
    pub(crate) fn container_id(&self) -> v1::ContainerId {
        let mut id = v1::ContainerId::from(&self.container);
        id.parent = self.parent.as_ref().map(|parent| Box::new(parent.into()));
        id
    }
}
