//! The master's end of the link, played by a test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use chapada_listener::{Action, GrpcRoutes, ListenConfig, Listener, Policy, Routes};
use chapada_wire::link::agent_link_server::{AgentLink, AgentLinkServer};
use chapada_wire::link::{self, FromAgent, FromRelay, ToAgent, ToRelay, from_agent, to_agent};
use chapada_wire::v1;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::PATIENCE;

type Opened = (mpsc::Sender<Result<ToAgent, Status>>, Streaming<FromAgent>);
type Relayed = (mpsc::Sender<Result<ToRelay, Status>>, Streaming<FromRelay>);

struct Doors {
    links: mpsc::Sender<Opened>,
    relays: mpsc::Sender<Relayed>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentLink for Doors {
    type ConnectStream = Answers<ToAgent>;
    type RelayStream = Answers<ToRelay>;

    async fn connect(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (send, receive) = mpsc::channel(4096);
        let _ = self.links.send((send, request.into_inner())).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn relay(
        &self,
        request: Request<Streaming<FromRelay>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let (send, receive) = mpsc::channel(64);
        let _ = self.relays.send((send, request.into_inner())).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}

/// A master that does what the test says.
pub(crate) struct ScriptedMaster {
    pub(crate) address: SocketAddr,
    links: mpsc::Receiver<Opened>,
    relays: mpsc::Receiver<Relayed>,
    _stop: DropGuard,
}

impl ScriptedMaster {
    pub(crate) async fn start() -> Self {
        let config = ListenConfig { port: Some(0), ..ListenConfig::default() };
        let listener = Listener::bind(&config, 0).await.unwrap();
        let address = listener.local_addr();
        let ((links_in, links), (relays_in, relays)) = (mpsc::channel(8), mpsc::channel(8));
        let service = AgentLinkServer::new(Doors { links: links_in, relays: relays_in });
        let methods = [("Connect", Action::ActAsAgent), ("Relay", Action::ActAsAgent)];
        let grpc = GrpcRoutes::new().service(service, &methods);
        let stop = CancellationToken::new();
        tokio::spawn(listener.serve(Routes::new(), grpc, Policy::allow_all(), stop.clone()));
        Self { address, links, relays, _stop: stop.drop_guard() }
    }

    /// Takes the next link and hears the agent out.
    pub(crate) async fn accept(&mut self, epoch: u64) -> Link {
        let (send, receive) = timeout(PATIENCE, self.links.recv()).await.expect("no agent dialled").unwrap();
        let mouth = Arc::new(Mutex::new(Mouth { send, epoch, sequence: 0 }));
        let (heard, inbox) = mpsc::unbounded_channel();
        let ear = tokio::spawn(listen(receive, mouth.clone(), heard));
        let _ear = AbortOnDropHandle::new(ear);
        let mut link = Link { mouth, inbox, _ear, hello: link::Hello::default(), held: BTreeMap::new() };
        let Some(from_agent::Message::Hello(hello)) = link.next().await else {
            panic!("the first message is Hello")
        };
        link.hello = hello;
        loop {
            let Some(from_agent::Message::Holding(page)) = link.next().await else {
                panic!("Holding follows")
            };
            for task in page.tasks {
                let info: chapada_wire::v1::TaskInfo = chapada_wire::decode_binary(&task.task).unwrap();
                let id = info.task_id.unwrap().value.unwrap();
                link.held.insert(id, task);
            }
            if page.last {
                return link;
            }
        }
    }

    /// Says at each link that the agent's id is gone, until one comes that has none. That one.
    pub(crate) async fn give_up(&mut self, epoch: u64) -> Link {
        loop {
            let mut link = self.accept(epoch).await;
            if link.hello.agent_info.as_ref().unwrap().id.is_none() {
                return link;
            }
            let gone =
                link::Refused { reason: link::refused::Reason::Gone as i32, message: "gone".to_owned() };
            link.say(to_agent::Message::Refused(gone)).await;
        }
    }

    /// As [`ScriptedMaster::accept`], and admits the agent.
    pub(crate) async fn welcome(&mut self, epoch: u64) -> Link {
        self.welcome_and_ask(epoch, 0).await
    }

    /// As [`ScriptedMaster::welcome`], and wants to hear of so many completed tasks of each framework.
    pub(crate) async fn welcome_and_ask(&mut self, epoch: u64, completed_tasks_wanted: u32) -> Link {
        let mut link = self.accept(epoch).await;
        link.say(to_agent::Message::Welcome(link::Welcome {
            protocol_version: 1,
            agent_id: "agent-1".to_owned(),
            master_id: "master-1".to_owned(),
            heartbeat_interval_ms: 1000,
            heartbeat_timeout_ms: 60_000,
            completed_tasks_wanted,
        }))
        .await;
        link
    }

    pub(crate) async fn relay(&mut self) -> (mpsc::Sender<Result<ToRelay, Status>>, Streaming<FromRelay>) {
        timeout(PATIENCE, self.relays.recv()).await.expect("no relay was dialled").unwrap()
    }
}

/// What the agent is told goes through it, so that it is numbered in the order in which it is said.
struct Mouth {
    send: mpsc::Sender<Result<ToAgent, Status>>,
    epoch: u64,
    sequence: u64,
}

impl Mouth {
    /// To an agent that has hung up nothing can be said; who waits for what it does then hears of that.
    async fn say(&mut self, message: to_agent::Message) {
        self.sequence += 1;
        let message = ToAgent { epoch: self.epoch, sequence: self.sequence, message: Some(message) };
        let _ = self.send.send(Ok(message)).await;
    }
}

/// Hears what the agent says, and answers its heartbeats, so that a link lives on while a test does something that takes long.
async fn listen(
    mut said: Streaming<FromAgent>,
    mouth: Arc<Mutex<Mouth>>,
    heard: mpsc::UnboundedSender<from_agent::Message>,
) {
    while let Ok(Some(FromAgent { message: Some(message), .. })) = said.message().await {
        match message {
            from_agent::Message::Heartbeat(_) => {
                mouth.lock().await.say(to_agent::Message::Heartbeat(link::Heartbeat {})).await;
            }
            other => {
                let _ = heard.send(other);
            }
        }
    }
}

/// One link. Dropped, it is closed.
pub(crate) struct Link {
    mouth: Arc<Mutex<Mouth>>,
    inbox: mpsc::UnboundedReceiver<from_agent::Message>,
    _ear: AbortOnDropHandle<()>,
    pub(crate) hello: link::Hello,
    pub(crate) held: BTreeMap<String, link::HeldTask>,
}

impl Link {
    pub(crate) fn say(&mut self, message: to_agent::Message) -> impl Future<Output = ()> + Send + use<> {
        let mouth = self.mouth.clone();
        // Messages are large.
        Box::pin(async move { mouth.lock().await.say(message).await })
    }

    /// The next message that is no heartbeat; `None` when the link has ended.
    pub(crate) async fn next(&mut self) -> Option<from_agent::Message> {
        timeout(PATIENCE, self.inbox.recv()).await.expect("the agent said nothing")
    }

    pub(crate) async fn launch(&mut self, task: v1::TaskInfo) {
        self.launch_on(task, false).await;
    }

    /// Launches a task, and its executor with it.
    pub(crate) async fn launch_on(&mut self, task: v1::TaskInfo, launch_executor: bool) {
        let launch = link::Launch { framework: Some(framework()), task: Some(task), launch_executor };
        self.say(to_agent::Message::Launch(launch)).await;
    }

    pub(crate) async fn launch_group(
        &mut self,
        executor: v1::ExecutorInfo,
        tasks: Vec<v1::TaskInfo>,
        launch_executor: bool,
    ) {
        let (framework, executor) = (Some(framework()), Some(executor));
        let launch = link::LaunchGroup { framework, executor, tasks, launch_executor };
        self.say(to_agent::Message::LaunchGroup(launch)).await;
    }

    pub(crate) async fn kill(&mut self, task: &str) {
        self.kill_with(task, None).await;
    }

    /// Kills with a policy that overrides the task's own.
    pub(crate) async fn kill_with(&mut self, task: &str, kill_policy: Option<v1::KillPolicy>) {
        self.say(to_agent::Message::Kill(link::Kill {
            framework_id: "framework-1".to_owned(),
            task_id: task.to_owned(),
            kill_policy,
        }))
        .await;
    }

    /// The next update, acknowledged.
    pub(crate) async fn update(&mut self) -> v1::TaskStatus {
        let status = self.update_unacknowledged().await;
        self.acknowledge(&status).await;
        status
    }

    /// The next update, which must be of this framework's, acknowledged.
    pub(crate) async fn update_of(&mut self, framework: &str) -> v1::TaskStatus {
        loop {
            match self.next().await {
                Some(from_agent::Message::Update(update)) => {
                    assert_eq!(update.framework_id, framework, "{update:?}");
                    let status = update.status.unwrap();
                    self.acknowledge_for(framework, &status).await;
                    return status;
                }
                Some(from_agent::Message::ExecutorGone(_)) => {}
                other => panic!("expected an update, not {other:?}"),
            }
        }
    }

    pub(crate) async fn update_unacknowledged(&mut self) -> v1::TaskStatus {
        match self.next().await {
            Some(from_agent::Message::Update(update)) => update.status.unwrap(),
            other => panic!("expected an update, not {other:?}"),
        }
    }

    pub(crate) async fn acknowledge(&mut self, status: &v1::TaskStatus) {
        self.acknowledge_for("framework-1", status).await;
    }

    async fn acknowledge_for(&mut self, framework: &str, status: &v1::TaskStatus) {
        self.say(to_agent::Message::Acknowledge(link::Acknowledge {
            framework_id: framework.to_owned(),
            task_id: id_of(status),
            uuid: status.uuid.clone().unwrap(),
        }))
        .await;
    }

    /// Updates of one task until one in this state, acknowledged.
    pub(crate) async fn until(&mut self, task: &str, state: v1::TaskState) -> v1::TaskStatus {
        loop {
            let status = self.update().await;
            if id_of(&status) == task && state_of(&status) == state {
                return status;
            }
            let ended = chapada_model::TaskState::try_from(status.state.unwrap()).unwrap().is_terminal();
            assert!(!(ended && id_of(&status) == task), "{task} ended as {status:?}");
        }
    }

    /// Updates, acknowledged, until each of these tasks has said that it runs; those of a pod come in any order.
    pub(crate) async fn until_all_run<const COUNT: usize>(&mut self, tasks: [&str; COUNT]) {
        let mut awaited = tasks.to_vec();
        while !awaited.is_empty() {
            let status = self.update().await;
            let state = state_of(&status);
            assert!(matches!(state, v1::TaskState::TaskStarting | v1::TaskState::TaskRunning), "{status:?}");
            awaited.retain(|task| *task != id_of(&status) || state != v1::TaskState::TaskRunning);
        }
    }
}

fn framework() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: Some("root".to_owned()),
        name: Some("test".to_owned()),
        id: Some(v1::FrameworkId { value: Some("framework-1".to_owned()) }),
        capabilities: vec![v1::framework_info::Capability {
            r#type: Some(v1::framework_info::capability::Type::PartitionAware as i32),
        }],
        ..v1::FrameworkInfo::default()
    }
}

pub(crate) fn id_of(status: &v1::TaskStatus) -> String {
    status.task_id.as_ref().unwrap().value.clone().unwrap()
}

pub(crate) fn state_of(status: &v1::TaskStatus) -> v1::TaskState {
    v1::TaskState::try_from(status.state.unwrap()).unwrap()
}

/// A task of the shell, with a tenth of a processor and 64 MiB.
pub(crate) fn command_task(id: &str, command: &str) -> v1::TaskInfo {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: Some(name.to_owned()),
        r#type: Some(v1::value::Type::Scalar as i32),
        scalar: Some(v1::value::Scalar { value: Some(value) }),
        ..v1::Resource::default()
    };
    v1::TaskInfo {
        name: Some(id.to_owned()),
        task_id: Some(v1::TaskId { value: Some(id.to_owned()) }),
        agent_id: Some(v1::AgentId { value: Some("agent-1".to_owned()) }),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 64.0)],
        command: Some(v1::CommandInfo { value: Some(command.to_owned()), ..v1::CommandInfo::default() }),
        ..v1::TaskInfo::default()
    }
}
