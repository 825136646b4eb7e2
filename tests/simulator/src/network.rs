//! Wires that deliver a prefix in order and then break; ends that learn late; partitions that go one way or both.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::Mono;

use crate::message::Message;
use crate::node::Node;
use crate::nodes::Held;
use crate::queue::Happening;
use crate::sim::Sim;
use crate::tally::Met;

/// Who hears nothing for so long gives a connection up. Source: heartbeats each 15 s.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);

/// So many messages may wait for a peer that does not read; then its connection is ended. The master's shell allows more, and a
/// run would not come to it.
const OUTBOX: usize = 64;

/// How long a message takes one who reads a byte a second.
const SLOW_MESSAGE: Duration = Duration::from_secs(300);

/// What takes longer than this is slow.
pub(crate) const LONG: Duration = Duration::from_millis(500);

/// One direction of a wire.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    last: Mono,
    cut: bool,
}

/// A connection of an agent or a framework to a master.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) client: Node,
    pub(crate) master: usize,
    up: Channel,
    down: Channel,
    pub(crate) client_open: bool,
    pub(crate) server_open: bool,
    last_heard: Mono,
    /// What the master has sent to one who reads a byte a second.
    unread: usize,
}

/// All wires, and who cannot reach whom until when.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) wires: BTreeMap<u64, Wire>,
    last_wire: u64,
    blocked: BTreeMap<(Node, Node), Mono>,
    /// Messages take up to this long; a few milliseconds in calm weather.
    pub(crate) slowness: Duration,
}

impl Network {
    /// Whether everyone reaches everyone, at the pace of calm weather.
    pub(crate) fn is_whole(&self, now: Mono) -> bool {
        let is_cut = |wire: &Wire| wire.up.cut || wire.down.cut;
        self.slowness.is_zero()
            && self.blocked.values().all(|until| *until <= now)
            && !self.wires.values().any(is_cut)
    }

    /// When the agent was last heard on a wire.
    pub(crate) fn last_heard(&self, wire: u64) -> Option<Mono> {
        self.wires.get(&wire).map(|wire| wire.last_heard)
    }

    /// How many connections there ever were.
    pub(crate) fn dials(&self) -> u64 {
        self.last_wire
    }

    /// The connections of a master that their clients hold open.
    pub(crate) fn wires_of(&self, master: usize) -> Vec<u64> {
        let open = self.wires.iter().filter(|(_, wire)| wire.master == master && wire.client_open);
        open.map(|(id, _)| *id).collect()
    }

    pub(crate) fn server_open(&self, wire: u64) -> bool {
        self.wires.get(&wire).is_some_and(|wire| wire.server_open)
    }

    pub(crate) fn client_open(&self, wire: u64) -> bool {
        self.wires.get(&wire).is_some_and(|wire| wire.client_open)
    }
}

impl Sim {
    /// How long a message takes.
    pub(crate) fn delay(&mut self) -> Duration {
        let most = match self.rng.once_in(12) {
            true => self.network.slowness,
            false => Duration::from_millis(3),
        };
        let delay = self.rng.between(Duration::from_micros(100), most.max(Duration::from_millis(1)));
        if delay > LONG {
            self.tally.met(Met::SlowMessage);
        }
        delay
    }

    pub(crate) fn reaches(&self, from: Node, to: Node) -> bool {
        self.network.blocked.get(&(from, to)).is_none_or(|until| *until <= self.now)
    }

    /// A new connection; `None` when the master cannot be reached or does not run.
    pub(crate) fn dial(&mut self, client: Node, master: usize) -> Option<u64> {
        let server = Node::Master(master);
        let both = self.reaches(client, server) && self.reaches(server, client);
        let is_suspended = self.masters[master].held.is_some() && !self.is_stopped(master);
        if !both || is_suspended || self.masters[master].core.is_none() {
            return None;
        }
        self.network.last_wire += 1;
        let wire = Wire {
            client,
            master,
            up: Channel::default(),
            down: Channel::default(),
            client_open: true,
            server_open: true,
            last_heard: self.now,
            unread: 0,
        };
        self.network.wires.insert(self.network.last_wire, wire);
        Some(self.network.last_wire)
    }

    /// Sends on a wire; nothing when this end is closed, lost when the direction is cut.
    pub(crate) fn send(&mut self, id: u64, up: bool, message: Message) {
        let delay = self.delay();
        let now = self.now;
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        let open = if up { wire.client_open } else { wire.server_open };
        let channel = if up { &mut wire.up } else { &mut wire.down };
        if !open || channel.cut {
            return;
        }
        channel.last = channel.last.max(now + delay);
        let at = channel.last;
        self.queue.put(at, Happening::Deliver { wire: id, up, message: Box::new(message) });
    }

    /// Sends to a framework, as fast as it reads; one that lets too much wait is cut off.
    pub(crate) fn send_to_framework(&mut self, id: u64, message: Message) {
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        let Node::Framework(index) = wire.client else { return };
        if self.frameworks[index].manner != crate::Manner::SlowReader {
            return self.send(id, false, message);
        }
        let is_first = wire.unread == 0;
        wire.unread += 1;
        match (is_first, wire.unread > OUTBOX) {
            (true, _) => self.send(id, false, message),
            (false, false) => {
                wire.down.last = wire.down.last.max(self.now) + SLOW_MESSAGE;
                self.send(id, false, message);
            }
            (false, true) => self.queue.put(self.now, Happening::Learn { wire: id, at_client: false }),
        }
    }

