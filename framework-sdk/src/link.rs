//! How a scheduler reaches the master: over the network, or within the process for tests.

use chapada_coordination::{Detector, LeaderInfo};
use chapada_model::chain;
use chapada_tls::{Dialer, Farewell};
use chapada_wire::v1::scheduler as api;
use chapada_wire::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::config::FrameworkConfig;

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
    Network(Box<Streaming<api::Event>>, Farewell),
    Door(mpsc::Receiver<Result<api::Event, String>>),
}

impl Inbound {
    /// The next event; none when the master has ended the subscription. May be cancelled.
    pub(crate) async fn message(&mut self) -> Result<Option<api::Event>, Status> {
        match self {
            Self::Network(stream, farewell) => {
                stream.message().await.map_err(|status| explained(status, farewell))
            }
            Self::Door(events) => events.recv().await.transpose().map_err(Status::unavailable),
        }
    }
}

impl Link {
    /// Who leads, as far as this link goes.
    pub(crate) fn detector(&self, config: &FrameworkConfig) -> Detector {
        match self {
            Self::Network => {
                Detector::start_with(&config.master, config.zookeeper.clone(), config.dialer.clone())
            }
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

    /// Opens a connection to the leader. The limits are the dialer's: under TLS a turn for the handshake may take a while.
    pub(crate) async fn reach(&self, leader: &LeaderInfo, dialer: &Dialer) -> Result<Way, Status> {
        match self {
            Self::Network => {
                let place = leader.socket_addr();
                let unreachable = |error| Status::unavailable(format!("{place}: {}", chain(&error)));
                let (channel, farewell) = dial(leader, dialer).await.map_err(unreachable)?;
                Ok(Way::Network(channel, farewell))
            }
            Self::Door(door) => Ok(Way::Door(door.clone())),
        }
    }
}

/// An open connection to the leader.
pub(crate) enum Way {
    Network(Channel, Farewell),
    Door(mpsc::Sender<Knock>),
}

impl Way {
    /// Sends `calls` out on it, of which the first subscribes.
    pub(crate) async fn open(self, calls: mpsc::Receiver<api::Call>) -> Result<Inbound, Status> {
        match self {
            Self::Network(channel, farewell) => {
                let client = SchedulerServiceClient::new(channel);
                let mut client = client.max_decoding_message_size(MAX_EVENT_BYTES);
                let stream = client.connect(ReceiverStream::new(calls)).await;
                let stream = stream.map_err(|status| explained(status, &farewell))?.into_inner();
                Ok(Inbound::Network(Box::new(stream), farewell))
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

async fn dial(leader: &LeaderInfo, dialer: &Dialer) -> Result<(Channel, Farewell), tonic::transport::Error> {
    let at = leader.socket_addr();
    let endpoint = Endpoint::from_shared(format!("{}://{at}", dialer.scheme()))?;
    let names = leader.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let towards = dialer.towards(at, &names);
    let farewell = towards.farewell();
    Ok((endpoint.connect_with_connector(towards).await?, farewell))
}

/// That a certificate is not taken is heard when HTTP has its own words for it already.
fn explained(status: Status, farewell: &Farewell) -> Status {
    match farewell.take() {
        Some(why) => Status::unavailable(why),
        None => status,
    }
}
