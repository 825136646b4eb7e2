//! What coordinates masters, made up as ZooKeeper is: sessions that outlive their owners and expire late, a line of election
//! znodes of which the first leads, watches that come late, and a quorum that can be lost.
//!
//! Three machines have a master process each. A leadership of one is a [`Node::Master`](crate::Node), made by its election.

use std::collections::VecDeque;
use std::time::Duration;

use chapada_model::Mono;

use crate::network::SILENCE;
use crate::queue::Happening;
use crate::sim::Sim;
use crate::tally::Met;

/// How many machines have a master.
const MACHINES: usize = 3;
/// A client that has lost its connection knows within two thirds of its session, as it sends a ping each third.
const PINGS: u32 = 3;
/// The ensemble looks for sessions that are over once in so long.
const EXPIRY_TICK: Duration = Duration::from_secs(2);
/// A client that has heard nothing for so much of its session's time, in fifths, takes the session for ended by its own clock, whatever
/// the ensemble says of it later. Source: zookeeper-client, `session_expired_timeout`.
const OWN_EXPIRY: u32 = 7;
/// Who lost its place stands in line again within this time.
const BACK_IN_LINE: Duration = Duration::from_secs(2);
/// Clients find a server again within this time once there is a quorum.
const FOUND_AGAIN: Duration = Duration::from_secs(2);
/// A process that was stopped and goes on learns of its session within this time.
const AWAKE: Duration = Duration::from_millis(200);

/// A machine with a master process.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// Its process runs.
    pub(crate) up: bool,
    /// Its session, which is new each time it stands in line; what is said of a former one means nothing. None: 0.
    session: u64,
    /// How often it was cut off from the ensemble.
    cuts: u64,
    /// When it was last.
    cut_at: Mono,
    /// The ensemble hears it.
    pub(crate) connected: bool,
    /// Its process is stopped (a long pause, SIGSTOP) and goes on later.
    stopped: bool,
    /// The leadership of its process, while it has one.
    pub(crate) term: Option<usize>,
}

/// The ensemble, and who asks it.
#[derive(Debug)]
pub(crate) struct Coordination {
    pub(crate) machines: Vec<Machine>,
    /// Election znodes in order: machine and session.
    line: VecDeque<(usize, u64)>,
    /// The term of the first in line; its writes are taken, and no other's.
    pub(crate) fence: Option<usize>,
    pub(crate) has_quorum: bool,
    sessions: u64,
    outages: u64,
    /// How long the ensemble waits for a silent session.
    pub(crate) session_timeout: Duration,
    /// Watches come up to this much late.
    pub(crate) watches_late: Duration,
}

impl Default for Coordination {
    fn default() -> Self {
        Self {
            machines: (0..MACHINES).map(|_| Machine::default()).collect(),
            line: VecDeque::new(),
            fence: None,
            has_quorum: true,
            sessions: 0,
            outages: 0,
            session_timeout: Duration::from_secs(10),
            watches_late: Duration::from_millis(5),
        }
    }
}

impl Coordination {
    fn is_in_line(&self, machine: usize) -> bool {
        self.line.contains(&(machine, self.machines[machine].session))
    }

    /// The machine whose process has this term.
    pub(crate) fn machine_of(&self, term: usize) -> Option<usize> {
        self.machines.iter().position(|machine| machine.term == Some(term))
    }
}

impl Sim {
    /// Every machine starts its master.
    pub(crate) fn start_masters(&mut self) {
        for machine in 0..MACHINES {
            self.stand_in_line(machine);
        }
        self.elect();
    }

    /// A process opens a session and makes its election znode, if it has none.
    pub(crate) fn stand_in_line(&mut self, machine: usize) {
        let state = &self.coordination.machines[machine];
        let has_place = state.up && (self.coordination.is_in_line(machine) || !state.connected);
        if has_place || state.term.is_some() {
            return;
        }
        if !self.coordination.has_quorum {
            let wait = self.rng.between(Duration::from_millis(100), FOUND_AGAIN);
            return self.queue.put(self.now + wait, Happening::StandInLine { machine });
        }
        self.coordination.sessions += 1;
        let session = self.coordination.sessions;
        let state = &mut self.coordination.machines[machine];
        (state.up, state.connected, state.stopped, state.session) = (true, true, false, session);
        state.cuts += 1;
        self.coordination.line.push_back((machine, session));
        self.history.note(self.now, format_args!("host {machine} stands in line, session {session}"));
        self.look_ahead();
    }

