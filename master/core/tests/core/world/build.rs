//! Descriptions for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{
    AgentDescription, AgentId, ExecutorDescription, ExecutorId, ExecutorKind, FrameworkCapability,
    FrameworkDescription, Payload, Resources, Role, TaskDescription, TaskId,
};

pub(crate) fn description(hostname: &str, resources: Resources) -> AgentDescription {
    AgentDescription {
        id: None,
        hostname: hostname.into(),
        port: 5051,
        address: "127.0.0.1:5051".into(),
        resources,
        attributes: Vec::new(),
        domain: None,
        capabilities: BTreeSet::new(),
        version: "0.1.0".into(),
    }
}

/// A partition-aware framework that may be away for a minute.
pub(crate) fn framework(name: &str, roles: &[&str]) -> FrameworkDescription {
    FrameworkDescription {
        id: None,
        user: "root".into(),
        name: name.into(),
        failover_timeout: Duration::from_secs(60),
        checkpoint: true,
        roles: roles.iter().map(|role| Role::new(*role).expect("a valid role")).collect(),
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: [FrameworkCapability::PartitionAware].into(),
        labels: Vec::new(),
        offer_filters: BTreeMap::new(),
        details: Payload::default(),
    }
}

pub(crate) fn command_task(id: &str, agent: &AgentId, resources: &str) -> TaskDescription {
    TaskDescription {
        id: TaskId::new(id).expect("a valid id"),
        name: id.into(),
        agent: agent.clone(),
        resources: resources.parse().expect("valid resources"),
        limits: BTreeMap::new(),
        has_command: true,
        executor: None,
        kill_policy: None,
        max_completion_time: None,
        labels: Vec::new(),
        details: Payload::default(),
    }
}

pub(crate) fn executor(id: &str, resources: &str) -> ExecutorDescription {
    ExecutorDescription {
        id: ExecutorId::new(id).expect("a valid id"),
        framework: None,
        kind: ExecutorKind::Custom,
        resources: resources.parse().expect("valid resources"),
        has_command: true,
        name: None,
        details: Payload::default(),
    }
}
