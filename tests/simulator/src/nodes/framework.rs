//! A framework: its process, its connection, and what it is to do with each event.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_master_core::{Call, Caller, SchedulerEvent};
use chapada_model::{FrameworkDescription, FrameworkId, Mono, Payload, TaskKey};

use super::master::caller;
use crate::actors::{Actor, Manner, News, Store, Turn};
use crate::message::Message;
use crate::node::Node;
use crate::queue::{End, Happening};
use crate::sim::Sim;
use crate::tally::Met;

/// Who is not subscribed within this time tries again.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(15);

/// A framework.
#[derive(Debug)]
pub(crate) struct FrameworkNode {
    pub(crate) manner: Manner,
    pub(crate) actor: Box<dyn Actor>,
    pub(crate) description: FrameworkDescription,
    /// Stored.
    pub(crate) id: Option<FrameworkId>,
    /// What else it has stored.
    pub(crate) store: Store,
    pub(crate) wire: Option<u64>,
    pub(crate) subscribed: bool,
    pub(crate) process: u64,
    /// It runs.
    pub(crate) alive: bool,
    /// Why it was refused; it does not try again.
    pub(crate) refused: Option<String>,
    /// An operator removed it, or tried to.
    pub(crate) torn_down: bool,
    /// How far its wall clock is off.
    pub(crate) offset: i64,
    /// It wants no connection until then.
    pub(crate) away_until: Option<Mono>,
    wake: Option<Mono>,
    /// Numbers of the last call that it made on a connection of its own, and of the latest that arrived.
    made: u64,
    arrived: u64,
}

