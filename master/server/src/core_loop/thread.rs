//! The loop: take what came in, apply, execute, publish.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chapada_coordination::Lease;
use chapada_master_core::{
    AgentState, Call, CallRefused, Effect, Event, FrameworkState, LinkId, Master, OperatorRefused,
    RegistryState, Settings, StreamId, Ticket,
};
use chapada_model::{AgentId, FrameworkId};
use chapada_wire::convert::ReservationFormat;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::outboxes::Outboxes;
use super::publisher::Publisher;
use super::turn::{self, BATCH};
use super::waiting::{CallReply, Callers, DurableReply, Waiting};
use super::{Core, INPUT_QUEUE, Input, ToScheduler, Writing};
use crate::clock::Clock;
use crate::error::Error;
use crate::feed::Feed;

/// Between two looks whether the lease holds again: it is renewed, or the leadership over, as soon as ZooKeeper answers.
const LOOK_AT_LEASE: Duration = Duration::from_millis(5);

/// What a new leadership begins with.
pub(crate) struct Start {
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) registry: RegistryState,
    /// Changes for the registry; when it is full the loop waits, for without records nothing may go on.
    pub(crate) writer: mpsc::Sender<Writing>,
    /// True while nothing may be promised; the loop stands still then.
    pub(crate) suspended: watch::Receiver<bool>,
    /// Nothing is promised either while this does not hold.
    pub(crate) lease: Lease,
    /// Cancelled when the leadership ends.
    pub(crate) ended: CancellationToken,
}

/// Starts the loop on a thread of its own.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub(crate) fn start(start: Start) -> Result<Core, Error> {
    let (inputs, queue) = mpsc::channel(INPUT_QUEUE);
    let master = Master::recover(start.clock.now(), start.settings, start.registry);
    let feed = Arc::new(Feed::new(master.epoch()));
    tokio::spawn(feed.clone().run(start.ended.clone()));
    let (publisher, reader) = Publisher::new(master.version(), feed.publish(Vec::new()));
    let core = Core { inputs, reader, feed: feed.clone(), links: Arc::new(AtomicU64::new(1)) };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Error::Thread)?;
    let running = Loop {
        clock: start.clock,
        master,
        queue,
        publisher,
        feed,
        suspended: start.suspended,
        lease: start.lease,
        outboxes: Outboxes {
            streams: HashMap::new(),
            links: HashMap::new(),
            records: Vec::new(),
            news: Vec::new(),
        },
        writer: start.writer,
        verdicts: Vec::new(),
        waiting: Callers::default(),
        settled: Vec::new(),
        on_the_way: 0,
        settling: None,
    };
    let ended = start.ended;
    std::thread::Builder::new()
        .name("master-core".to_owned())
        .spawn(move || {
            // Whatever ends the loop ends the leadership, a panic included.
            let guard = ended.clone().drop_guard();
            runtime.block_on(running.run(ended));
            drop(guard);
        })
        .map_err(Error::Thread)?;
    Ok(core)
}

pub(super) struct Loop {
    clock: Clock,
    pub(super) master: Master,
    pub(super) queue: mpsc::Receiver<Input>,
    pub(super) publisher: Publisher,
    feed: Arc<Feed>,
    suspended: watch::Receiver<bool>,
    lease: Lease,
    pub(super) outboxes: Outboxes,
    writer: mpsc::Sender<Writing>,
    verdicts: Vec<Verdict>,
    /// Callers whose change is on its way into the registry.
    pub(super) waiting: Callers,
    /// Callers to be answered after the books are shown.
    settled: Vec<(DurableReply, Result<(), OperatorRefused>)>,
    /// Changes that are not known to be durable yet.
    pub(super) on_the_way: u64,
    /// Whoever wants the loop to wind up.
    settling: Option<tokio::sync::oneshot::Sender<()>>,
}

type Verdict = (CallReply, Result<(), CallRefused>);