    pub(crate) fn on_deliver(&mut self, id: u64, up: bool, message: Message) {
        let now = self.now;
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        let (channel, open) = if up { (&wire.up, wire.server_open) } else { (&wire.down, wire.client_open) };
        if channel.cut {
            self.tally.met(Met::LostOnTheWay);
        }
        if channel.cut || !open {
            return;
        }
        if up {
            wire.last_heard = now;
        }
        let (client, master) = (wire.client, wire.master);
        self.history.note(
            now,
            format_args!("{client} {} m{master} wire {id}: {message}", if up { "->" } else { "<-" }),
        );
        match (message, up) {
            (Message::Closed, true) => self.server_lost(id),
            (Message::Closed, false) => self.client_lost(id),
            (message, true) => self.master_hears(master, id, message),
            (message, false) => self.client_hears(client, id, message),
        }
    }

    /// One end closes in good order: what it sent before arrives.
    pub(crate) fn close(&mut self, id: u64, at_client: bool) {
        self.send(id, at_client, Message::Closed);
        if let Some(wire) = self.network.wires.get_mut(&id) {
            match at_client {
                true => wire.client_open = false,
                false => wire.server_open = false,
            }
            let cut = if at_client { wire.up.cut } else { wire.down.cut };
            if cut {
                self.queue.put(self.now + SILENCE, Happening::Learn { wire: id, at_client: !at_client });
            }
        }
        self.drop_closed(id);
    }

    /// The wire breaks: what is under way is lost, and either end learns late.
    pub(crate) fn break_wire(&mut self, id: u64) {
        self.cut(id, true, true);
    }

    fn cut(&mut self, id: u64, up: bool, down: bool) {
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        wire.up.cut |= up;
        wire.down.cut |= down;
        let near = Duration::from_millis(1);
        for (at_client, hears_nothing) in [(true, down), (false, up)] {
            // Who hears nothing learns from silence; who is not heard, from the other's giving up, or from its own.
            let most = if hears_nothing { SILENCE } else { SILENCE * 2 };
            let wait = self.rng.between(near, most);
            self.queue.put(self.now + wait, Happening::Learn { wire: id, at_client });
        }
    }

    pub(crate) fn on_learn(&mut self, id: u64, at_client: bool) {
        let open = if at_client { self.network.client_open(id) } else { self.network.server_open(id) };
        if open {
            self.tally.met(Met::LearnedLate);
            self.history.note(self.now, format_args!("wire {id} is found broken, at client: {at_client}"));
            if at_client { self.client_lost(id) } else { self.server_lost(id) }
        }
    }

    fn client_lost(&mut self, id: u64) {
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        wire.client_open = false;
        let client = wire.client;
        self.drop_closed(id);
        match client {
            Node::Agent(index) => self.agent_lost(index, id),
            Node::Framework(index) => self.framework_lost(index, id),
            Node::Master(_) => {}
        }
    }

    pub(crate) fn server_lost(&mut self, id: u64) {
        let Some(master) = self.network.wires.get(&id).map(|wire| wire.master) else { return };
        if self.hold(master, || Held::Lost(id)) {
            return;
        }
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        wire.server_open = false;
        self.master_lost(master, id);
        self.drop_closed(id);
    }

    fn drop_closed(&mut self, id: u64) {
        if self.network.wires.get(&id).is_some_and(|wire| !wire.client_open && !wire.server_open) {
            self.network.wires.remove(&id);
        }
    }

    /// Nothing gets from one to the other for some time; with `back`, nor the other way.
    pub fn partition(&mut self, from: Node, to: Node, back: bool, time: Duration) {
        let until = self.now + time;
        self.history.note(self.now, format_args!("{from} cannot reach {to} for {time:?}, both ways: {back}"));
        self.tally.met(if back { Met::PartitionBothWays } else { Met::PartitionOneWay });
        let pairs = if back { vec![(from, to), (to, from)] } else { vec![(from, to)] };
        for pair in &pairs {
            let at = self.network.blocked.entry(*pair).or_default();
            *at = (*at).max(until);
        }
        let wires: Vec<u64> = self.network.wires.keys().copied().collect();
        for id in wires {
            let Some(wire) = self.network.wires.get_mut(&id) else { continue };
            let (client, server) = (wire.client, Node::Master(wire.master));
            let (up, down) = (pairs.contains(&(client, server)), pairs.contains(&(server, client)));
            match (up || down, time >= SILENCE) {
                (false, _) => {}
                (true, true) => self.cut(id, up, down),
                // Short enough for what is under way to be repeated below.
                (true, false) => {
                    for (channel, held) in [(&mut wire.up, up), (&mut wire.down, down)] {
                        if held {
                            channel.last = channel.last.max(until);
                        }
                    }
                }
            }
        }
    }

    /// Everything reaches everything again.
    pub fn heal(&mut self) {
        self.network.blocked.clear();
    }

    /// The open wire of a client.
    pub fn wire_of(&self, client: Node) -> Option<u64> {
        match client {
            Node::Agent(index) => self.agents[index].wire,
            Node::Framework(index) => self.frameworks[index].wire,
            Node::Master(_) => None,
        }
    }
}
