//! The brake on mass removal: when many agents fall silent together, it is the network that is broken and not the machines, and to
//! give them all up would have the whole cluster started again elsewhere.
//!
//! - Of all agents no more than a share may be given up within a window of time, whoever leads, unless an operator says so.
//! - A new leader gives none up before agents had their time to come back to it.
//!
//! A new leader learns from the registry whom former ones gave up, and by its wall clock when. A clock that is behind those of
//! former leaders makes it wait longer, by the window at most; one that is ahead makes it count less. An operator's word is for the leader
//! that was asked and is not written down. Whoever was given up at that word counts for the next leader like all others, so that it may give
//! up less than it could, and can be asked again. It may give up more where the records say less than there was: an agent that was given
//! up, came back and was given up again within a window counts once for the next leader, one that was marked gone meanwhile does not count,
//! nor does what a clock that is ahead makes old.
//!
//! An agent that is held is given up when there is room again, the one that was away longest first, unless it comes back before.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use chapada_model::{AgentId, Mono, Wall};

use crate::planted::Bug;
use crate::{AgentRecord, Effect, Master, OperatorRefused, Standing};

/// An operator's word holds no longer than this.
pub const MAX_ALLOWANCE: Duration = Duration::from_secs(24 * 60 * 60);

/// How many agents may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brake {
    /// Of a hundred agents at most so many.
    pub percent: usize,
    /// However few agents there are, so many.
    pub least: usize,
    /// Within so long.
    pub window: Duration,
}

impl Default for Brake {
    fn default() -> Self {
        Self { percent: 5, least: 3, window: Duration::from_secs(600) }
    }
}

impl Brake {
    fn share_of(&self, agents: usize) -> usize {
        self.least.max(agents * self.percent / 100)
    }
}

/// At most so many agents are given up within so long, whatever share they are. Source: Mesos' `agent_removal_rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So many.
    pub count: usize,
    /// Within so long.
    pub window: Duration,
}

/// The brake as readers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrakeView {
    /// How many agents do not answer, had their time, and are not given up.
    pub held: usize,
    /// How many may be given up within the window.
    pub most: usize,
    /// The window.
    pub window: Duration,
    /// When the next is given up, unless something else happens before.
    pub next: Option<Wall>,
    /// Until when this new leader gives none up.
    pub waits_until: Option<Wall>,
    /// Until when an operator allows all.
    pub allowed_until: Option<Wall>,
}

impl BrakeView {
    /// What is held back and why, in one sentence; nothing when nothing is.
    pub fn sentence(&self) -> Option<String> {
        if self.held == 0 {
            return None;
        }
        let why = match self.waits_until {
            Some(_) => "this leader is new and agents have time to come back to it".to_owned(),
            None => format!("at most {} are within {} s", self.most, self.window.as_secs()),
        };
        Some(format!(
            "{} agents do not answer and are not given up, for so many at once are a broken network sooner than broken machines: {why}; \
             `chapada agents allow-removals` has them given up now",
            self.held
        ))
    }
}

/// Who was given up lately, and who waits to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removals {
    /// Until when each removal counts in the longest of all windows, the first first.
    recent: VecDeque<Mono>,
    held: BTreeSet<(Mono, AgentId)>,
    /// Until when a new leader waits.
    waits_until: Option<Mono>,
    allowed_until: Option<Mono>,
    /// Readers are to be shown what has changed since they last were.
    moved: bool,
}

impl Removals {
    /// The agent is back, or gone.
    pub(crate) fn forget(&mut self, until: Mono, id: &AgentId) {
        self.moved |= self.held.remove(&(until, id.clone()));
    }

    /// Who waits to be given up, for the audit.
    pub(crate) fn held(&self) -> impl Iterator<Item = &(Mono, AgentId)> {
        self.held.iter()
    }

    /// How many removals are remembered, for the audit.
    pub(crate) fn remembered(&self) -> usize {
        self.recent.len()
    }

