//! An agent that holds what it was told to launch.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use chapada_master_core::{AgentCommand, Drain, HeldExecutor, HeldTask, LinkId, OfferOperation};
use chapada_model::{
    AgentDescription, ExecutorDescription, ExecutorKey, FrameworkDescription, FrameworkId, OperationState,
    OperationStatus, Role, Source, TaskDescription, TaskKey, TaskState, TaskStatus, UpdateUuid, Wall,
};

/// A task as its agent has it.
#[derive(Clone)]
pub(crate) struct SimTask {
    pub(crate) description: Arc<TaskDescription>,
    pub(crate) latest: Option<TaskStatus>,
    pub(crate) kills: u32,
}

impl SimTask {
    fn held(&self, key: &TaskKey) -> HeldTask {
        HeldTask {
            framework: key.framework.clone(),
            task: self.description.clone(),
            latest: self.latest.clone(),
            acknowledged: None,
        }
    }
}

pub(crate) struct SimAgent {
    pub(crate) description: AgentDescription,
    /// The address of its machine.
    pub(crate) from: IpAddr,
    pub(crate) link: Option<LinkId>,
    pub(crate) is_welcome: bool,
    /// What is sent to it is lost; its link is about to break.
    pub(crate) is_deaf: bool,
    pub(crate) tasks: BTreeMap<TaskKey, SimTask>,
    pub(crate) executors: BTreeMap<ExecutorKey, ExecutorDescription>,
    pub(crate) frameworks: BTreeMap<FrameworkId, FrameworkDescription>,
    /// Operations that were done and are not acknowledged, oldest first.
    pub(crate) operations: Vec<OperationStatus>,
    pub(crate) commands: Vec<AgentCommand>,
    /// As the master said last.
    pub(crate) drain: Option<Drain>,
    /// Tasks whose end was acknowledged, oldest first, as Mesos' agents and ours remember them.
    pub(crate) completed: Vec<HeldTask>,
    /// How many of each framework the last welcome wanted to hear of.
    pub(crate) completed_wanted: u32,
    uuids: u64,
}

impl SimAgent {
    /// One on the machine of this number.
    pub(crate) fn new(machine: u16, description: AgentDescription) -> Self {
        let [high, low] = machine.to_be_bytes();
        Self {
            description,
            from: Ipv4Addr::new(10, 0, high, low).into(),
            link: None,
            is_welcome: false,
            is_deaf: false,
            tasks: BTreeMap::new(),
            executors: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            operations: Vec::new(),
            commands: Vec::new(),
            drain: None,
            completed: Vec::new(),
            completed_wanted: 0,
            uuids: 0,
        }
    }

    pub(crate) fn obey(&mut self, command: AgentCommand) {
        if self.is_deaf {
            return;
        }
        self.commands.push(command.clone());
        match command {
            AgentCommand::Welcome { agent, completed } => {
                self.description.id = Some(agent);
                self.completed_wanted = completed;
                (self.is_welcome, self.drain) = (true, None);
            }
            AgentCommand::Refused { .. } => {}
            AgentCommand::Drain { drain } => self.drain = drain,
            AgentCommand::Launch { framework, task, role, .. } => self.launch(&framework, &task, &role),
            AgentCommand::LaunchGroup { framework, tasks, role, .. } => {
                tasks.iter().for_each(|task| self.launch(&framework, task, &role));
            }
            AgentCommand::Kill { framework, task, .. } => {
                if let Some(task) = self.tasks.get_mut(&TaskKey { framework, task }) {
                    task.kills += 1;
                }
            }
            AgentCommand::Acknowledge { framework, task, uuid } => {
                let key = TaskKey { framework, task };
                let is_last = self
                    .tasks
                    .get(&key)
                    .and_then(|task| task.latest.as_ref())
                    .is_some_and(|latest| latest.state.is_terminal() && latest.uuid == Some(uuid));
                if is_last && let Some(task) = self.tasks.remove(&key) {
                    self.completed.push(task.held(&key));
                }
            }
            AgentCommand::Operate { operation } => self.operate(&operation),
            AgentCommand::AcknowledgeOperation { key, uuid } => {
                self.operations
                    .retain(|status| status.key.as_ref() != Some(&key) || status.uuid != Some(uuid));
            }
            AgentCommand::ShutdownFramework { .. }
            | AgentCommand::ExecutorMessage { .. }
            | AgentCommand::ShutdownExecutor { .. } => {}
            AgentCommand::UpdateFramework { framework } => {
                if let Some(id) = framework.id.clone() {
                    self.frameworks.insert(id, (*framework).clone());
                }
            }
        }
    }

    fn launch(&mut self, framework: &FrameworkDescription, task: &TaskDescription, role: &Role) {
        assert!(self.is_welcome, "a launch comes after the welcome");
        let id = framework.id.clone().expect("a launched task's framework has an id");
        self.frameworks.insert(id.clone(), framework.clone());
        let mut task = task.clone();
        task.resources = task.resources.allocated_to(role);
        if let Some(executor) = &task.executor {
            let key = ExecutorKey { framework: id.clone(), executor: executor.id.clone() };
            let mut stated = executor.clone();
            stated.resources = stated.resources.allocated_to(role);
            self.executors.entry(key).or_insert(stated);
        }
        let key = TaskKey { framework: id, task: task.id.clone() };
        let task = SimTask { description: Arc::new(task), latest: None, kills: 0 };
        assert!(self.tasks.insert(key.clone(), task).is_none(), "{key} was launched twice");
    }

    fn operate(&mut self, operation: &OfferOperation) {
        let conversion = operation.conversion.as_ref().expect("an operation comes with its conversion");
        conversion.apply(&mut self.description.resources).expect("what the master converts is there");
        self.uuids += 1;
        let mut uuid = [9; 16];
        uuid[..8].copy_from_slice(&self.uuids.to_le_bytes());
        self.operations.push(OperationStatus {
            state: OperationState::Finished,
            converted: conversion.converted.clone(),
            uuid: Some(UpdateUuid(uuid)),
            ..(*operation.status).clone()
        });
    }

    pub(crate) fn held_operations(&self) -> Vec<OperationStatus> {
        self.operations.clone()
    }

    pub(crate) fn held(&self) -> Vec<HeldTask> {
        self.tasks.iter().map(|(key, task)| task.held(key)).collect()
    }

    pub(crate) fn held_executors(&self) -> Vec<HeldExecutor> {
        let known = self.executors.iter().filter(|(key, _)| self.frameworks.contains_key(&key.framework));
        known
            .filter(|(key, _)| self.tasks.keys().any(|task| task.framework == key.framework))
            .map(|(key, executor)| HeldExecutor {
                framework: key.framework.clone(),
                executor: executor.clone(),
            })
            .collect()
    }

    /// A new status of a task that has not ended.
    pub(crate) fn say(&mut self, key: &TaskKey, state: TaskState, now: Wall) -> Option<TaskStatus> {
        let task = self.tasks.get_mut(key)?;
        if task.latest.as_ref().is_some_and(|latest| latest.state.is_terminal()) {
            return task.latest.clone();
        }
        self.uuids += 1;
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.uuids.to_le_bytes());
        let name = self.description.hostname.as_bytes();
        uuid[8..][..name.len().min(8)].copy_from_slice(&name[..name.len().min(8)]);
        let status = TaskStatus {
            source: Some(Source::Executor),
            agent: self.description.id.clone(),
            timestamp: Some(now),
            uuid: Some(UpdateUuid(uuid)),
            ..TaskStatus::new(key.task.clone(), state)
        };
        task.latest = Some(status.clone());
        Some(status)
    }
}
