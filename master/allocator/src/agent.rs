//! An agent as the allocator sees it.

use std::sync::Arc;

use chapada_model::{AgentDescription, Attributes, Domain, Milli, Mono, Resource, Resources, Text};

use crate::Amounts;
use crate::amounts::Counted;
use crate::bits::Bits;

/// What the allocator must know of an agent.
#[derive(Clone, Debug, Default)]
pub struct AgentInput {
    /// All it has.
    pub total: Resources,
    /// Its name, for constraints.
    pub hostname: Text,
    /// What its operator says about it, for constraints.
    pub attributes: Attributes,
    /// Where it stands.
    pub domain: Option<Domain>,
}

impl AgentInput {
    /// What matters of a description; what it has is `total`.
    pub fn new(description: &AgentDescription, total: &Resources) -> Self {
        Self {
            total: total.clone(),
            hostname: description.hostname.clone(),
            attributes: description.attributes.clone(),
            domain: description.domain.clone(),
        }
    }
}

impl From<&Resources> for AgentInput {
    fn from(total: &Resources) -> Self {
        Self { total: total.clone(), ..Self::default() }
    }
}

/// What an agent has and whether it can be offered.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) input: AgentInput,
    /// The amounts it has in all.
    pub(crate) total: Amounts,
    /// What nobody holds and no offer has, and all that is shared, whoever uses it.
    pub(crate) free: Arc<Resources>,
    /// What that comes to.
    pub(crate) counted: Counted,
    /// Whether everything free is for everyone: no reservations, nothing revocable or shared.
    pub(crate) plain: bool,
    /// Whether it has GPUs, which are kept for those who know what to do with them.
    pub(crate) has_gpus: bool,
    /// The clients whose constraints leave it out, as far as was asked.
    pub(crate) left_out: Bits,
    /// Whether it is connected.
    pub(crate) active: bool,
    /// Whether something has changed for it since the last plan.
    pub(crate) dirty: bool,
    /// Since when so much is free.
    pub(crate) free_since: Mono,
    /// Since when it is as its input says, and connected or not.
    pub(crate) since: Mono,
}

impl Agent {
    pub(crate) fn new(input: AgentInput, now: Mono) -> Self {
        Self {
            has_gpus: input.total.scalar("gpus") > Milli::ZERO,
            input,
            total: Amounts::default(),
            free: Arc::default(),
            counted: Counted::default(),
            plain: true,
            left_out: Bits::default(),
            active: true,
            dirty: false,
            free_since: now,
            since: now,
        }
    }

    pub(crate) fn set_free(&mut self, free: Arc<Resources>, counted: Counted) {
        self.counted = counted;
        self.plain = free.iter().all(is_plain);
        self.free = free;
    }

    /// How much of its scarcest resource is free, in millionths.
    pub(crate) fn emptiness(&self) -> u64 {
        let part = |(name, total): (crate::NameSlot, Milli)| {
            u128::from(self.counted.all.get(name).0).saturating_mul(1_000_000) / u128::from(total.0.max(1))
        };
        let scarcest = self.total.iter().map(part).min().unwrap_or_default();
        u64::try_from(scarcest).unwrap_or(u64::MAX)
    }
}

fn is_plain(resource: &Resource) -> bool {
    resource.reservations.is_empty() && !resource.revocable && !resource.shared
}

/// Whether quota counts it: nobody's own and not to be taken back. What is reserved counts for its role in any case.
pub(crate) fn is_open(resource: &Resource) -> bool {
    resource.reservations.is_empty() && !resource.revocable && !resource.shared
}

/// Whether it counts for the quota of the role it is reserved for, in use or not.
pub(crate) fn is_kept(resource: &Resource) -> bool {
    !resource.reservations.is_empty() && !resource.revocable
}
