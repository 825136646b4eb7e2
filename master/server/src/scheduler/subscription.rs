//! A stream of events to one scheduler, from SUBSCRIBE to its end.

use std::time::Duration;

use chapada_listener::Principal;
use chapada_master_core::{SchedulerEvent, StreamId};
use chapada_model::{FrameworkId, TaskStatus};
use chapada_wire::convert::ReservationFormat;
use chapada_wire::v1::scheduler::Event;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::event::{Writer, error, heartbeat};
use super::parse::Subscribing;
use crate::core_loop::{Answers, Freight, Input, Load, Outbox, STREAM_QUEUE, ToScheduler};
use crate::shell::{Led, Shell};

/// How often a scheduler hears that its stream is alive. Source: Mesos.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// Encoded events between the pump and the connection: enough to keep the socket busy, little enough to hold.
const BODY_QUEUE: usize = 16;
/// How long a scheduler may leave its socket unread with an event waiting before it counts as gone.
const SEND_LIMIT: Duration = Duration::from_secs(30);

/// An open subscription.
pub(super) struct Subscription<T> {
    /// Its name, which later calls repeat.
    pub(super) stream: StreamId,
    /// What to send.
    pub(super) events: ReceiverStream<T>,
    /// To be cancelled when its calls cannot be read any more: whoever makes them would not learn of it otherwise.
    pub(super) deaf: CancellationToken,
    /// Cancelled when it has ended: nobody waits for what it asked any more.
    pub(super) over: CancellationToken,
}

/// Opens a subscription; `encode` makes of each event what the connection sends.
///
/// # Errors
/// When this master has ceased to lead.
pub(super) async fn open<T: Send + 'static>(
    shell: &Shell,
    led: Arc<Led>,
    subscribing: Subscribing,
    principal: &Principal,
    encode: impl Fn(Event) -> T + Send + Sync + 'static,
) -> Result<Subscription<T>, crate::core_loop::Stopped> {
    let stream = StreamId(uuid::Uuid::new_v4().to_string().into());
    let (sender, queue) = mpsc::channel(STREAM_QUEUE);
    let (cut, deaf, over) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let (freight, answers) = (Freight::default(), Answers::default());
    let (body, events) = mpsc::channel(BODY_QUEUE);
    let mut framework = subscribing.framework;
    if let (None, Principal::Named(name)) = (&framework.principal, principal) {
        framework.principal = Some(name.as_str().into());
    }
    let pump = Pump {
        writer: Writer { master: led.master.clone(), format: ReservationFormat::of(&framework) },
        framework: framework.id.clone(),
        stream: stream.clone(),
        queue,
        cut: cut.clone(),
        deaf: deaf.clone(),
        over: over.clone(),
        freight: freight.clone(),
        answers: answers.clone(),
        stop: shell.stop.clone(),
        led: led.clone(),
        body,
        encode,
    };
    let input = Input::Subscribe {
        stream: stream.clone(),
        outbox: Outbox { sender, cut, freight, answers },
        framework: Box::new(framework),
        suppressed: subscribing.suppressed,
        constraints: subscribing.constraints,
    };
    led.core.send(input).await?;
    tokio::spawn(pump.run());
    Ok(Subscription { stream, events: ReceiverStream::new(events), deaf, over })
}

struct Pump<T, F> {
    writer: Writer,
    framework: Option<FrameworkId>,
    stream: StreamId,
    queue: mpsc::Receiver<ToScheduler>,
    cut: CancellationToken,
    deaf: CancellationToken,
    over: CancellationToken,
    freight: Freight,
    answers: Answers,
    stop: CancellationToken,
    led: Arc<Led>,
    body: mpsc::Sender<T>,
    encode: F,
}

impl<T: Send + 'static, F: Fn(Event) -> T + Send + Sync + 'static> Pump<T, F> {
    async fn run(mut self) {
        let why = self.pump().await;
        self.over.cancel();
        let framework_id = self.framework.as_ref().map(ToString::to_string);
        tracing::info!(framework_id, stream = %self.stream.0, why, "a subscription ended");
        let closed = Input::StreamClosed { stream: self.stream, framework: self.framework };
        // When the loop is gone, so are its books.
        drop(self.led.core.send(closed).await);
    }

    async fn pump(&mut self) -> &'static str {
        let mut beat =
            tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut subscribed = false;
        loop {
            let event = tokio::select! {
                biased; // what ends the stream before what would be sent on it
                () = self.cut.cancelled() => return "it did not read its events",
                () = self.deaf.cancelled() => return "its calls cannot be read",
                () = self.led.ended.cancelled() => return "this master no longer leads",
                () = self.stop.cancelled() => return "this master stops",
                () = self.body.closed() => return "the scheduler closed it",
                event = self.queue.recv() => match self.unloaded(event) {
                    Some(ToScheduler::Event(framework, event)) => {
                        let event = self.writer.event(&framework, event);
                        self.framework = Some(framework);
                        event
                    }
                    Some(ToScheduler::Updates(framework, statuses)) => {
                        if !self.send_all(&framework, statuses, || {}).await {
                            return "the scheduler stopped reading";
                        }
                        continue;
                    }
                    Some(ToScheduler::Answers(framework, statuses)) => {
                        let answers = self.answers.clone();
                        if !self.send_all(&framework, statuses, || answers.unload()).await {
                            return "the scheduler stopped reading";
                        }
                        continue;
                    }
                    Some(ToScheduler::Reads(format)) => {
                        self.writer.format = format;
                        continue;
                    }
                    Some(ToScheduler::Refused(code, message)) => error(code, &message),
                    None => return "closed by the master",
                },
                _ = beat.tick(), if subscribed => heartbeat(),
            };
            let first = event.subscribed.is_some();
            if !self.send(event).await || (first && !self.send(heartbeat()).await) {
                return "the scheduler stopped reading";
            }
            subscribed |= first;
        }
    }

    /// Sends updates; `sent` is called after each. False when the stream ends meanwhile.
    async fn send_all(
        &self,
        framework: &FrameworkId,
        statuses: Vec<Arc<TaskStatus>>,
        sent: impl Fn(),
    ) -> bool {
        for status in statuses {
            if !self.send(self.writer.event(framework, SchedulerEvent::Update(status))).await {
                return false;
            }
            sent();
        }
        true
    }

    fn unloaded(&self, event: Option<ToScheduler>) -> Option<ToScheduler> {
        if let Some(event) = &event {
            self.freight.unload(event.freight());
        }
        event
    }

    async fn send(&self, event: Event) -> bool {
        let sending = self.body.send_timeout((self.encode)(event), SEND_LIMIT);
        tokio::select! {
            sent = sending => sent.is_ok(),
            () = self.cut.cancelled() => false,
            () = self.deaf.cancelled() => false,
            () = self.led.ended.cancelled() => false,
        }
    }
}
