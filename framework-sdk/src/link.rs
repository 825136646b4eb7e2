//! How a scheduler reaches the master: over the network, or within the process for tests.

use chapada_coordination::{Detector, LeaderInfo, MasterAddress, ZkOptions};
use chapada_wire::v1::scheduler as api;
use chapada_wire::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// From dialling to an open connection.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Largest message: a batch of offers of a large cluster.
const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;
/// Events that may wait within the process.
const DOOR_QUEUE: usize = 64;

/// How a scheduler reaches the master.
#[derive(Clone, Debug, Default)]
pub enum Link {
    /// gRPC to the one that leads.
    #[default]
    Network,
    /// Whoever holds the other end plays the master. For tests; `chapada-sdk-testkit` does.
    Door(mpsc::Sender<Knock>),
}

/// A scheduler that wants to subscribe through a [`Link::Door`].
#[derive(Debug)]
pub struct Knock {
    /// What it says: SUBSCRIBE first, then any calls. It ends when the scheduler leaves.
    pub calls: mpsc::Receiver<api::Call>,
    /// What it is told: SUBSCRIBED first, then any events. An error, in words, ends the subscription, and so does dropping it.
    pub events: mpsc::Sender<Result<api::Event, String>>,
}

/// What the master says on one subscription.
pub(crate) enum Inbound {
    Network(Box<Streaming<api::Event>>),
    Door(mpsc::Receiver<Result<api::Event, String>>),
}

impl Inbound {
    /// The next event; none when the master has ended the subscription. May be cancelled.
    pub(crate) async fn message(&mut self) -> Result<Option<api::Event>, Status> {
        match self {
            Self::Network(stream) => stream.message().await,
            Self::Door(events) => events.recv().await.transpose().map_err(Status::unavailable),
        }
    }
}

impl Link {
    /// Who leads, as far as this link goes.
    pub(crate) fn detector(&self, master: &MasterAddress, options: ZkOptions) -> Detector {
        match self {
            Self::Network => Detector::start(master, options),
            Self::Door(_) => Detector::fixed(LeaderInfo {
                id: "within-the-process".to_owned(),
                hostname: "localhost".to_owned(),
                ip: std::net::Ipv4Addr::LOCALHOST.into(),
                port: 0,
                version: String::new(),
                capabilities: Vec::new(),
            }),
        }
    }

    /// Opens a way to the leader, on which `calls` go out.
    pub(crate) async fn open(
        &self,
        leader: &LeaderInfo,
        calls: mpsc::Receiver<api::Call>,
    ) -> Result<Inbound, Status> {
        match self {
            Self::Network => {
                let place = leader.socket_addr();
                let unreachable = |error| Status::unavailable(format!("{place}: {}", chain(&error)));
                let channel = dial(leader).await.map_err(unreachable)?;
                let client = SchedulerServiceClient::new(channel);
                let mut client = client.max_decoding_message_size(MAX_EVENT_BYTES);
                let stream = client.connect(ReceiverStream::new(calls)).await?.into_inner();
                Ok(Inbound::Network(Box::new(stream)))
            }
            Self::Door(door) => {
                let (events, inbound) = mpsc::channel(DOOR_QUEUE);
                let nobody = |_| Status::unavailable("nobody is at the door");
                door.send(Knock { calls, events }).await.map_err(nobody)?;
                Ok(Inbound::Door(inbound))
            }
        }
    }
}

async fn dial(leader: &LeaderInfo) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{}", leader.socket_addr()))?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .connect()
        .await
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