    /// Those that still count in a window which is so much shorter than the longest, the first first.
    fn within(&self, now: Mono, shorter: Duration) -> impl ExactSizeIterator<Item = &Mono> {
        self.recent.range(self.recent.partition_point(|until| *until <= now + shorter)..)
    }

    fn is_allowed(&self, now: Mono) -> bool {
        self.allowed_until.is_some_and(|until| until > now)
    }

    fn waits(&self, now: Mono) -> Option<Mono> {
        self.waits_until.filter(|until| *until > now && !self.is_allowed(now))
    }
}

/// When an agent was last given up, at the latest, as its record has it. One that came back since was given up before; one that
/// an operator gave up for good is no sign of a broken network.
fn last_given_up(record: &AgentRecord) -> Option<Wall> {
    match record.standing {
        Standing::Unreachable { since } => Some(since),
        Standing::Admitted => record.returned,
        Standing::Gone { .. } => None,
    }
}

impl Master {
    /// A new leader with agents to wait for gives none up before they had their time, and counts those that former leaders gave up.
    pub(crate) fn wait_for_agents(&mut self) {
        self.remember_former_removals();
        if self.settings.brake.is_some() && !self.silent.is_empty() {
            self.removals.waits_until = Some(self.now.mono + self.settings.agent_reregister_timeout);
        }
        self.removals.moved = true;
        self.show_brake();
    }

    /// Counts those that former leaders gave up lately, each as long as it would have counted for them.
    fn remember_former_removals(&mut self) {
        let (now, longest) = (self.now, self.longest_window());
        // What a clock says to be in the future was just now.
        let age = |at: Wall| Duration::from_nanos(now.wall.0.saturating_sub(at.0));
        let ages = self.registry.agents.values().filter_map(last_given_up).map(age);
        let mut until: Vec<Mono> =
            ages.filter(|age| *age < longest).map(|age| now.mono + (longest - age)).collect();
        until.sort_unstable();
        self.removals.recent = until.into();
    }

    /// The windows of the brake and of the operator's rate.
    fn windows(&self) -> impl Iterator<Item = Duration> + use<> {
        let rate = self.settings.agent_removal_rate_limit.map(|limit| limit.window);
        self.settings.brake.map(|brake| brake.window).into_iter().chain(rate)
    }

    fn longest_window(&self) -> Duration {
        self.windows().max().unwrap_or_default()
    }

    /// How many were given up within a window.
    fn removed_within(&self, window: Duration) -> usize {
        let shorter = self.longest_window().saturating_sub(window);
        self.removals.within(self.now.mono, shorter).len()
    }

    /// One is given up now. At an operator's word it does not count.
    fn count_removal(&mut self) {
        if !self.removals.is_allowed(self.now.mono) {
            let until = self.now.mono + self.longest_window();
            self.removals.recent.push_back(until);
        }
    }

    /// Whether one more agent may be given up now; counts it when it may.
    pub(crate) fn may_give_up(&mut self, until: Mono, id: &AgentId) -> bool {
        // Whoever is held was away for longer, and has its turn before.
        if self.removals.held.is_empty() && self.has_room() {
            self.count_removal();
            return true;
        }
        self.removals.held.insert((until, id.clone()));
        self.removals.moved = true;
        false
    }

    /// How many agents may be given up within the window.
    fn most_removals(&self, brake: Brake) -> usize {
        // Those given up within the window were there when it began. To a clock that is behind all are recent, for as long as it is: they
        // are no more than were counted, by the clock that nobody sets.
        let counted = self.removed_within(brake.window);
        let is_recent = |since: &Wall| self.now.wall < *since + brake.window;
        let lately = match self.unreachable.first() {
            Some((since, _)) if is_recent(since) => self.unreachable.len().min(counted),
            _ => {
                let latest = self.unreachable.iter().rev().take(counted);
                latest.take_while(|(since, _)| is_recent(since)).count()
            }
        };
        brake.share_of(self.present().saturating_sub(self.unreachable.len() - lately))
    }

