//! The other ends' messages: what agents and frameworks write, and how they read what the master wrote.

use anyhow::{Context, Result};
use chapada_master::edge::Form;
use chapada_wire::link::{self, FromAgent, from_agent};
use chapada_wire::v1::scheduler::{Call, Event, call};
use chapada_wire::{Json, decode_binary, v1};
use prost::Message;

/// An amount of something.
pub(crate) fn scalar(name: &str, amount: f64) -> v1::Resource {
    v1::Resource {
        name: Some(name.to_owned()),
        r#type: Some(v1::value::Type::Scalar.into()),
        scalar: Some(v1::value::Scalar { value: Some(amount) }),
        ..v1::Resource::default()
    }
}

/// How much of something these resources have.
pub(crate) fn amount(resources: &[v1::Resource], name: &str) -> f64 {
    let named = resources.iter().filter(|resource| resource.name.as_deref() == Some(name));
    named.filter_map(|resource| resource.scalar.as_ref()?.value).sum()
}

/// The messages with which an agent begins: who it is, under which id if it has one, and what it holds.
pub(crate) fn hello(
    hostname: &str,
    resources: Vec<v1::Resource>,
    id: Option<&str>,
    holding: link::Holding,
) -> Vec<Vec<u8>> {
    let info = v1::AgentInfo {
        id: id.map(|id| v1::AgentId { value: Some(id.to_owned()) }),
        hostname: Some(hostname.to_owned()),
        port: Some(5051),
        resources,
        ..v1::AgentInfo::default()
    };
    let hello = link::Hello {
        protocol_version: 1,
        agent_info: Some(info),
        version: "0.1.0".to_owned(),
        address: "10.1.2.3:5051".to_owned(),
        boot_id: "3d1c3e5a-7f0b-4d5e-9a65-0c8f6a1f2b3c".to_owned(),
        capabilities: Vec::new(),
    };
    [from_agent::Message::Hello(hello), from_agent::Message::Holding(holding)].map(from_agent).into()
}

/// A message of the link.
pub(crate) fn from_agent(message: from_agent::Message) -> Vec<u8> {
    FromAgent { seen_epoch: 1, message: Some(message) }.encode_to_vec()
}

/// Who a status update is about, and what it says.
pub(crate) struct Said<'a> {
    pub(crate) framework: &'a str,
    pub(crate) task: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) state: v1::TaskState,
    pub(crate) uuid: [u8; 16],
    pub(crate) at: f64,
}

/// A status with what a real agent puts into it.
pub(crate) fn status(said: &Said<'_>) -> v1::TaskStatus {
    let address = v1::network_info::IpAddress {
        protocol: Some(v1::network_info::Protocol::IPv4.into()),
        ip_address: Some("10.1.2.3".to_owned()),
    };
    let container = v1::ContainerStatus {
        container_id: Some(v1::ContainerId { value: Some(container(said.uuid)), parent: None }),
        network_infos: vec![v1::NetworkInfo { ip_addresses: vec![address], ..v1::NetworkInfo::default() }],
        cgroup_info: None,
        executor_pid: Some(4_242),
    };
    v1::TaskStatus {
        task_id: Some(v1::TaskId { value: Some(said.task.to_owned()) }),
        state: Some(said.state.into()),
        source: Some(v1::task_status::Source::Executor.into()),
        agent_id: Some(v1::AgentId { value: Some(said.agent.to_owned()) }),
        executor_id: Some(v1::ExecutorId { value: Some(said.task.to_owned()) }),
        timestamp: Some(said.at),
        uuid: Some(said.uuid.to_vec()),
        container_status: Some(container),
        ..v1::TaskStatus::default()
    }
}

/// A status update.
pub(crate) fn update(said: &Said<'_>) -> Vec<u8> {
    from_agent(from_agent::Message::Update(link::Update {
        framework_id: said.framework.to_owned(),
        status: Some(status(said)),
        latest_state: said.state.into(),
        executor_id: String::new(),
    }))
}

/// As long as a container's id is.
fn container(uuid: [u8; 16]) -> String {
    chapada_model::UpdateUuid(uuid).to_string()
}

/// A call of a subscribed framework.
pub(crate) fn call(kind: call::Type, framework: &str) -> Call {
    Call {
        framework_id: Some(v1::FrameworkId { value: Some(framework.to_owned()) }),
        r#type: Some(kind.into()),
        ..Call::default()
    }
}

/// The body of a call.
pub(crate) fn body(form: Form, call: &Call) -> Vec<u8> {
    match form {
        Form::Json => call.to_json(),
        Form::Protobuf => call.encode_to_vec(),
    }
}

/// Reads one record of a stream.
pub(crate) fn event(form: Form, record: &[u8]) -> Result<Event> {
    let line = record.iter().position(|byte| *byte == b'\n').context("a record begins with its length")?;
    let record = &record[line + 1..];
    Ok(match form {
        Form::Json => Event::from_json(record)?,
        Form::Protobuf => decode_binary(record)?,
    })
}