    /// The first in line hears that it is, later than it became so.
    fn look_ahead(&mut self) {
        if self.coordination.fence.is_none() && !self.coordination.line.is_empty() {
            let late = self.coordination.watches_late;
            let wait = self.rng.between(Duration::ZERO, late);
            self.queue.put(self.now + wait, Happening::Elect);
        }
    }

    /// The first in line leads, if it can tell: it is connected, runs, and there is a quorum to raise the epoch.
    pub(crate) fn elect(&mut self) {
        let Some((machine, session)) = self.coordination.line.front().copied() else { return };
        let state = &self.coordination.machines[machine];
        let is_there = state.up && state.connected && !state.stopped && state.session == session;
        if self.coordination.fence.is_some() || !is_there || !self.coordination.has_quorum {
            return;
        }
        if self.registry.full {
            // It cannot raise the epoch, gives its place away and tries again.
            self.history.note(self.now, format_args!("host {machine} cannot write the epoch: no space"));
            self.leave_line(machine);
            let wait = self.rng.between(Duration::from_millis(500), BACK_IN_LINE);
            self.queue.put(self.now + wait, Happening::StandInLine { machine });
            return self.look_ahead();
        }
        let term = self.begin_term();
        self.coordination.machines[machine].term = Some(term);
        self.history.note(self.now, format_args!("m{term} is on host {machine}"));
    }

    /// The machine's znode goes, and with it the right to write.
    pub(crate) fn leave_line(&mut self, machine: usize) {
        let state = &self.coordination.machines[machine];
        let (session, term) = (state.session, state.term);
        self.coordination.line.retain(|place| *place != (machine, session));
        if term.is_some() && self.coordination.fence == term {
            self.coordination.fence = None;
        }
    }

    /// A term is over as its process knows: it stands in line again as a new candidate, unless the process is gone.
    pub(crate) fn after_term(&mut self, term: usize) {
        let Some(machine) = self.coordination.machine_of(term) else { return };
        let is_up = self.coordination.machines[machine].up;
        if is_up {
            self.leave_line(machine);
            let wait = self.rng.between(Duration::from_millis(100), BACK_IN_LINE);
            self.queue.put(self.now + wait, Happening::StandInLine { machine });
        }
        self.coordination.machines[machine].term = None;
        if is_up {
            self.look_ahead();
        }
    }

    /// The process of a machine ends; its session outlives it for as long as is given, and another runs a moment after that.
    pub(crate) fn crash_machine(&mut self, machine: usize, outlives: Duration) {
        let state = &mut self.coordination.machines[machine];
        if !std::mem::take(&mut state.up) {
            return;
        }
        (state.connected, state.stopped) = (false, false);
        state.cuts += 1;
        let (session, cut, term) = (state.session, state.cuts, state.term);
        self.tally.met(Met::SessionOutlived);
        self.history.note(self.now, format_args!("host {machine} crashes; session {session} is still there"));
        if let Some(term) = term {
            self.stop_master(term);
        }
        self.queue.put(self.now + outlives, Happening::Expire { machine, session, cut });
        let wait = self.rng.between(Duration::from_millis(100), BACK_IN_LINE);
        self.queue.put(self.now + outlives + wait, Happening::StandInLine { machine });
    }

    /// The ensemble has not heard of a session for its timeout.
    pub(crate) fn on_expire(&mut self, machine: usize, session: u64, cut: u64) {
        let state = &self.coordination.machines[machine];
        let is_back = state.session == session && (state.connected || state.cuts != cut);
        if is_back || !self.coordination.line.contains(&(machine, session)) {
            return;
        }
        if !self.coordination.has_quorum {
            // Nobody can expire it; who comes to lead the ensemble waits for it once more.
            return;
        }
        self.history.note(self.now, format_args!("session {session} of host {machine} expires"));
        self.tally.met(Met::SessionExpired);
        let was_first = self.coordination.line.front() == Some(&(machine, session));
        self.coordination.line.retain(|place| *place != (machine, session));
        if was_first {
            self.coordination.fence = None;
            self.look_ahead();
        }
    }

    /// The longest time after which a silent session is over.
    fn expires_in(&mut self) -> Duration {
        self.coordination.session_timeout + self.rng.between(Duration::ZERO, EXPIRY_TICK)
    }

