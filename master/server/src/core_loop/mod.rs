//! The thread that owns the books, and the handle through which everyone else reaches it.
//!
//! Everything slow happens outside: parsing before an input comes in, serialising after an effect went out. The queue
//! in and every queue out are bounded; one that is full ends the one connection it belongs to, never the loop.

#[cfg(test)]
pub(crate) mod alone;
mod outboxes;
mod publisher;
mod settle;
#[cfg(test)]
mod tests;
mod thread;
mod turn;
mod waiting;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use chapada_master_core::{
    AgentCall, AgentCommand, Call, CallRefused, Caller, ErrorCode, Event, Explanation, Held, LinkId,
    MaintenanceCall, OfferConstraints, OperatorCall, OperatorRefused, RegistryChange, RoleCall,
    SchedulerEvent, Snapshot, StreamId, Ticket,
};
use chapada_model::{
    AgentDescription, AgentId, FrameworkDescription, FrameworkId, Mono, Now, Role, TaskStatus, Text,
};
use chapada_wire::convert::ReservationFormat;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use publisher::Published;
pub(crate) use thread::{Start, start};

use crate::feed::Feed;

/// Inputs that may wait. A burst of updates from many agents fits; beyond it senders wait, and with them their peers.
const INPUT_QUEUE: usize = 4_096;
/// Events that may wait for one scheduler: some seconds of a busy cluster. One that falls further behind is cut off and
/// reconciles when it comes back.
pub(crate) const STREAM_QUEUE: usize = 8_192;
/// Commands that may wait for one agent. One that falls further behind is cut off and states afresh what it holds.
pub(crate) const LINK_QUEUE: usize = 4_096;
/// Changes that may wait for the registry, as many as inputs: when it is slower than that, everyone waits for it.
pub(crate) const RECORD_QUEUE: usize = INPUT_QUEUE;

/// What the loop takes in.
pub(crate) enum Input {
    Event(Event),
    Subscribe {
        stream: StreamId,
        outbox: Outbox<ToScheduler>,
        framework: Box<FrameworkDescription>,
        suppressed: Vec<Role>,
        constraints: Arc<OfferConstraints>,
    },
    Call {
        caller: Caller,
        call: Box<Call>,
        reply: oneshot::Sender<Result<(), CallRefused>>,
    },
    /// Changes what is scheduled for machines; answered when that is durable.
    Maintenance {
        call: MaintenanceCall,
        reply: oneshot::Sender<Result<(), OperatorRefused>>,
    },
    /// Takes agents out of service or back; answered when that is durable.
    Agents {
        call: Box<AgentCall>,
        reply: oneshot::Sender<Result<(), OperatorRefused>>,
    },
    /// Changes quotas or weights; answered when that is durable.
    RoleCall {
        call: RoleCall,
        reply: oneshot::Sender<Result<(), OperatorRefused>>,
    },
    /// An operator asks for something and waits for the verdict; a teardown is answered when it is durable.
    Operator {
        call: Box<OperatorCall>,
        reply: oneshot::Sender<Result<(), OperatorRefused>>,
    },
    /// Asks what the allocator decides for a framework at an agent; changes nothing.
    Explain {
        framework: FrameworkId,
        agent: AgentId,
        reply: oneshot::Sender<(Now, Vec<Explanation>)>,
    },
    StreamClosed {
        stream: StreamId,
        framework: Option<FrameworkId>,
    },
    LinkClosed {
        link: LinkId,
        agent: Option<AgentId>,
        last_heard: Mono,
    },
    AgentConnected {
        link: LinkId,
        from: IpAddr,
        outbox: Outbox<AgentCommand>,
        agent: Box<AgentDescription>,
        held: Held,
    },
    /// Nothing more is to be decided; answered when all that was is durable and on its way to the peers.
    Settle(oneshot::Sender<()>),
}

