//! Subscribes, declines and revives in a loop.

use std::time::Duration;

use chapada_master_core::{Call, SchedulerEvent};
use chapada_model::Mono;

use super::{Actor, News, Turn, ids};

/// After so many offers it hangs up and subscribes again.
const ROUNDS: usize = 8;

/// Declines each offer and takes the refusal back at once.
#[derive(Debug, Default)]
pub(crate) struct Reviver {
    rounds: usize,
    revived: Option<Mono>,
    waits: Vec<Duration>,
}

impl Actor for Reviver {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match news {
            News::Subscribed => self.revived = Some(turn.now),
            News::Event(SchedulerEvent::Offers(offers)) => {
                if let Some(revived) = self.revived {
                    self.waits.push(turn.now.since(revived));
                }
                turn.decline(ids(&offers), Duration::from_secs(5));
                turn.calls.push(Call::Revive { roles: Vec::new() });
                self.revived = Some(turn.now);
                self.rounds += 1;
                if self.rounds.is_multiple_of(ROUNDS) {
                    turn.leave_for = Some(Duration::from_millis(turn.rng.below(100)));
                }
            }
            News::Started | News::Command(_) | News::Event(_) | News::Woken | News::Disconnected => {}
        }
    }

    fn reviver(&self) -> Option<&Reviver> {
        Some(self)
    }
}

impl Reviver {
    /// How long it waited for each offer.
    pub(crate) fn waits(&self) -> &[Duration] {
        &self.waits
    }
}
