//! The loop that owns the core: takes events in, carries effects out, and keeps one write to the store under way.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;

use chapada_sdk::WriteError;
use chapada_services_core::{Command, Effect, Event, Refusal, Reply, Services, Write};
use tokio::sync::oneshot;

use crate::access;
use crate::clock::Clock;
use crate::figures::Figures;
use crate::handle::{Input, Inputs};
use crate::hub::Hub;
use crate::prober::Prober;

/// How many changes are written in one transaction at most; more wait for the next one.
const WRITES_AT_ONCE: usize = 256;
/// How many transactions may wait for the store before nothing is taken in any more: the core holds their effects.
const WAITING_TRANSACTIONS: usize = 4_096;

/// Where records are kept.
pub(crate) trait Store: Send + 'static {
    /// Makes the changes durable, all or none, however long that takes.
    ///
    /// Fails only when it never will: the turn or the process must end.
    fn write(&mut self, writes: Vec<Write>) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// So many inputs are taken before it is looked whether something is due: twice as many as instances are launched at once, so that
/// what launches lead to is heard of before more are launched.
const INPUTS_PER_TICK: usize = 4_096;

/// Who carries calls to the master. Takes every one, without waiting.
pub(crate) trait Master: Send + 'static {
    /// Carries one effect that is a call.
    fn call(&mut self, call: Effect);

    /// Whether so many wait that no news of the master, which more calls follow from, is to be taken in.
    fn is_behind(&self) -> bool;

    /// Waits until it is not behind any more.
    fn has_room(&self) -> impl Future<Output = ()> + Send;
}

/// The loop and all it owns.
pub(crate) struct Actor<S, M> {
    pub(crate) services: Services,
    pub(crate) clock: Clock,
    pub(crate) store: S,
    pub(crate) master: M,
    pub(crate) prober: Prober,
    pub(crate) hub: Hub,
    pub(crate) figures: Figures,
    pub(crate) inputs: Inputs,
}

type Writing<S> = Pin<Box<dyn Future<Output = (S, u64, Result<(), WriteError>)> + Send>>;

struct State<M> {
    services: Services,
    clock: Clock,
    master: M,
    prober: Prober,
    hub: Hub,
    figures: Figures,
    /// Transactions not begun yet.
    writes: VecDeque<(u64, Vec<Write>)>,
    /// Those who wait for an answer, by the number of their request.
    waiting: BTreeMap<u64, oneshot::Sender<Result<Reply, Refusal>>>,
    requests: u64,
}

impl<S: Store, M: Master> Actor<S, M> {
    /// Runs until nobody has anything to say to it any more, or until the store is lost.
    pub(crate) async fn run(self) -> Result<(), WriteError> {
        let Self { services, clock, store, master, prober, hub, figures, inputs } = self;
        let mut inputs = inputs.take().await;
        let (writes, waiting) = (VecDeque::new(), BTreeMap::new());
        let mut state = State { services, clock, master, prober, hub, figures, writes, waiting, requests: 0 };
        let mut idle = Some(store);
        let mut writing: Option<Writing<S>> = None;
        state.apply(Event::Tick);
        let mut taken = 0;
        loop {
            if let Some(store) = idle.take() {
                match state.next_transaction() {
                    Some((number, writes)) => writing = Some(begin(store, number, writes)),
                    None => idle = Some(store),
                }
            }
            let deadline = state.services.next_deadline().map(|at| state.clock.instant(at));
            let (open, behind) = (state.writes.len() < WAITING_TRANSACTIONS, state.master.is_behind());
            tokio::select! {
                // What frees held effects first, before anything adds to them. What is due can be much and more of it follow at once
                // (offers), so it takes turns with what comes in.
                biased;
                (store, number, result) = finished(&mut writing) => {
                    writing = None;
                    idle = Some(store);
                    result?;
                    state.apply(Event::Stored(number));
                }
                input = inputs.recv(!behind), if open && taken < INPUTS_PER_TICK => match input {
                    Some(input) => {
                        taken += 1;
                        state.on_input(input);
                    }
                    None => return Ok(()),
                },
                () = at(deadline) => {
                    taken = 0;
                    state.apply(Event::Tick);
                }
                () = state.master.has_room(), if behind => {}
                () = std::future::ready(()), if taken >= INPUTS_PER_TICK => taken = 0,
            }
        }
    }
}

fn begin<S: Store>(mut store: S, number: u64, writes: Vec<Write>) -> Writing<S> {
    Box::pin(async move {
        let result = store.write(writes).await;
        (store, number, result)
    })
}

async fn finished<S>(writing: &mut Option<Writing<S>>) -> (S, u64, Result<(), WriteError>) {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl<M: Master> State<M> {
    fn on_input(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.apply(event),
            Input::Read(read) => read(&self.services, self.clock.now()),
            Input::Command { command, caller, reply } => {
                match access::denied(&caller, &self.services, &command) {
                    None => self.command(command, reply),
                    Some(why) => {
                        if reply.send(Err(Refusal::Denied(why))).is_err() {
                            tracing::debug!("the client did not wait for its refusal");
                        }
                    }
                }
            }
        }
    }

    fn command(&mut self, command: Command, reply: oneshot::Sender<Result<Reply, Refusal>>) {
        self.requests += 1;
        self.waiting.insert(self.requests, reply);
        self.apply(Event::Command { request: self.requests, command });
    }

    fn apply(&mut self, event: Event) {
        self.figures.on_event(&event);
        for effect in self.services.apply(self.clock.now(), event) {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        self.figures.on_effect(&effect);
        match effect {
            Effect::Store { number, writes } => self.writes.push_back((number, writes)),
            Effect::Publish(event) => self.hub.publish(event),
            Effect::Probe(probe) => self.prober.ask(*probe),
            Effect::AskReady(probe) => self.prober.ask_ready(*probe),
            Effect::Answer { request, answer } => {
                let Some(reply) = self.waiting.remove(&request) else { return };
                if reply.send(answer).is_err() {
                    tracing::debug!(request, "the client did not wait for its answer");
                }
            }
            Effect::Launch { .. }
            | Effect::Accept { .. }
            | Effect::Decline { .. }
            | Effect::Kill { .. }
            | Effect::Acknowledge { .. }
            | Effect::Reconcile(_)
            | Effect::Revive
            | Effect::Suppress
            | Effect::Roles(_)
            | Effect::ReviveIn(_)
            | Effect::SuppressIn(_) => self.master.call(effect),
        }
    }

    /// Whole transactions, as many as go together; named by the last one.
    fn next_transaction(&mut self) -> Option<(u64, Vec<Write>)> {
        let (mut number, mut writes) = self.writes.pop_front()?;
        while let Some((next, more)) =
            self.writes.pop_front_if(|(_, more)| writes.len() + more.len() <= WRITES_AT_ONCE)
        {
            number = next;
            writes.extend(more);
        }
        Some((number, last_of_each(writes)))
    }
}

/// One write of each record is enough: the last one.
fn last_of_each(writes: Vec<Write>) -> Vec<Write> {
    let key = |write: &Write| match write {
        Write::Put { key, .. } | Write::Delete { key } => key.clone(),
    };
    let last: BTreeMap<String, Write> = writes.into_iter().map(|write| (key(&write), write)).collect();
    last.into_values().collect()
}