/// What goes to a scheduler.
pub(crate) enum ToScheduler {
    /// An event of its subscription.
    Event(FrameworkId, SchedulerEvent),
    /// Several updates that came of one thing, in order.
    Updates(FrameworkId, Vec<Arc<TaskStatus>>),
    /// Answers to one reconciliation, in order. There may be as many as the framework has tasks.
    Answers(FrameworkId, Vec<Arc<TaskStatus>>),
    /// From here on its framework reads reservations like that. Nothing is sent.
    Reads(ReservationFormat),
    /// Its subscription is refused; the stream ends.
    Refused(ErrorCode, Text),
}

/// The way to one peer. Dropping it ends the connection after what was sent before.
pub(crate) struct Outbox<T> {
    pub(crate) sender: mpsc::Sender<T>,
    /// Cancelled to end the connection at once, because it is too far behind.
    pub(crate) cut: CancellationToken,
    /// Bytes of best-effort messages that wait.
    pub(crate) freight: Freight,
    /// Answers to reconciliation that wait.
    pub(crate) answers: Answers,
}

/// Counts the answers to reconciliation in one queue. They are best effort: what is asked while [`STREAM_QUEUE`] of them wait
/// is not answered, and asked again.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<AtomicUsize>);

impl Answers {
    /// Whether there is room for so many more, which then count; there always is when few wait, however many there are.
    fn load(&self, count: usize) -> bool {
        // Only the loop loads, so nothing comes between the two steps.
        let room = self.0.load(Ordering::Relaxed) < STREAM_QUEUE;
        if room {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
        room
    }

    /// One of them was sent.
    pub(crate) fn unload(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of messages between frameworks and executors that may wait for one peer. They are best effort and of any size,
/// so they are counted apart, and what is too much is dropped.
const MAX_FREIGHT: usize = 8 * 1024 * 1024;

/// Counts the bytes of best-effort messages in one queue, from the sender's side and the receiver's.
#[derive(Clone, Default)]
pub(crate) struct Freight(Arc<AtomicUsize>);

impl Freight {
    /// Whether there is room for so many more bytes, which then count.
    fn load(&self, bytes: usize) -> bool {
        // Only the loop loads, so nothing comes between the two steps.
        let room = self.0.load(Ordering::Relaxed).saturating_add(bytes) <= MAX_FREIGHT;
        if room {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
        room
    }

    /// So many bytes have left the queue.
    pub(crate) fn unload(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What can be put into a queue.
pub(crate) trait Load {
    /// Bytes of a best-effort message; zero for everything else.
    fn freight(&self) -> usize;
}

impl Load for ToScheduler {
    fn freight(&self) -> usize {
        match self {
            Self::Event(_, SchedulerEvent::Message { data, .. }) => data.len(),
            Self::Event(..) | Self::Updates(..) | Self::Answers(..) | Self::Reads(_) | Self::Refused(..) => 0,
        }
    }
}

impl Load for AgentCommand {
    fn freight(&self) -> usize {
        match self {
            Self::ExecutorMessage { data, .. } => data.len(),
            _ => 0,
        }
    }
}

/// Where the verdict on a call comes; it is closed without one when the loop is gone.
pub(crate) type Verdict = oneshot::Receiver<Result<(), CallRefused>>;

/// The loop is gone: this master no longer leads.
#[derive(Debug, thiserror::Error)]
#[error("this master no longer leads")]
pub(crate) struct Stopped;

/// Reaches the loop. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core {
    inputs: mpsc::Sender<Input>,
    reader: publisher::Reader,
    feed: Arc<Feed>,
    links: Arc<AtomicU64>,
}

impl Core {
    /// Sends an input; waits for room.
    pub(crate) async fn send(&self, input: Input) -> Result<(), Stopped> {
        self.inputs.send(input).await.map_err(|_| Stopped)
    }

    /// Sends an event; waits for room.
    pub(crate) async fn event(&self, event: Event) -> Result<(), Stopped> {
        self.send(Input::Event(event)).await
    }

    /// Makes a call and waits for the verdict.
    pub(crate) async fn call(&self, caller: Caller, call: Call) -> Result<Result<(), CallRefused>, Stopped> {
        self.hand_in(caller, call).await?.await.map_err(|_| Stopped)
    }

    /// Hands a call in; waits for room. The verdict comes later.
    pub(crate) async fn hand_in(&self, caller: Caller, call: Call) -> Result<Verdict, Stopped> {
        let (reply, verdict) = oneshot::channel();
        self.send(Input::Call { caller, call: Box::new(call), reply }).await?;
        Ok(verdict)
    }

    /// Changes quotas or weights and waits until that is durable and in the books.
    pub(crate) async fn role_call(&self, call: RoleCall) -> Result<Result<(), OperatorRefused>, Stopped> {
        let (reply, verdict) = oneshot::channel();
        self.send(Input::RoleCall { call, reply }).await?;
        verdict.await.map_err(|_| Stopped)
    }

    /// Changes what is scheduled for machines and waits until that is durable and in the books.
    pub(crate) async fn maintenance(
        &self,
        call: MaintenanceCall,
    ) -> Result<Result<(), OperatorRefused>, Stopped> {
        let (reply, verdict) = oneshot::channel();
        self.send(Input::Maintenance { call, reply }).await?;
        verdict.await.map_err(|_| Stopped)
    }

    /// Takes agents out of service or back, and waits until that is durable and in the books.
    pub(crate) async fn agents(&self, call: AgentCall) -> Result<Result<(), OperatorRefused>, Stopped> {
        let (reply, verdict) = oneshot::channel();
        self.send(Input::Agents { call: Box::new(call), reply }).await?;
        verdict.await.map_err(|_| Stopped)
    }

    /// Makes a call of an operator and waits for the verdict.
    pub(crate) async fn operate(&self, call: OperatorCall) -> Result<Result<(), OperatorRefused>, Stopped> {
        let (reply, verdict) = oneshot::channel();
        self.send(Input::Operator { call: Box::new(call), reply }).await?;
        verdict.await.map_err(|_| Stopped)
    }

    /// What the allocator decides for each role of a framework at an agent, and the moment at which it was asked.
    pub(crate) async fn decisions(
        &self,
        framework: FrameworkId,
        agent: AgentId,
    ) -> Result<(Now, Vec<Explanation>), Stopped> {
        let (reply, decisions) = oneshot::channel();
        self.send(Input::Explain { framework, agent, reply }).await?;
        decisions.await.map_err(|_| Stopped)
    }

    /// Decides nothing more, and waits until all that was decided is durable and on its way to the peers.
    pub(crate) async fn settle(&self) -> Result<(), Stopped> {
        let (reply, settled) = oneshot::channel();
        self.send(Input::Settle(reply)).await?;
        settled.await.map_err(|_| Stopped)
    }

    /// The books; everything a call changed is in them once the call returned. Waits for the loop when they have changed
    /// since they were last asked for.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Stopped> {
        Ok(self.published().await?.books.clone())
    }

    /// As [`Core::snapshot`], with the last event that the books already show.
    pub(crate) async fn published(&self) -> Result<Arc<Published>, Stopped> {
        self.reader.read().await
    }

    /// Tells when the books have changed.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.reader.versions()
    }

    /// What happens, for those who follow the cluster.
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// A new name for an agent's connection.
    pub(crate) fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
impl Core {
    /// Reaches no loop: what is sent waits, so much at most, until a test takes it.
    pub(crate) fn without_loop(queue: usize) -> (Self, mpsc::Receiver<Input>) {
        let (inputs, waiting) = mpsc::channel(queue);
        let feed = Arc::new(Feed::new(1));
        let (_, reader) = publisher::Publisher::new(1, feed.publish(Vec::new()));
        (Self { inputs, reader, feed, links: Arc::default() }, waiting)
    }
}

/// A change for the registry, in order.
pub(crate) struct Writing {
    pub(crate) ticket: Ticket,
    pub(crate) change: RegistryChange,
}