impl FrameworkNode {
    pub(crate) fn next_call(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

impl Sim {
    /// One more framework, which is about to start.
    pub fn add_framework(&mut self, manner: Manner) -> usize {
        let index = self.frameworks.len();
        let (words, actor) = manner.begin(index);
        let description = FrameworkDescription {
            id: None,
            user: "root".into(),
            name: format!("f{index}").into(),
            failover_timeout: words.failover_timeout,
            checkpoint: true,
            roles: words.roles,
            hostname: None,
            principal: None,
            webui_url: None,
            capabilities: words.capabilities.iter().copied().collect(),
            labels: Vec::new(),
            offer_filters: BTreeMap::new(),
            details: Payload::default(),
        };
        self.frameworks.push(FrameworkNode {
            actor,
            manner,
            description,
            id: None,
            store: Store::default(),
            wire: None,
            subscribed: false,
            process: 0,
            alive: false,
            refused: None,
            torn_down: false,
            offset: 0,
            away_until: None,
            wake: None,
            made: 0,
            arrived: 0,
        });
        let node = Node::Framework(index);
        let wait = self.rng.between(Duration::from_millis(1), Duration::from_millis(500));
        self.queue.put(self.now + wait, Happening::Restart { node, process: 0 });
        index
    }

    pub(crate) fn start_framework(&mut self, index: usize, process: u64) {
        let node = &mut self.frameworks[index];
        if node.process != process || node.alive {
            return;
        }
        node.alive = true;
        node.wake = None;
        self.history.note(self.now, format_args!("f{index} starts"));
        self.act(index, News::Started);
        let process = self.frameworks[index].process;
        self.queue.put(self.now, Happening::Connect { node: Node::Framework(index), process });
    }

    /// The process ends, and starts again after this time with what it has stored; never when none is given.
    pub fn crash_framework(&mut self, index: usize, away: Option<Duration>) {
        let node = &mut self.frameworks[index];
        if !std::mem::take(&mut node.alive) {
            return;
        }
        node.process += 1;
        node.subscribed = false;
        node.store.cut(&mut self.rng);
        node.actor.restart(&node.store);
        let process = node.process;
        self.tally.met(Met::FrameworkEnded);
        self.history.note(self.now, format_args!("f{index} crashes, back in {away:?}"));
        if let Some(wire) = self.frameworks[index].wire.take() {
            if self.rng.once_in(2) {
                self.break_wire(wire);
            }
            self.close(wire, true);
        }
        if let Some(away) = away {
            self.queue.put(self.now + away, Happening::Restart { node: Node::Framework(index), process });
        }
    }

    pub(crate) fn connect_framework(&mut self, index: usize, process: u64) {
        let node = &self.frameworks[index];
        if node.process != process || node.wire.is_some() || !node.alive || node.refused.is_some() {
            return;
        }
        if let Some(until) = node.away_until.filter(|until| *until > self.now) {
            return self.queue.put(until, Happening::Connect { node: Node::Framework(index), process });
        }
        let leader = self.leader_seen_late();
        let client = Node::Framework(index);
        let Some(wire) = leader.and_then(|leader| self.dial(client, leader)) else {
            return self.connect_framework_later(index);
        };
        let node = &mut self.frameworks[index];
        node.wire = Some(wire);
        let description = FrameworkDescription { id: node.id.clone(), ..node.description.clone() };
        self.history.note(self.now, format_args!("f{index} dials, wire {wire}"));
        self.send(wire, true, Message::Subscribe(Box::new(description)));
        self.queue.put(self.now + SUBSCRIBE_LIMIT, Happening::Unanswered { node: client, wire });
    }

    fn connect_framework_later(&mut self, index: usize) {
        let process = self.frameworks[index].process;
        let wait = self.rng.between(Duration::from_millis(100), Duration::from_secs(3));
        self.queue.put(self.now + wait, Happening::Connect { node: Node::Framework(index), process });
    }

    /// The stream is gone, as the framework finds.
    pub(crate) fn framework_lost(&mut self, index: usize, wire: u64) {
        let node = &mut self.frameworks[index];
        if node.wire != Some(wire) {
            return;
        }
        node.wire = None;
        let was_subscribed = std::mem::take(&mut node.subscribed);
        if was_subscribed {
            self.act(index, News::Disconnected);
        }
        self.connect_framework_later(index);
    }

    pub(crate) fn framework_hears(&mut self, index: usize, wire: u64, message: Message) {
        if self.frameworks[index].wire != Some(wire) {
            return;
        }
        match message {
            Message::Event(event) => self.on_event(index, *event),
            Message::Refused(message) => {
                self.frameworks[index].refused = Some(message);
                self.close(wire, true);
                self.frameworks[index].wire = None;
            }
            _ => {}
        }
    }

    fn on_event(&mut self, index: usize, event: SchedulerEvent) {
        match event {
            SchedulerEvent::Subscribed => {
                // The event names the id; here it is read from the books of who sent it.
                let id = self.frameworks[index].wire.and_then(|wire| self.subscribed_as(wire));
                let node = &mut self.frameworks[index];
                node.subscribed = true;
                node.id = node.id.take().or(id);
                self.act(index, News::Subscribed);
            }
            SchedulerEvent::Error { message, .. } => {
                self.history.note(self.now, format_args!("f{index} is told: {message}"));
                self.frameworks[index].refused = message.contains("removed").then(|| message.to_string());
                if let Some(wire) = self.frameworks[index].wire {
                    self.close(wire, true);
                    self.framework_lost(index, wire);
                }
            }
            event => {
                self.check_event(index, &event);
                self.act(index, News::Event(event));
            }
        }
    }

    fn subscribed_as(&self, wire: u64) -> Option<FrameworkId> {
        let master = self.network.wires.get(&wire)?.master;
        self.masters[master].framework_on(wire)
    }

    /// Tells the actor, and does what it wants.
    pub(crate) fn act(&mut self, index: usize, news: News) {
        let clock = self.clock(self.frameworks[index].offset);
        let node = &mut self.frameworks[index];
        let mut turn = Turn {
            now: self.now,
            clock,
            rng: &mut self.rng,
            stormy: self.stormy,
            store: &mut node.store,
            ends: false,
            calls: Vec::new(),
            leave_for: None,
            forgets: false,
            wake: None,
        };
        node.actor.on(&mut turn, news);
        let (calls, leave_for, wake, ends) = (turn.calls, turn.leave_for, turn.wake, turn.ends);
        let forgets = turn.forgets;
        for call in calls {
            self.framework_calls(index, call);
        }
        if ends {
            self.tally.met(Met::StoreFailed);
            self.history.note(self.now, format_args!("f{index} cannot store"));
            let away = self.rng.between(Duration::from_millis(50), Duration::from_secs(5));
            return self.crash_framework(index, Some(away));
        }
        if let Some(away) = leave_for {
            self.leave(index, away);
            if forgets {
                self.frameworks[index].id = None;
            }
        }
        if let Some(at) = wake {
            self.plan_wake_of_framework(index, at);
        }
    }

    /// It hangs up and stays away.
    fn leave(&mut self, index: usize, away: Duration) {
        let node = &mut self.frameworks[index];
        let until = self.now + away;
        node.away_until = Some(until);
        node.subscribed = false;
        let process = node.process;
        if let Some(wire) = node.wire.take() {
            self.close(wire, true);
        }
        self.queue.put(until, Happening::Connect { node: Node::Framework(index), process });
    }

    /// A framework calls: in order on one connection, or each call on a connection of its own.
    pub fn framework_calls(&mut self, index: usize, call: Call) {
        let node = &self.frameworks[index];
        let (Some(wire), true) = (node.wire, node.subscribed) else { return };
        if let Some(id) = &node.id {
            self.checks.note_call(id, &call);
        }
        self.check_intended(index, &call);
        self.check_recorded(index, &call);
        let node = &self.frameworks[index];
        if node.manner.is_ordered() {
            return self.send(wire, true, Message::Call(Box::new(call)));
        }
        let (Some(id), Some(known)) = (node.id.clone(), self.network.wires.get(&wire)) else { return };
        let (client, master) = (Node::Framework(index), known.master);
        let times = if self.stormy && self.rng.once_in(20) { 2 } else { 1 };
        let number = self.frameworks[index].next_call();
        for _ in 0..times {
            if self.reaches(client, Node::Master(master)) {
                let at = self.now + self.delay();
                let caller = Box::new(caller(id.clone(), wire));
                let call = Box::new(call.clone());
                self.queue.put(at, Happening::Call { master, caller, call, number });
            }
        }
    }

    /// Calls on different connections may swap and repeat.
    pub(crate) fn note_arrival(&mut self, caller: &Caller, number: u64) {
        let Some(index) = self.framework_of(&caller.framework) else { return };
        let latest = &mut self.frameworks[index].arrived;
        match number.cmp(latest) {
            std::cmp::Ordering::Less => self.tally.met(Met::CallsSwapped),
            std::cmp::Ordering::Equal => self.tally.met(Met::CallRepeated),
            std::cmp::Ordering::Greater => *latest = number,
        }
    }

    pub(crate) fn wake_framework(&mut self, index: usize) {
        let node = &mut self.frameworks[index];
        if node.wake.is_none_or(|at| at > self.now) {
            return;
        }
        node.wake = None;
        if node.alive && (node.subscribed || node.actor.works_alone()) {
            self.act(index, News::Woken);
        }
    }

    fn plan_wake_of_framework(&mut self, index: usize, at: Mono) {
        let at = at.max(self.now + Duration::from_millis(1));
        let node = &mut self.frameworks[index];
        if node.wake.is_none_or(|planned| planned <= self.now || at < planned) {
            node.wake = Some(at);
            self.queue.put(at, Happening::Wake(Node::Framework(index)));
        }
    }

    /// Whose id this is.
    pub(crate) fn framework_of(&self, id: &FrameworkId) -> Option<usize> {
        self.frameworks.iter().position(|framework| framework.id.as_ref() == Some(id))
    }

    /// When a task of this name ends by itself, if it does, and how.
    pub(crate) fn fate(&mut self, task: &TaskKey) -> Option<(Duration, End)> {
        if !self.plan.lively {
            return None;
        }
        let manner = self.framework_of(&task.framework).map(|index| &self.frameworks[index].manner);
        let lives_on = manner.is_some_and(Manner::has_long_tasks);
        if lives_on && !(self.stormy && self.rng.once_in(4)) {
            return None;
        }
        let wait = self.rng.between(Duration::from_millis(10), Duration::from_secs(60));
        let end = match self.rng.below(6) {
            0 => End::Code(1),
            1 => End::OutOfMemory,
            2 => End::Signal(11),
            _ => End::Code(0),
        };
        Some((wait, end))
    }
}
