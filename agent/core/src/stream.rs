//! The status updates of one task: written down before they are sent, sent in order without waiting for
//! acknowledgements, repeated from the first unacknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{Mono, TaskState, UpdateUuid};

use crate::record::Update;

/// After this long without an acknowledgement updates are repeated. Source: Mesos' `STATUS_UPDATE_RETRY_INTERVAL_MIN`.
pub const FIRST_REPEAT: Duration = Duration::from_secs(10);
/// Each repetition doubles the wait, up to this. Source: Mesos' `STATUS_UPDATE_RETRY_INTERVAL_MAX`.
pub const LAST_REPEAT: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
struct Entry {
    update: Arc<Update>,
    /// Number of its record in this process's log; 0 when it was read back and so is durable.
    sequence: u64,
    sent: bool,
    acknowledged: bool,
}

/// The updates of one task that are not both acknowledged and preceded by acknowledged ones only.
#[derive(Clone, Debug)]
pub(crate) struct UpdateStream {
    entries: VecDeque<Entry>,
    newest: Option<Arc<Update>>,
    newest_logged: Option<Arc<Update>>,
    acknowledged: Option<Arc<Update>>,
    terminal: bool,
    wait: Duration,
    repeat_at: Option<Mono>,
}

impl Default for UpdateStream {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            newest: None,
            newest_logged: None,
            acknowledged: None,
            terminal: false,
            wait: FIRST_REPEAT,
            repeat_at: None,
        }
    }
}

impl UpdateStream {
    /// Adds an update whose record has this number; 0 for one that is durable already. Nothing follows a terminal one:
    /// `false` then, and nothing is changed.
    pub(crate) fn push(&mut self, update: Arc<Update>, sequence: u64) -> bool {
        if self.terminal {
            return false;
        }
        self.terminal = update.state.is_terminal();
        self.newest = Some(update.clone());
        if sequence == 0 {
            self.newest_logged = Some(update.clone());
        }
        self.entries.push_back(Entry { update, sequence, sent: false, acknowledged: false });
        true
    }

    /// Whether an update of this name is held, or was the last to be acknowledged; and if so, whether it is durable.
    pub(crate) fn knows(&self, uuid: UpdateUuid) -> Option<bool> {
        if self.acknowledged.as_ref().is_some_and(|update| update.uuid == uuid) {
            return Some(true);
        }
        let entry = self.entries.iter().find(|entry| entry.update.uuid == uuid)?;
        Some(entry.sequence == 0)
    }

    /// Notes that records up to `through` are durable, and says whether the terminal update is among them.
    pub(crate) fn on_logged(&mut self, through: u64) -> bool {
        for entry in &mut self.entries {
            if entry.sequence <= through && entry.sequence != 0 {
                entry.sequence = 0;
                self.newest_logged = Some(entry.update.clone());
            }
        }
        self.newest_logged.as_ref().is_some_and(|update| update.state.is_terminal())
    }

    /// The updates that may be sent and were not yet on this link, in order; notes them as sent.
    pub(crate) fn take_unsent(&mut self) -> Vec<Arc<Update>> {
        let ready = self.entries.iter_mut().take_while(|entry| entry.sequence == 0);
        let unsent = ready.filter(|entry| !entry.sent && !entry.acknowledged);
        unsent
            .map(|entry| {
                entry.sent = true;
                entry.update.clone()
            })
            .collect()
    }

    /// The link was renewed, or the time to repeat has come: everything unacknowledged counts as unsent.
    pub(crate) fn rewind(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.sent = false);
    }

    /// When to repeat next, if something was sent at `now` and is unacknowledged. The wait doubles each time.
    pub(crate) fn schedule(&mut self, now: Mono) -> Option<Mono> {
        if self.repeat_at.is_some() || !self.entries.iter().any(|entry| entry.sent && !entry.acknowledged) {
            return None;
        }
        let at = now + self.wait;
        self.wait = (self.wait * 2).min(LAST_REPEAT);
        self.repeat_at = Some(at);
        Some(at)
    }

    /// Forgets the time to repeat, and what it was.
    pub(crate) fn unschedule(&mut self) -> Option<Mono> {
        self.repeat_at.take()
    }

    /// Starts again with the shortest wait.
    pub(crate) fn reset_wait(&mut self) {
        self.wait = FIRST_REPEAT;
    }

    /// Notes an acknowledgement; `false` when no update that was written down and waits for one has this uuid.
    pub(crate) fn acknowledge(&mut self, uuid: UpdateUuid) -> bool {
        let waiting =
            |entry: &&mut Entry| entry.update.uuid == uuid && entry.sequence == 0 && !entry.acknowledged;
        let Some(entry) = self.entries.iter_mut().find(waiting) else {
            return false;
        };
        entry.acknowledged = true;
        while self.entries.front().is_some_and(|entry| entry.acknowledged) {
            self.acknowledged = self.entries.pop_front().map(|entry| entry.update);
        }
        true
    }

    /// Everything that was said is acknowledged, and nothing more will be said.
    pub(crate) fn is_over(&self) -> bool {
        self.terminal && self.entries.is_empty()
    }

    /// How many updates are held that nobody has acknowledged, or that follow one.
    pub(crate) fn waiting(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn newest(&self) -> Option<&Arc<Update>> {
        self.newest.as_ref()
    }

    pub(crate) fn newest_logged(&self) -> Option<&Arc<Update>> {
        self.newest_logged.as_ref()
    }

    pub(crate) fn acknowledged_state(&self) -> Option<TaskState> {
        self.acknowledged.as_ref().map(|update| update.state)
    }

    /// What a fresh log must hold of this stream: each update, and whether it is acknowledged.
    pub(crate) fn retained(&self) -> impl Iterator<Item = (&Arc<Update>, bool)> {
        let past = self.acknowledged.iter().map(|update| (update, true));
        past.chain(self.entries.iter().map(|entry| (&entry.update, entry.acknowledged)))
    }
}