    /// A machine and the ensemble do not reach each other for so long; its agents and frameworks reach it all the same.
    pub fn cut_from_ensemble(&mut self, machine: usize, time: Duration) {
        let expires = self.expires_in();
        if self.disconnect(machine) {
            let state = &self.coordination.machines[machine];
            let (session, cut) = (state.session, state.cuts);
            self.tally.met(Met::CutFromEnsemble);
            self.history
                .note(self.now, format_args!("host {machine} is cut off from the ensemble for {time:?}"));
            self.queue.put(self.now + expires, Happening::Expire { machine, session, cut });
            self.queue.put(self.now + time, Happening::Reconnect { machine, cut });
        }
    }

    /// The connection of a machine breaks; its client finds out within two thirds of the session. False when it has none.
    fn disconnect(&mut self, machine: usize) -> bool {
        let most = self.coordination.session_timeout * (PINGS - 1) / PINGS;
        let state = &mut self.coordination.machines[machine];
        if !state.up || !state.connected {
            return false;
        }
        (state.connected, state.cut_at) = (false, self.now);
        state.cuts += 1;
        let cut = state.cuts;
        let wait = self.rng.between(Duration::ZERO, most);
        self.queue.put(self.now + wait, Happening::Disconnected { machine, cut });
        true
    }

    /// A client has not heard from the ensemble for so long that it takes its session for ended: its leadership is over, and it asks for a
    /// new session. Its znode stands until the ensemble ends the old one.
    fn give_session_up(&mut self, machine: usize) {
        let state = &mut self.coordination.machines[machine];
        self.history.note(self.now, format_args!("host {machine} gives session {} up", state.session));
        state.session = 0;
        if let Some(term) = state.term {
            self.stop_master(term);
        }
    }

    /// A client finds its connection broken: its leadership is suspended.
    pub(crate) fn on_disconnected(&mut self, machine: usize, cut: u64) {
        let state = &self.coordination.machines[machine];
        if state.connected || state.cuts != cut || state.session == 0 {
            return;
        }
        let gives_up = state.cut_at + self.coordination.session_timeout * OWN_EXPIRY / 5;
        if gives_up <= self.now {
            return self.give_session_up(machine);
        }
        self.queue.put(gives_up, Happening::Disconnected { machine, cut });
        if let Some(term) = state.term {
            self.tally.met(Met::Suspended);
            self.history.note(self.now, format_args!("m{term} is suspended"));
            self.suspend(term);
        }
    }

    /// A client reaches the ensemble again: its session stands, or is over.
    pub(crate) fn on_reconnect(&mut self, machine: usize, cut: u64) {
        let state = &self.coordination.machines[machine];
        // One that is stopped comes when it goes on.
        if !state.up || state.stopped || state.connected || state.cuts != cut {
            return;
        }
        if !self.coordination.has_quorum {
            // The return of the quorum brings it back.
            return;
        }
        self.coordination.machines[machine].connected = true;
        self.look_at_session(machine);
    }

    /// A connected process asks whether its znode stands.
    fn look_at_session(&mut self, machine: usize) {
        let (stands, term) =
            (self.coordination.is_in_line(machine), self.coordination.machines[machine].term);
        match (stands, term) {
            (true, Some(term)) => self.resume(term),
            (true, None) => self.look_ahead(),
            (false, Some(term)) => self.stop_master(term),
            (false, None) => self.stand_in_line(machine),
        }
    }

    /// The process of a machine is stopped for so long, as by SIGSTOP: nothing of it runs, and everything waits for it.
    pub fn stop_process(&mut self, machine: usize, time: Duration) {
        let expires = self.expires_in();
        let state = &mut self.coordination.machines[machine];
        if !state.up || state.stopped || !state.connected {
            return;
        }
        (state.stopped, state.connected) = (true, false);
        state.cuts += 1;
        let (session, cut, term) = (state.session, state.cuts, state.term);
        self.tally.met(Met::ProcessStopped);
        self.history.note(self.now, format_args!("the process of host {machine} stops for {time:?}"));
        if let Some(term) = term {
            self.suspend(term);
            for wire in self.network.wires_of(term) {
                let wait = self.rng.between(SILENCE * 3 / 4, SILENCE);
                self.queue.put(self.now + wait, Happening::Unheard { machine, cut, wire });
            }
        }
        self.queue.put(self.now + expires, Happening::Expire { machine, session, cut });
        self.queue.put(self.now + time, Happening::Continue { machine, cut });
    }

