//! Simulated agents on the real agent link.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use chapada_tls::Dialer;
use chapada_wire::link::agent_link_client::AgentLinkClient;
use chapada_wire::link::{self, FromAgent, ToAgent, from_agent, to_agent};
use chapada_wire::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Agents on one connection; the master allows 256 streams.
const AGENTS_PER_CONNECTION: usize = 200;
/// Messages that may wait for one connection.
const QUEUE: usize = 1_024;

/// Connections to a master, for many agents.
pub(crate) struct Connections {
    at: String,
    dialer: Dialer,
    open: Vec<Channel>,
    used: usize,
    /// The host name of every agent, if it is not one of its own.
    hostname: Option<&'static str>,
}

/// One agent's link.
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) said: mpsc::Sender<FromAgent>,
    pub(crate) commands: Streaming<ToAgent>,
}

/// What an agent says of itself.
pub(crate) struct Described {
    pub(crate) number: usize,
    pub(crate) cpus: f64,
    pub(crate) mem: f64,
    pub(crate) tasks: Vec<link::HeldTask>,
    pub(crate) frameworks: Vec<v1::FrameworkInfo>,
}

impl Connections {
    pub(crate) fn to(at: &str) -> Self {
        let (at, dialer) = (at.to_owned(), Dialer::plain());
        Self { at, dialer, open: Vec::new(), used: AGENTS_PER_CONNECTION, hostname: None }
    }

    /// As this dialer makes them.
    pub(crate) fn by(self, dialer: Dialer) -> Self {
        Self { dialer, ..self }
    }

    /// All agents are on this host, whose name can be resolved.
    pub(crate) fn on_host(self, hostname: &'static str) -> Self {
        Self { hostname: Some(hostname), ..self }
    }

    async fn channel(&mut self) -> Result<Channel> {
        if self.used == AGENTS_PER_CONNECTION {
            let at: SocketAddr = self.at.parse().context("an address")?;
            let endpoint = Endpoint::from_shared(format!("{}://{at}", self.dialer.scheme()))?;
            let towards = self.dialer.towards(at, &[&at.ip().to_string()]);
            self.open.push(endpoint.connect_with_connector(towards).await?);
            self.used = 0;
        }
        self.used += 1;
        self.open.last().cloned().context("a connection")
    }

    /// Connects an agent and sends what it holds; [`Agent::welcomed`] waits for the answer.
    pub(crate) async fn agent(&mut self, described: Described) -> Result<Agent> {
        let (said, queue) = mpsc::channel(QUEUE);
        let id = format!("bench-S{}", described.number);
        let hostname = match self.hostname {
            Some(hostname) => hostname.to_owned(),
            None => format!("host-{}.example", described.number),
        };
        said.send(hello(&id, &described, hostname)).await?;
        let Described { tasks, frameworks, .. } = described;
        let page = link::Holding { last: true, tasks, frameworks, ..link::Holding::default() };
        said.send(message(from_agent::Message::Holding(page))).await?;
        let mut client = AgentLinkClient::new(self.channel().await?);
        let commands = client.connect(ReceiverStream::new(queue)).await?.into_inner();
        Ok(Agent { id, said, commands })
    }
}

impl Agent {
    /// Waits until the master has registered it. Signs of life may come before that is written.
    pub(crate) async fn welcomed(&mut self) -> Result<()> {
        loop {
            match self.commands.message().await?.and_then(|said| said.message) {
                Some(to_agent::Message::Heartbeat(_)) => {}
                Some(to_agent::Message::Welcome(_)) => return Ok(()),
                other => bail!("not welcome: {other:?}"),
            }
        }
    }

    /// Says that a task is in a state.
    pub(crate) async fn update(&self, framework: &str, status: v1::TaskStatus) -> Result<()> {
        let update = link::Update {
            framework_id: framework.to_owned(),
            latest_state: status.state.unwrap_or_default(),
            status: Some(status),
            executor_id: String::new(),
        };
        self.said.send(message(from_agent::Message::Update(update))).await.context("the link has ended")
    }
}

