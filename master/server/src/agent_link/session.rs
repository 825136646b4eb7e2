//! One link, from its welcome to its end.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chapada_master_core::{AgentCommand, Held, LinkId};
use chapada_model::{AgentDescription, AgentId, Mono, Text};
use chapada_wire::link::{self, FromAgent, ToAgent, to_agent};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::inbound;
use super::outbound;
use super::relay::RELAY_QUEUE;
use crate::core_loop::{Answers, Freight, Input, LINK_QUEUE, Load, Outbox, Stopped};
use crate::shell::{Led, Shell};

/// Messages between the session and its connection: the outbox behind it holds the rest. Each is in a box: a queue keeps room for
/// 32 at least, in place, and a launch takes 3 KiB.
const WIRE_QUEUE: usize = 64;
/// How long an agent may leave its socket unread with a command waiting before it counts as gone.
const SEND_LIMIT: Duration = Duration::from_secs(30);

/// What is agreed at the welcome.
pub(crate) struct Terms {
    pub(crate) master_id: Text,
    pub(crate) heartbeat_interval: Duration,
    /// After so much silence either side takes the link for dead.
    pub(crate) silence_limit: Duration,
}

/// One link.
pub(super) struct Session {
    shell: Arc<Shell>,
    led: Arc<Led>,
    link: LinkId,
    terms: Terms,
    /// Known from the welcome on.
    agent: OnceLock<AgentId>,
    /// Cancelled when the link is to end at once.
    cut: CancellationToken,
    freight: Freight,
}

impl Session {
    /// Tells the books of an agent that has stated what it holds, and returns what to send to it.
    pub(super) async fn open(
        shell: Arc<Shell>,
        led: Arc<Led>,
        messages: Streaming<FromAgent>,
        from: IpAddr,
        agent: AgentDescription,
        held: Held,
    ) -> Result<impl Stream<Item = Result<ToAgent, Status>> + use<>, Stopped> {
        let link = led.core.next_link();
        let (sender, commands) = mpsc::channel(LINK_QUEUE);
        let (wire, stream) = mpsc::channel(WIRE_QUEUE);
        let (cut, freight) = (CancellationToken::new(), Freight::default());
        let silence_limit = shell.config.agent_ping_timeout;
        let session = Arc::new(Self {
            terms: Terms {
                master_id: led.master.id.clone(),
                heartbeat_interval: silence_limit / 3,
                silence_limit,
            },
            link,
            agent: OnceLock::new(),
            cut: cut.clone(),
            freight: freight.clone(),
            led: led.clone(),
            shell,
        });
        let outbox = Outbox { sender, cut, freight, answers: Answers::default() };
        led.core.send(Input::AgentConnected { link, from, outbox, agent: Box::new(agent), held }).await?;
        tokio::spawn(session.run(messages, commands, wire));
        Ok(ReceiverStream::new(stream).map(|message| Ok(*message)))
    }

    async fn run(
        self: Arc<Self>,
        messages: Streaming<FromAgent>,
        commands: mpsc::Receiver<AgentCommand>,
        wire: mpsc::Sender<Box<ToAgent>>,
    ) {
        let mut last_heard = self.shell.clock.now().mono;
        let why = tokio::select! {
            biased; // what ends the link from our side first
            () = self.cut.cancelled() => "it did not read its commands".to_owned(),
            () = self.led.ended.cancelled() => "this master no longer leads".to_owned(),
            () = self.shell.stop.cancelled() => "this master stops".to_owned(),
            why = self.send_all(commands, &wire) => why.to_owned(),
            why = self.read_all(messages, &mut last_heard) => why,
        };
        let agent = self.agent.get().cloned();
        if let Some(agent) = &agent {
            self.led.relays.detach(agent, self.link);
        }
        let agent_id = agent.as_ref().map(ToString::to_string);
        tracing::info!(agent_id, epoch = self.led.epoch, why, "an agent's link ended");
        // When the loop is gone, so are its books.
        drop(self.led.core.send(Input::LinkClosed { link: self.link, agent, last_heard }).await);
    }

    /// Sends commands, relay openings and heartbeats until one of them cannot be sent.
    async fn send_all(
        &self,
        mut commands: mpsc::Receiver<AgentCommand>,
        wire: &mpsc::Sender<Box<ToAgent>>,
    ) -> &'static str {
        let (relay_sender, mut relays) = mpsc::channel(RELAY_QUEUE);
        let mut sequence = 0;
        let interval = self.terms.heartbeat_interval;
        let mut beat = interval_at(Instant::now() + interval, interval);
        loop {
            let message = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => {
                        self.freight.unload(command.freight());
                        if let AgentCommand::Welcome { agent, .. } = &command {
                            tracing::info!(agent_id = %agent, epoch = self.led.epoch, "an agent is registered");
                            // A second welcome on one link names the same agent.
                            drop(self.agent.set(agent.clone()));
                            self.led.relays.attach(agent.clone(), self.link, relay_sender.clone());
                        }
                        outbound::message(&command, &self.terms)
                    }
                    None => return "closed by the master",
                },
                Some(open) = relays.recv() => to_agent::Message::OpenRelay(*open),
                _ = beat.tick() => to_agent::Message::Heartbeat(link::Heartbeat {}),
                () = wire.closed() => return "the agent closed it",
            };
            let number = match message {
                to_agent::Message::Heartbeat(_)
                | to_agent::Message::Welcome(_)
                | to_agent::Message::Refused(_) => 0,
                _ => {
                    sequence += 1;
                    sequence
                }
            };
            let message = ToAgent { epoch: self.led.epoch, sequence: number, message: Some(message) };
            if wire.send_timeout(Box::new(message), SEND_LIMIT).await.is_err() {
                return "the agent stopped reading";
            }
        }
    }

    /// Reads messages until the agent is silent for too long, leaves, or says what cannot be.
    async fn read_all(&self, mut messages: Streaming<FromAgent>, last_heard: &mut Mono) -> String {
        loop {
            let message = match timeout(self.terms.silence_limit, messages.message()).await {
                Err(_) => return format!("it was silent for {:?}", self.terms.silence_limit),
                Ok(Err(status)) => return format!("the connection broke: {}", status.message()),
                Ok(Ok(None)) => return "the agent closed it".to_owned(),
                Ok(Ok(Some(message))) => message,
            };
            *last_heard = self.shell.clock.now().mono;
            if message.seen_epoch > self.led.epoch {
                return format!("the agent obeys the newer epoch {}", message.seen_epoch);
            }
            let Some(message) = message.message else { continue };
            let Some(agent) = self.agent.get() else {
                // Until it is welcome an agent only shows that it lives.
                continue;
            };
            match inbound::event(self.link, agent, message) {
                Ok(Some(event)) => {
                    if self.led.core.event(event).await.is_err() {
                        return "this master no longer leads".to_owned();
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(agent_id = %agent, %error, "passed over a message of an agent"),
            }
        }
    }
}