    /// A client hears nothing of a stopped process.
    pub(crate) fn on_unheard(&mut self, machine: usize, cut: u64, wire: u64) {
        let state = &self.coordination.machines[machine];
        if state.stopped && state.cuts == cut && self.network.client_open(wire) {
            self.on_learn(wire, true);
        }
    }

    /// It goes on where it was: what waited for it is done first, and only then does it learn of its session.
    pub(crate) fn on_continue(&mut self, machine: usize, cut: u64) {
        let state = &mut self.coordination.machines[machine];
        if state.cuts != cut || !std::mem::take(&mut state.stopped) {
            return;
        }
        let term = state.term;
        self.history.note(self.now, format_args!("the process of host {machine} goes on"));
        if let Some(term) = term {
            if self.coordination.fence != Some(term) {
                self.tally.met(Met::LeaderDeposed);
            }
            self.resume(term);
        }
        let wait = self.rng.between(Duration::ZERO, AWAKE);
        self.queue.put(self.now + wait, Happening::Reconnect { machine, cut });
    }

    /// Two of three servers are gone for so long: nothing is written, read or expired.
    pub fn lose_quorum(&mut self, time: Duration) {
        if !std::mem::replace(&mut self.coordination.has_quorum, false) {
            return;
        }
        self.coordination.outages += 1;
        self.tally.met(Met::QuorumLost);
        self.history.note(self.now, format_args!("the ensemble has no quorum for {time:?}"));
        for machine in 0..MACHINES {
            self.disconnect(machine);
        }
        let outage = self.coordination.outages;
        self.queue.put(self.now + time, Happening::QuorumBack { outage });
    }

    /// A new leader of the ensemble gives every session its whole time once more.
    pub(crate) fn on_quorum_back(&mut self, outage: u64) {
        if self.coordination.has_quorum || self.coordination.outages != outage {
            return;
        }
        self.coordination.has_quorum = true;
        self.history.note(self.now, format_args!("the ensemble has a quorum"));
        for machine in 0..MACHINES {
            let expires = self.expires_in();
            let wait = self.rng.between(Duration::ZERO, FOUND_AGAIN);
            let state = &self.coordination.machines[machine];
            let (session, cut) = (state.session, state.cuts);
            self.queue.put(self.now + expires, Happening::Expire { machine, session, cut });
            self.queue.put(self.now + wait, Happening::Reconnect { machine, cut });
        }
        // Sessions of processes that have another by now.
        let places: Vec<(usize, u64)> = self.coordination.line.iter().copied().collect();
        for (machine, session) in places {
            if self.coordination.machines[machine].session != session {
                let expires = self.expires_in();
                self.queue.put(self.now + expires, Happening::Expire { machine, session, cut: 0 });
            }
        }
    }

    /// The machine of the leader, if someone leads.
    pub fn leading_machine(&self) -> Option<usize> {
        self.coordination.machine_of(self.leader()?)
    }

    /// How many masters take calls and say something: two while one has not heard that it was deposed.
    pub fn serving(&self) -> usize {
        self.masters.iter().filter(|master| master.core.is_some() && master.held.is_none()).count()
    }

    /// Whether the leader can neither write nor serve for now.
    pub fn is_suspended(&self) -> bool {
        self.leader().is_some_and(|leader| self.masters[leader].held.is_some())
    }

    /// Whether the process of a term is stopped.
    pub(crate) fn is_stopped(&self, term: usize) -> bool {
        self.coordination.machine_of(term).is_some_and(|machine| self.coordination.machines[machine].stopped)
    }

    /// Everyone reaches the ensemble again, and every process runs.
    pub(crate) fn calm_ensemble(&mut self) {
        self.coordination.watches_late = Duration::from_millis(5);
        let outage = self.coordination.outages;
        self.on_quorum_back(outage);
        for machine in 0..MACHINES {
            let state = &self.coordination.machines[machine];
            let (cut, stopped) = (state.cuts, state.stopped);
            match stopped {
                true => self.on_continue(machine, cut),
                false => self.on_reconnect(machine, cut),
            }
        }
    }
}