pub(crate) fn message(message: from_agent::Message) -> FromAgent {
    FromAgent { seen_epoch: 0, message: Some(message) }
}

fn hello(id: &str, described: &Described, hostname: String) -> FromAgent {
    let info = v1::AgentInfo {
        hostname: Some(hostname),
        port: Some(5051),
        id: Some(v1::AgentId { value: Some(id.to_owned()) }),
        resources: resources(described.cpus, described.mem),
        ..v1::AgentInfo::default()
    };
    message(from_agent::Message::Hello(link::Hello {
        protocol_version: 1,
        agent_info: Some(info),
        version: "1.12.0".to_owned(),
        address: "127.0.0.1:5051".to_owned(),
        boot_id: "simulated".to_owned(),
        capabilities: Vec::new(),
    }))
}

/// So much of both.
pub(crate) fn resources(cpus: f64, mem: f64) -> Vec<v1::Resource> {
    let scalar = |name: &str, value| v1::Resource {
        name: Some(name.to_owned()),
        r#type: Some(v1::value::Type::Scalar.into()),
        scalar: Some(v1::value::Scalar { value: Some(value) }),
        ..v1::Resource::default()
    };
    vec![scalar("cpus", cpus), scalar("mem", mem)]
}

/// A task of a command.
pub(crate) fn task(id: &str, agent: &str, cpus: f64, mem: f64) -> v1::TaskInfo {
    v1::TaskInfo {
        name: Some(format!("task {id}")),
        task_id: Some(v1::TaskId { value: Some(id.to_owned()) }),
        agent_id: Some(v1::AgentId { value: Some(agent.to_owned()) }),
        resources: resources(cpus, mem),
        command: Some(v1::CommandInfo {
            value: Some("exec sleep 1000".to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    }
}

/// A status as a real agent sends it; one without `uuid` needs no acknowledgement.
pub(crate) fn status(agent: &str, task: &str, state: v1::TaskState, uuid: Option<u64>) -> v1::TaskStatus {
    let address = v1::network_info::IpAddress {
        protocol: Some(v1::network_info::Protocol::IPv4.into()),
        ip_address: Some("10.0.0.7".to_owned()),
    };
    let network = v1::NetworkInfo { ip_addresses: vec![address], ..v1::NetworkInfo::default() };
    v1::TaskStatus {
        task_id: Some(v1::TaskId { value: Some(task.to_owned()) }),
        state: Some(state.into()),
        source: Some(v1::task_status::Source::Executor.into()),
        agent_id: Some(v1::AgentId { value: Some(agent.to_owned()) }),
        executor_id: Some(v1::ExecutorId { value: Some(task.to_owned()) }),
        timestamp: Some(1_795_200_000.5),
        uuid: uuid.map(|uuid| u128::from(uuid).to_be_bytes().to_vec()),
        container_status: Some(v1::ContainerStatus {
            container_id: Some(v1::ContainerId {
                value: Some("5f3f0ea1-8b3f-4dc9-a0ba-9b4c0f4a2c6d".to_owned()),
                parent: None,
            }),
            network_infos: vec![network],
            executor_pid: Some(1234),
            ..v1::ContainerStatus::default()
        }),
        ..v1::TaskStatus::default()
    }
}

/// A framework that agents know.
pub(crate) fn framework(id: &str) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: Some("root".to_owned()),
        name: Some(format!("framework {id}")),
        id: Some(v1::FrameworkId { value: Some(id.to_owned()) }),
        failover_timeout: Some(86_400.0),
        checkpoint: Some(true),
        roles: vec!["*".to_owned()],
        capabilities: [
            v1::framework_info::capability::Type::MultiRole,
            v1::framework_info::capability::Type::PartitionAware,
        ]
        .map(|kind| v1::framework_info::Capability { r#type: Some(kind.into()) })
        .to_vec(),
        ..v1::FrameworkInfo::default()
    }
}
