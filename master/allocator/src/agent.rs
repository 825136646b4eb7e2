//! An agent as the allocator sees it.

use chapada_model::{Milli, Quantities, Resources};

/// What an agent has and whether it can be offered.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// The amounts it has in all.
    pub(crate) total: Quantities,
    /// What nobody holds and no offer has.
    pub(crate) free: Resources,
    /// Whether everything free is for everyone: no reservations, nothing revocable or shared.
    pub(crate) plain: bool,
    /// Whether it is connected.
    pub(crate) active: bool,
    /// Whether something has changed for it since the last plan.
    pub(crate) dirty: bool,
}

impl Agent {
    pub(crate) fn new(total: &Resources, free: Resources) -> Self {
        let mut agent = Self {
            total: Quantities::from(total),
            free: Resources::EMPTY,
            plain: true,
            active: true,
            dirty: false,
        };
        agent.set_free(free);
        agent
    }

    pub(crate) fn set_free(&mut self, free: Resources) {
        self.plain = free.iter().all(|r| r.reservations.is_empty() && !r.revocable && !r.shared);
        self.free = free;
    }

    /// Whether it has GPUs, which are kept for those who know what to do with them.
    pub(crate) fn has_gpus(&self) -> bool {
        self.total.get("gpus") > Milli::ZERO
    }
}