impl Loop {
    async fn run(mut self, ended: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut inputs = VecDeque::with_capacity(BATCH + 1);
        let mut was_suspended = false;
        loop {
            // When nobody would say so any more the leadership is over, and nothing is decided after it.
            let Some((is_suspended, has_been)) = look(&mut self.suspended) else { return };
            was_suspended |= has_been;
            if is_suspended {
                tokio::select! {
                    () = ended.cancelled() => return,
                    changed = self.suspended.changed() => if changed.is_err() {
                        return;
                    },
                    waiting = self.publisher.asked() => self.publisher.answer(&self.master, waiting),
                }
                continue;
            }
            if std::mem::take(&mut was_suspended) {
                self.resume();
                if !self.hand_over().await {
                    return;
                }
                self.publish();
            }
            let wakeup = self.master.next_wakeup().map(|at| self.clock.instant(at));
            tokio::select! {
                biased; // the end first, then a suspension: nothing is promised that may not be kept
                () = ended.cancelled() => return,
                changed = self.suspended.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    was_suspended = true;
                    continue;
                }
                () = std::future::ready(()), if !inputs.is_empty() => {}
                taken = self.queue.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                }
                waiting = self.publisher.asked() => {
                    self.publisher.answer(&self.master, waiting);
                    continue;
                }
                () = sleep_until(wakeup) => batch.push(Input::Event(Event::Tick)),
            }
            // Whatever came in while this process was frozen is not obeyed before it is known whether another leads by now.
            inputs.extend(batch.drain(..));
            if !self.lease.holds() {
                if !self.wait_for_lease(&ended).await {
                    return;
                }
                was_suspended = true;
                continue;
            }
            let due = wakeup.is_some_and(|at| at <= tokio::time::Instant::now());
            let has_tick = inputs.iter().any(|input| matches!(input, Input::Event(Event::Tick)));
            if due && !has_tick {
                inputs.push_back(Input::Event(Event::Tick));
            }
            let clock = self.clock;
            turn::take(&mut inputs, || clock.now().mono, |input| self.take(input));
            if !self.hand_over().await {
                return;
            }
            self.publish();
            if inputs.is_empty()
                && let Some(settled) = self.settling.take()
            {
                return self.settle(settled, ended).await;
            }
        }
    }

    /// Stands still until the lease holds again, and answers readers meanwhile. False when the leadership has ended.
    async fn wait_for_lease(&mut self, ended: &CancellationToken) -> bool {
        while !self.lease.holds() {
            tokio::select! {
                biased; // the end first
                () = ended.cancelled() => return false,
                waiting = self.publisher.asked() => self.publisher.answer(&self.master, waiting),
                () = tokio::time::sleep(LOOK_AT_LEASE) => {}
            }
        }
        true
    }

    /// Goes on after a suspension, before anything that has waited.
    fn resume(&mut self) {
        let effects = self.master.resume(self.clock.now());
        self.outboxes.execute_all(effects);
    }

    /// Hands the registry its changes, and answers readers while there is no room for them. False when it is gone.
    async fn hand_over(&mut self) -> bool {
        for record in std::mem::take(&mut self.outboxes.records) {
            let room = loop {
                tokio::select! {
                    biased; // the records first: room is nearly always there
                    room = self.writer.reserve() => break room,
                    waiting = self.publisher.asked() => self.publisher.answer(&self.master, waiting),
                }
            };
            match room {
                Ok(room) => {
                    self.on_the_way += 1;
                    room.send(record);
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// The effects of a call that is answered when its change is durable; none when it was refused.
    fn answer_when_durable(
        &mut self,
        verdict: Result<(Vec<Effect>, Option<Ticket>), OperatorRefused>,
        reply: DurableReply,
    ) -> Option<Vec<Effect>> {
        match verdict {
            Ok((effects, Some(ticket))) => {
                self.waiting.add(ticket, Waiting::Operator(reply));
                Some(effects)
            }
            Ok((effects, None)) => {
                self.settled.push((reply, Ok(())));
                Some(effects)
            }
            Err(refused) => {
                self.settled.push((reply, Err(refused)));
                None
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = self.clock.now();
        let is_question =
            matches!(&input, Input::Call { call, .. } if matches!(**call, Call::Reconcile { .. }));
        let effects = match input {
            Input::Event(Event::Recorded { ticket }) => {
                self.on_the_way = self.on_the_way.saturating_sub(1);
                let effects = self.master.apply(now, Event::Recorded { ticket });
                for waiting in self.waiting.take(ticket) {
                    match waiting {
                        Waiting::Operator(reply) => self.settled.push((reply, Ok(()))),
                        Waiting::Framework(reply) => self.verdicts.push((reply, Ok(()))),
                    }
                }
                effects
            }
            Input::Event(event) => self.master.apply(now, event),
            Input::Settle(settled) => return self.settling = Some(settled),
            Input::RoleCall { call, reply } => {
                let verdict = self.master.apply_role_call(now, call);
                match self.answer_when_durable(verdict, reply) {
                    Some(effects) => effects,
                    None => return,
                }
            }
            Input::Maintenance { call, reply } => {
                let verdict = self.master.apply_maintenance(now, call);
                match self.answer_when_durable(verdict, reply) {
                    Some(effects) => effects,
                    None => return,
                }
            }
            Input::Agents { call, reply } => {
                let verdict = self.master.apply_agent_call(now, *call);
                match self.answer_when_durable(verdict, reply) {
                    Some(effects) => effects,
                    None => return,
                }
            }
            Input::StreamClosed { stream, framework } => {
                self.outboxes.streams.remove(&stream);
                match framework.or_else(|| self.subscriber(&stream)) {
                    Some(framework) => self.master.apply(now, Event::StreamClosed { stream, framework }),
                    None => Vec::new(),
                }
            }
            Input::LinkClosed { link, agent, last_heard } => {
                self.outboxes.links.remove(&link);
                match agent.or_else(|| self.linked(link)) {
                    Some(agent) => self.master.apply(now, Event::LinkClosed { link, agent, last_heard }),
                    None => Vec::new(),
                }
            }
            Input::Subscribe { stream, outbox, framework, suppressed, constraints } => {
                self.outboxes.streams.insert(stream.clone(), outbox);
                self.master
                    .apply(now, Event::Subscribe { stream, framework: *framework, suppressed, constraints })
            }
            Input::AgentConnected { link, from, outbox, agent, held } => {
                self.outboxes.links.insert(link, outbox);
                self.master.apply(now, Event::AgentConnected { link, from, agent: *agent, held })
            }
            Input::Explain { framework, agent, reply } => {
                // Whoever asked may be gone; then nobody wants to know.
                drop(reply.send((now, self.master.decisions(now, &framework, &agent))));
                return;
            }
            Input::Operator { call, reply } => {
                let verdict = self.master.apply_operator(now, *call);
                match self.answer_when_durable(verdict, reply) {
                    Some(effects) => effects,
                    None => return,
                }
            }
            Input::Call { caller, call, reply } => {
                let reads = match &*call {
                    Call::UpdateFramework { description, .. } => Some(ReservationFormat::of(description)),
                    _ => None,
                };
                match self.master.apply_call_and_wait(now, &caller, *call) {
                    Ok((effects, ticket)) => {
                        // Before what the call leads to, which is written so already.
                        if let (Some(format), Some(stream)) = (reads, &caller.stream) {
                            self.outboxes.tell(&caller.framework, stream, ToScheduler::Reads(format));
                        }
                        match ticket {
                            Some(ticket) => self.waiting.add(ticket, Waiting::Framework(reply)),
                            None => self.verdicts.push((reply, Ok(()))),
                        }
                        effects
                    }
                    Err(refused) => {
                        self.verdicts.push((reply, Err(refused)));
                        return;
                    }
                }
            }
        };
        match is_question {
            true => self.outboxes.answer_all(effects),
            false => self.outboxes.execute_all(effects),
        }
    }

    /// Whose stream this is, for one that closed before its framework was told its id.
    fn subscriber(&self, stream: &StreamId) -> Option<FrameworkId> {
        let books = self.master.snapshot();
        let mut frameworks = books.frameworks.values();
        let found = frameworks.find(|framework| match &framework.state {
            FrameworkState::Subscribing { stream: open } | FrameworkState::Active { stream: open } => {
                open == stream
            }
            FrameworkState::Disconnected { .. } | FrameworkState::Completed { .. } => false,
        })?;
        Some(found.id.clone())
    }

    /// Whose link this is, for one that closed before its agent was told its id.
    fn linked(&self, link: LinkId) -> Option<AgentId> {
        let books = self.master.snapshot();
        let mut agents = books.agents.values();
        let found = agents.find(|agent| match agent.state {
            AgentState::Admitting { link: open } | AgentState::Active { link: open } => open == link,
            AgentState::Recovered { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Leaving
            | AgentState::Unreachable { .. }
            | AgentState::Gone { .. } => false,
        })?;
        Some(found.id.clone())
    }

    /// Shows the books to readers who ask, then lets the callers go: who has a verdict finds it in the books.
    fn publish(&mut self) {
        let version = self.master.version();
        if version != self.publisher.version() {
            let position = self.feed.publish(std::mem::take(&mut self.outboxes.news));
            self.publisher.change(version, position);
        }
        self.publisher.answer_all(&self.master);
        // A caller that hung up needs no answer.
        for (reply, verdict) in self.verdicts.drain(..) {
            drop(reply.send(verdict));
        }
        for (reply, verdict) in self.settled.drain(..) {
            drop(reply.send(verdict));
        }
    }
}

/// Whether it is suspended, and whether it is or has been since the last look: a suspension that began and ended while the loop was at
/// something else is one all the same. Both of one moment, so that none falls between two looks. Nothing when nobody says it any more.
pub(super) fn look(suspended: &mut watch::Receiver<bool>) -> Option<(bool, bool)> {
    suspended.has_changed().ok()?;
    let seen = suspended.borrow_and_update();
    Some((*seen, *seen || seen.has_changed()))
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
