//! An agent that speaks the real agent link and follows a script instead of running anything: a task whose command is
//! `exit 3` fails, one that contains `sleep 1000` runs until it is killed, any other finishes.

use std::net::{Ipv4Addr, SocketAddr};

use chapada_wire::link::agent_link_client::AgentLinkClient;
use chapada_wire::link::{self, FromAgent, from_agent, to_agent};
use chapada_wire::v1;
use chapada_wire::v1::TaskState;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::DEADLINE;
use super::api::AgentApi;

/// A connected agent.
pub(crate) struct ScriptedAgent {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    sender: mpsc::Sender<FromAgent>,
    task: JoinHandle<()>,
}

/// What it says about itself.
pub(crate) fn agent_info() -> v1::AgentInfo {
    let scalar = |name: &str, amount: f64| v1::Resource {
        name: Some(name.to_owned()),
        r#type: Some(v1::value::Type::Scalar.into()),
        scalar: Some(v1::value::Scalar { value: Some(amount) }),
        ..v1::Resource::default()
    };
    let range = v1::value::Range { begin: Some(31000), end: Some(32000) };
    let ports = v1::Resource {
        name: Some("ports".to_owned()),
        r#type: Some(v1::value::Type::Ranges.into()),
        ranges: Some(v1::value::Ranges { range: vec![range] }),
        ..v1::Resource::default()
    };
    v1::AgentInfo {
        hostname: Some("127.0.0.1".to_owned()),
        port: Some(5051),
        resources: vec![scalar("cpus", 2.0), scalar("mem", 23081.0), scalar("disk", 252899.0), ports],
        ..v1::AgentInfo::default()
    }
}

pub(crate) fn hello(version: u32) -> FromAgent {
    hello_of(version, agent_info())
}

pub(crate) fn hello_of(version: u32, info: v1::AgentInfo) -> FromAgent {
    message(from_agent::Message::Hello(link::Hello {
        protocol_version: version,
        agent_info: Some(info),
        version: "1.12.0".to_owned(),
        address: "127.0.0.1:5051".to_owned(),
        boot_id: "boot".to_owned(),
        capabilities: Vec::new(),
    }))
}

pub(crate) fn holding_nothing() -> FromAgent {
    message(from_agent::Message::Holding(link::Holding { last: true, ..link::Holding::default() }))
}

pub(crate) fn message(message: from_agent::Message) -> FromAgent {
    FromAgent { seen_epoch: 0, message: Some(message) }
}

/// Sends the first messages and returns the stream of answers.
pub(crate) async fn dial(
    at: SocketAddr,
    first: Vec<FromAgent>,
) -> (mpsc::Sender<FromAgent>, tonic::Streaming<link::ToAgent>) {
    dial_from(Ipv4Addr::LOCALHOST, at, first).await
}

/// As [`dial`], from this address of the machine.
pub(crate) async fn dial_from(
    from: Ipv4Addr,
    at: SocketAddr,
    first: Vec<FromAgent>,
) -> (mpsc::Sender<FromAgent>, tonic::Streaming<link::ToAgent>) {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{at}")).expect("an address");
    let endpoint = endpoint.local_address(Some(from.into()));
    let mut client = AgentLinkClient::new(endpoint.connect().await.expect("the master listens"));
    let (sender, queue) = mpsc::channel(1024);
    for one in first {
        sender.send(one).await.expect("room");
    }
    let answers = client.connect(ReceiverStream::new(queue)).await.expect("a link").into_inner();
    (sender, answers)
}

impl ScriptedAgent {
    /// Connects and waits for the welcome.
    pub(crate) async fn connect(at: SocketAddr) -> Self {
        Self::connect_with(at, None).await
    }

    /// As [`ScriptedAgent::connect`], as an agent that says this about itself.
    pub(crate) async fn connect_as(at: SocketAddr, info: v1::AgentInfo) -> Self {
        Self::begin(at, None, hello_of(1, info)).await
    }

    /// As [`ScriptedAgent::connect`], with an API for those who come through the master.
    pub(crate) async fn connect_with(at: SocketAddr, api: Option<AgentApi>) -> Self {
        Self::begin(at, api, hello(1)).await
    }

    async fn begin(at: SocketAddr, api: Option<AgentApi>, hello: FromAgent) -> Self {
        let (sender, mut answers) = dial(at, vec![hello, holding_nothing()]).await;
        let first =
            tokio::time::timeout(DEADLINE, answers.message()).await.expect("in time").expect("a link");
        let first = first.expect("an answer");
        let Some(to_agent::Message::Welcome(welcome)) = first.message else {
            panic!("not welcome: {first:?}")
        };
        let script = Script { id: welcome.agent_id.clone(), sender: sender.clone(), api, at };
        let task = tokio::spawn(script.follow(answers));
        Self { id: welcome.agent_id, sender, epoch: first.epoch, task }
    }