    /// How many agents are not gone for good.
    fn present(&self) -> usize {
        self.books.agents.len().saturating_sub(self.gone.len())
    }

    /// Whether the brake lets one more be given up. Mostly that is plain without a look at when each was given up.
    fn has_share(&self, brake: Brake) -> bool {
        let within = self.removed_within(brake.window);
        let present = self.present();
        let least = brake.share_of(present.saturating_sub(self.unreachable.len()));
        within < least || (within < brake.share_of(present) && within < self.most_removals(brake))
    }

    fn has_room(&mut self) -> bool {
        let now = self.now.mono;
        while self.removals.recent.front().is_some_and(|until| *until <= now) {
            self.removals.recent.pop_front();
        }
        if self.removals.is_allowed(now) || self.has(Bug::BrakeOff) {
            return true;
        }
        let rate = self.settings.agent_removal_rate_limit;
        let has_rate = rate.is_none_or(|limit| self.removed_within(limit.window) < limit.count);
        let has_share = self.settings.brake.is_none_or(|brake| self.has_share(brake));
        has_rate && has_share && self.removals.waits(now).is_none()
    }

    /// When there may be room for one that is held.
    pub(crate) fn next_removal(&self) -> Option<Mono> {
        if self.removals.held.is_empty() {
            return None;
        }
        let now = self.now.mono;
        if let Some(until) = self.removals.waits(now) {
            return Some(until);
        }
        let longest = self.longest_window();
        let ends = self.windows().filter_map(|window| {
            let shorter = longest.saturating_sub(window);
            let first = self.removals.within(now, shorter).next()?;
            Some(now + first.since(now).saturating_sub(shorter))
        });
        ends.min()
    }

    /// Gives those up that waited for room, the one that was away longest first.
    pub(crate) fn give_up_held(&mut self) {
        if self.removals.held.is_empty() {
            return;
        }
        while !self.removals.held.is_empty() && self.has_room() {
            let Some((_, id)) = self.removals.held.pop_first() else { break };
            self.count_removal();
            self.removals.moved = true;
            self.leave_behind(&id);
        }
    }

    /// An operator has silent agents given up for so long, however many they are.
    ///
    /// # Errors
    /// When that is too long: nobody would think of it any more. Nothing is changed then.
    pub(crate) fn allow_removals(&mut self, time: Duration) -> Result<(), OperatorRefused> {
        if time > MAX_ALLOWANCE {
            let message = "allow_agent_removals.duration is a day at most: ask again when it is over";
            return Err(OperatorRefused::Invalid(message.to_owned()));
        }
        let until = self.now.mono + time;
        self.removals.allowed_until = Some(until).filter(|until| *until > self.now.mono);
        self.removals.moved = true;
        Ok(())
    }

    /// Puts what readers see of the brake into the books, and says so when it begins to hold agents back.
    pub(crate) fn show_brake(&mut self) {
        if !std::mem::take(&mut self.removals.moved) {
            return;
        }
        let now = self.now;
        let wall = |at: Mono| now.wall + at.since(now.mono);
        let brake = self.settings.brake;
        let shown = BrakeView {
            held: self.removals.held.len(),
            most: brake.map(|brake| self.most_removals(brake)).unwrap_or(usize::MAX),
            window: brake.map(|brake| brake.window).unwrap_or_default(),
            next: self.next_removal().map(wall),
            waits_until: self.removals.waits(now.mono).map(wall),
            allowed_until: self.removals.allowed_until.filter(|until| *until > now.mono).map(wall),
        };
        let held_none = self.books.brake.held == 0;
        self.books.brake = shown;
        if let (true, Some(what)) = (held_none, self.books.brake.sentence()) {
            self.effects.push(Effect::Warn { what });
        }
    }
}
