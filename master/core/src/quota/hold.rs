//! A new leader knows what is promised, and not yet who holds what: with quota, it offers nothing until most agents have said.

use chapada_model::Mono;

use crate::Master;

/// So many of a hundred agents must have come back. Source: Mesos (mesos-inventory 4.3).
const RETURNED_PERCENT: usize = 80;

/// Offers wait for agents of the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// When they are no longer waited for.
    pub(crate) until: Mono,
    /// How many may still be silent.
    most_silent: usize,
}

impl Master {
    /// Begins to wait, when there is quota and any agent to wait for.
    pub(crate) fn hold_offers(&mut self) {
        if self.books.quotas.is_empty() || self.silent.is_empty() {
            return;
        }
        let until = self.now.mono + self.settings.agent_reregister_timeout;
        let most_silent = self.silent.len() * (100 - RETURNED_PERCENT) / 100;
        self.hold = Some(Hold { until, most_silent });
    }

    /// Whether offers must wait. Ends the wait when it is time.
    pub(crate) fn offers_wait(&mut self) -> bool {
        let over = |hold: &Hold| self.now.mono >= hold.until || self.silent.len() <= hold.most_silent;
        if self.hold.as_ref().is_some_and(over) || self.books.quotas.is_empty() {
            self.hold = None;
        }
        self.hold.is_some()
    }
}