    /// Sends bytes from an executor to its framework.
    pub(crate) async fn message(&self, framework: &str, executor: &str, data: &[u8]) {
        let said = from_agent::Message::FrameworkMessage(link::FrameworkMessage {
            framework_id: framework.to_owned(),
            executor_id: executor.to_owned(),
            data: data.to_vec(),
        });
        self.sender.send(message(said)).await.expect("the link stands");
    }

    /// Leaves at once.
    pub(crate) fn disconnect(self) {
        self.task.abort();
    }
}

struct Script {
    id: String,
    sender: mpsc::Sender<FromAgent>,
    api: Option<AgentApi>,
    /// The master.
    at: SocketAddr,
}

impl Script {
    async fn follow(self, mut answers: tonic::Streaming<link::ToAgent>) {
        while let Ok(Some(answer)) = answers.message().await {
            match answer.message {
                Some(to_agent::Message::Heartbeat(_)) => {
                    self.say(from_agent::Message::Heartbeat(link::Heartbeat {})).await
                }
                Some(command) => self.obey(command).await,
                None => {}
            }
        }
    }

    async fn obey(&self, command: to_agent::Message) {
        match command {
            to_agent::Message::Launch(launch) => {
                let framework = launch.framework.and_then(|info| info.id?.value).expect("a framework id");
                let task = launch.task.expect("a task");
                let id = task.task_id.and_then(|id| id.value).expect("a task id");
                let command = task.command.and_then(|command| command.value).unwrap_or_default();
                let mut states = vec![TaskState::TaskStarting, TaskState::TaskRunning];
                match command.as_str() {
                    "exit 3" => states.push(TaskState::TaskFailed),
                    long if long.contains("sleep 1000") => {}
                    _ => states.push(TaskState::TaskFinished),
                }
                for state in states {
                    self.update(&framework, &id, state).await;
                }
            }
            to_agent::Message::Kill(kill) => {
                self.update(&kill.framework_id, &kill.task_id, TaskState::TaskKilled).await
            }
            to_agent::Message::Operate(operate) => self.operate(operate).await,
            to_agent::Message::OpenRelay(open) => {
                if let Some(api) = &self.api {
                    api.dial_back(self.at, open.token);
                }
            }
            _ => {}
        }
    }

    /// Every operation is done.
    async fn operate(&self, operate: link::Operate) {
        let uuid = v1::Uuid { value: Some(uuid::Uuid::new_v4().as_bytes().to_vec()) };
        let status = v1::OperationStatus {
            operation_id: operate.operation_id.map(|id| v1::OperationId { value: Some(id) }),
            state: Some(v1::OperationState::OperationFinished.into()),
            converted_resources: operate.converted,
            uuid: Some(uuid),
            ..v1::OperationStatus::default()
        };
        self.say(from_agent::Message::OperationUpdate(link::OperationUpdate {
            key: operate.key,
            framework_id: operate.framework_id,
            status: Some(status),
        }))
        .await;
    }

    async fn update(&self, framework: &str, task: &str, state: TaskState) {
        let message = match state {
            TaskState::TaskFinished => Some("Command exited with status 0".to_owned()),
            TaskState::TaskFailed => Some("Command exited with status 3".to_owned()),
            TaskState::TaskKilled => Some("Command terminated with signal Terminated".to_owned()),
            _ => None,
        };
        let address = v1::network_info::IpAddress {
            protocol: Some(v1::network_info::Protocol::IPv4.into()),
            ip_address: Some("127.0.0.1".to_owned()),
        };
        let network = v1::NetworkInfo { ip_addresses: vec![address], ..v1::NetworkInfo::default() };
        let status = v1::TaskStatus {
            task_id: Some(v1::TaskId { value: Some(task.to_owned()) }),
            state: Some(state.into()),
            message,
            source: Some(v1::task_status::Source::Executor.into()),
            agent_id: Some(v1::AgentId { value: Some(self.id.clone()) }),
            executor_id: Some(v1::ExecutorId { value: Some(task.to_owned()) }),
            timestamp: Some(1_795_200_000.5),
            uuid: Some(uuid::Uuid::new_v4().as_bytes().to_vec()),
            container_status: Some(v1::ContainerStatus {
                container_id: Some(v1::ContainerId { value: Some("a-container".to_owned()), parent: None }),
                network_infos: vec![network],
                executor_pid: Some(1234),
                ..v1::ContainerStatus::default()
            }),
            ..v1::TaskStatus::default()
        };
        self.say(from_agent::Message::Update(link::Update {
            framework_id: framework.to_owned(),
            status: Some(status),
            latest_state: state.into(),
            executor_id: String::new(),
        }))
        .await;
    }

    async fn say(&self, what: from_agent::Message) {
        // A link that has ended needs to hear nothing more.
        drop(self.sender.send(message(what)).await);
    }
}
