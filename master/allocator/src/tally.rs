//! Counts, while a plan is made, of why frameworks were not offered agents.

use std::collections::BTreeMap;

use chapada_model::FrameworkId;

use crate::{Allocator, Client, FrameworkSlot, WhyKind};

/// With more frameworks than this, those that were not looked at are not counted: a plan for one agent must not cost a walk
/// over all frameworks. For them [`Allocator::explain`] answers.
const MAX_COUNTED_FRAMEWORKS: usize = 256;

const KINDS: usize = WhyKind::ALL.len();

/// The counts of one plan.
#[derive(Debug)]
pub(crate) struct Tally {
    /// By framework; absent when it was not looked at.
    by_framework: Vec<Option<Box<Counts>>>,
    /// How many agents everyone had refused.
    pub(crate) refused_by_all: u32,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    why: [u32; KINDS],
    /// How often it was looked at for an agent.
    looks: u32,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { by_framework: Vec::new(), refused_by_all: 0 }
    }

    /// A client was looked at for an agent that is given away, and got something or not.
    pub(crate) fn look(&mut self, client: Client, why: Option<WhyKind>) {
        let counts = self.counts(client.framework);
        counts.looks += 1;
        if let Some(why) = why {
            counts.why[why as usize] += 1;
        }
    }

    /// A client was looked at for an agent that nobody else was looked at for.
    pub(crate) fn look_apart(&mut self, client: Client, why: WhyKind) {
        self.counts(client.framework).why[why as usize] += 1;
    }

    fn counts(&mut self, framework: FrameworkSlot) -> &mut Counts {
        let index = framework.0 as usize;
        if self.by_framework.len() <= index {
            self.by_framework.resize(index + 1, None);
        }
        self.by_framework[index].get_or_insert_default()
    }

    /// The counts by framework. Whoever was not looked at for one of `considered` agents came after someone who took what was
    /// free.
    pub(crate) fn skipped(
        mut self,
        allocator: &Allocator,
        considered: u32,
    ) -> BTreeMap<FrameworkId, BTreeMap<WhyKind, u32>> {
        let count_all = allocator.frameworks.len() <= MAX_COUNTED_FRAMEWORKS;
        let mut skipped = BTreeMap::new();
        for (slot, id, framework) in allocator.frameworks.iter().filter(|(_, _, framework)| framework.active)
        {
            let counts = self.by_framework.get_mut(slot.0 as usize).and_then(Option::take);
            let (mut counts, looked_at) = (counts.clone().unwrap_or_default(), counts.is_some());
            if !looked_at && (!count_all || considered == 0) {
                continue;
            }
            let times = |roles: usize| considered.saturating_mul(u32::try_from(roles).unwrap_or(u32::MAX));
            let is_open = |client: &&crate::ClientSlot| allocator.wanting.contains(client.0);
            let open = framework.roles.values().filter(is_open).count();
            let refused = self.refused_by_all.saturating_mul(u32::try_from(open).unwrap_or(u32::MAX));
            counts.why[WhyKind::Filtered as usize] += refused;
            let rest = if framework.late.is_some() { WhyKind::Unanswered } else { WhyKind::NothingFree };
            counts.why[rest as usize] += times(open).saturating_sub(counts.looks).saturating_sub(refused);
            counts.why[WhyKind::Suppressed as usize] += times(framework.roles.len() - open);
            let counted = WhyKind::ALL.into_iter().map(|kind| (kind, counts.why[kind as usize]));
            skipped.insert(id.clone(), counted.filter(|(_, count)| *count > 0).collect());
        }
        skipped
    }
}
