//! The master itself: the one entrance for everything that happens.

use chapada_model::{Mono, Now};

use crate::{Call, CallRefused, Caller, Effect, Event, RegistryState, Settings, Snapshot};

/// The books and everyone who keeps them.
#[derive(Debug)]
pub struct Master {
    snapshot: Snapshot,
}

impl Master {
    /// Begins to lead with what the registry has. Every timer restarts in full.
    pub fn recover(now: Now, settings: Settings, registry: RegistryState) -> Self {
        let snapshot = Snapshot {
            version: 0,
            master_id: settings.master_id,
            epoch: registry.epoch,
            elected: now.wall,
            agents: imbl::OrdMap::new(),
            frameworks: imbl::OrdMap::new(),
            completed_frameworks: imbl::Vector::new(),
            offers: imbl::OrdMap::new(),
            tasks: imbl::OrdMap::new(),
            completed_tasks: imbl::OrdMap::new(),
            weights: imbl::OrdMap::new(),
            why: imbl::OrdMap::new(),
            counters: crate::Counters::default(),
            total: chapada_model::Quantities::default(),
        };
        Self { snapshot }
    }

    /// Takes what happened and says what to do about it. Never fails: what makes no sense is noted and passed over.
    pub fn apply(&mut self, _now: Now, _event: Event) -> Vec<Effect> {
        self.snapshot.version += 1;
        Vec::new()
    }

    /// Takes a call and gives the verdict that the caller waits for.
    ///
    /// # Errors
    /// [`CallRefused`] says why; nothing has changed then.
    pub fn apply_call(
        &mut self,
        _now: Now,
        _caller: &Caller,
        _call: Call,
    ) -> Result<Vec<Effect>, CallRefused> {
        Err(CallRefused::UnknownFramework)
    }

    /// When [`Event::Tick`] is due at the latest; `None` while nothing waits for time. Ask again after each event.
    pub fn next_wakeup(&self) -> Option<Mono> {
        None
    }

    /// The books as they are now, for readers.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }
}
