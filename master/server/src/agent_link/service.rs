//! The gRPC service of the link, and the handshake that begins one.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chapada_listener::Peer;
use chapada_master_core::Held;
use chapada_model::AgentDescription;
use chapada_wire::link::agent_link_server::AgentLink;
use chapada_wire::link::{
    self, FromAgent, FromRelay, ToAgent, ToRelay, from_agent::Message, refused::Reason,
};
use futures_util::Stream;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::PROTOCOL_VERSION;
use super::inbound;
use super::outbound::refused;
use super::session::Session;
use crate::shell::{Led, Shell};

/// How long an agent may take for its hello and each page of what it holds.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take for all pages: others may wait for its room.
const HOLDING_LIMIT: Duration = Duration::from_secs(60);
/// Tasks that one agent may state: far more than one machine runs, and a bound on what a hostile one can make us keep.
const MAX_HELD_TASKS: usize = 100_000;

/// Serves agents.
pub(crate) struct LinkService {
    pub(crate) shell: Arc<Shell>,
}

type Commands = Pin<Box<dyn Stream<Item = Result<ToAgent, Status>> + Send>>;
type Credits = Pin<Box<dyn Stream<Item = Result<ToRelay, Status>> + Send>>;

#[tonic::async_trait]
impl AgentLink for LinkService {
    type ConnectStream = Commands;
    type RelayStream = Credits;

    async fn connect(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Commands>, Status> {
        let peer = remote(&request)?;
        let led = match self.shell.leading_soon().await {
            Ok(led) => led,
            Err(elsewhere) => return Ok(refusal(0, Reason::NotLeading, elsewhere.sentence())),
        };
        let mut messages = request.into_inner();
        let refused = |(reason, message): Refusal| {
            tracing::warn!(%peer, ?reason, message, "refused an agent");
            refusal(led.epoch, reason, message)
        };
        let agent = match introduce(&led, &mut messages, peer).await? {
            Ok(agent) => agent,
            Err(why) => return Ok(refused(why)),
        };
        let _room = self.shell.handshakes.enter().await;
        let heard = timeout(HOLDING_LIMIT, hear_out(&mut messages)).await;
        let heard =
            heard.map_err(|_| Status::deadline_exceeded("the agent took too long to say what it holds"))?;
        let held = match heard? {
            Ok(held) => held,
            Err(why) => return Ok(refused(why)),
        };
        let commands =
            Session::open(self.shell.clone(), led.clone(), messages, peer.ip().to_canonical(), agent, held)
                .await
                .map_err(|stopped| Status::unavailable(stopped.to_string()))?;
        Ok(Response::new(Box::pin(commands)))
    }

    async fn relay(&self, request: Request<Streaming<FromRelay>>) -> Result<Response<Credits>, Status> {
        let led = self.shell.reading().map_err(|elsewhere| elsewhere.status())?;
        let mut messages = request.into_inner();
        let hello = timeout(HANDSHAKE_LIMIT, messages.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no RelayHello came"))??;
        let Some(link::from_relay::Message::Hello(hello)) = hello.and_then(|message| message.message) else {
            return Err(Status::invalid_argument("the first message of a relay must be RelayHello"));
        };
        let credits = led.relays.answer(&hello.token, messages)?;
        Ok(Response::new(Box::pin(credits)))
    }
}

type Refusal = (Reason, String);

/// Reads the hello.
async fn introduce(
    led: &Led,
    messages: &mut Streaming<FromAgent>,
    peer: SocketAddr,
) -> Result<Result<AgentDescription, Refusal>, Status> {
    let first = next(messages).await?;
    let Some(Message::Hello(hello)) = first.message else {
        return Ok(Err((Reason::Invalid, "the first message of a link must be Hello".to_owned())));
    };
    if hello.protocol_version > PROTOCOL_VERSION {
        let message = format!(
            "the agent speaks version {} of the link, this master up to {PROTOCOL_VERSION}: upgrade the masters first",
            hello.protocol_version
        );
        return Ok(Err((Reason::Version, message)));
    }
    if first.seen_epoch > led.epoch {
        let message = format!(
            "the agent obeys epoch {}, this master's is {}: another leads, or the registry was put back by hand; \
             `chapada registry export` and `import` give it an epoch that agents obey",
            first.seen_epoch, led.epoch
        );
        return Ok(Err((Reason::NotLeading, message)));
    }
    Ok(inbound::describe(&hello, peer).map_err(|error| (Reason::Invalid, error.to_string())))
}

/// Reads everything the agent holds.
async fn hear_out(messages: &mut Streaming<FromAgent>) -> Result<Result<Held, Refusal>, Status> {
    let mut held = Held::default();
    loop {
        let Some(Message::Holding(page)) = next(messages).await?.message else {
            return Ok(Err((Reason::Invalid, "Hello must be followed by pages of Holding".to_owned())));
        };
        let is_last = page.last;
        if let Err(error) = inbound::hold(&mut held, page) {
            return Ok(Err((Reason::Invalid, error.to_string())));
        }
        if held.tasks.len() > MAX_HELD_TASKS {
            return Ok(Err((Reason::Invalid, format!("the agent states more than {MAX_HELD_TASKS} tasks"))));
        }
        if is_last {
            return Ok(Ok(held));
        }
    }
}

async fn next(messages: &mut Streaming<FromAgent>) -> Result<FromAgent, Status> {
    let message = timeout(HANDSHAKE_LIMIT, messages.message()).await;
    let message = message.map_err(|_| Status::deadline_exceeded("the agent stopped during its hello"))??;
    message.ok_or_else(|| Status::cancelled("the agent left during its hello"))
}

fn refusal(epoch: u64, reason: Reason, message: String) -> Response<Commands> {
    let only = ToAgent { epoch, sequence: 0, message: Some(refused(reason, message)) };
    Response::new(Box::pin(futures_util::stream::iter([Ok(only)])))
}

fn remote<T>(request: &Request<T>) -> Result<SocketAddr, Status> {
    let peer = request.extensions().get::<Peer>();
    peer.map(|peer| peer.remote).ok_or_else(|| Status::internal("the listener did not say who called"))
}
