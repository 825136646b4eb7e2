//! What an operator can set.

use std::time::Duration;

use chapada_allocator::PolicyName;
use chapada_model::{Milli, Quantities, Text};

use crate::{Brake, MAX_GONE_AGENTS, RateLimit, RecordBound};

/// How many removed frameworks are remembered. Source: Mesos.
pub const MAX_COMPLETED_FRAMEWORKS: usize = 50;

/// How many ended tasks of a framework are remembered. Source: Mesos.
pub const MAX_COMPLETED_TASKS: usize = 1_000;

/// How many unreachable tasks of a framework are remembered. Source: Mesos.
pub const MAX_UNREACHABLE_TASKS: usize = 1_000;

/// How many removed frameworks the registry keeps until their agents confirm; a failover may bring tasks of older ones back.
pub const MAX_REMOVED_FRAMEWORKS: usize = 10_000;

/// So many unreachable agents are remembered at least until old records are looked for; older ones count as unknown. Source: Mesos.
pub const MAX_UNREACHABLE_AGENTS: usize = 100_000;

/// What the core must be told; everything else is fixed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// New at each start; the ids of frameworks, agents and offers begin with it. It must be a valid id of at most 200 bytes.
    pub master_id: Text,
    /// How long an agent may be silent before it counts as unreachable. Default: 75 s (15 s × 5).
    pub agent_timeout: Duration,
    /// How long agents of the registry have to come back to a new leader. Default: 10 min.
    pub agent_reregister_timeout: Duration,
    /// How long an offer may stay unanswered. Default: 2 min.
    pub offer_timeout: Duration,
    /// How many frameworks may be away that hold nothing; whoever was away longest is removed before its time. Whoever
    /// subscribes and vanishes in a loop fills no memory with it. Default: 10,000.
    pub max_idle_frameworks: usize,
    /// Who is served first. Default: `drf`.
    pub allocator: PolicyName,
    /// Where the allocator's chance comes from, if it uses any. Default: 0.
    pub seed: u64,
    /// The master's own region: agents of others are for frameworks that know of regions. Default: none, all are near.
    pub region: Option<Text>,
    /// Whether agents with GPUs are only for frameworks that know of GPUs. Default: they are.
    pub keep_gpus: bool,
    /// Names of resources that count toward no share. Default: none.
    pub unshared_names: Vec<Text>,
    /// The least that is worth offering: any one of these. Default: 0.01 CPU or 32 MiB of memory.
    pub min_allocatable: Vec<Quantities>,
    /// How many agents may be given up within some time. Default: 5 in 100, at least 3, within 10 min. Absent: any number.
    pub brake: Option<Brake>,
    /// How many agents may be given up within some time, besides. Default: any number.
    pub agent_removal_rate_limit: Option<RateLimit>,
    /// How long agents that are unreachable or gone are remembered. Default: 2 weeks. A leader forgets none for that reason on its
    /// first day (half of the time, when that is less), for its clock may be wrong.
    pub registry_max_agent_age: Duration,
    /// How many of each are remembered. Default: 102,400. When it is less than [`MAX_UNREACHABLE_AGENTS`] and
    /// [`MAX_GONE_AGENTS`](crate::MAX_GONE_AGENTS), there may be as many as those until old records are next looked for.
    pub registry_max_agent_count: usize,
    /// How often those are looked for that are to be forgotten. Default: 15 min.
    pub registry_gc_interval: Duration,
    /// How large a record may be. Default: any size.
    pub records: RecordBound,
    /// What is freed within this time is offered together. Default: 1 ms.
    pub coalesce: Duration,
    /// A known bug to make, for tests of the tests.
    #[cfg(feature = "testing")]
    pub planted: Option<crate::planted::Bug>,
}

impl Settings {
    /// There are never more unreachable agents than this (I8).
    pub(crate) fn most_unreachable(&self) -> usize {
        self.registry_max_agent_count.max(MAX_UNREACHABLE_AGENTS)
    }

    /// There are never more agents that are gone than this (I8).
    pub(crate) fn most_gone(&self) -> usize {
        self.registry_max_agent_count.max(MAX_GONE_AGENTS)
    }

    /// The defaults for a master of this id.
    pub fn new(master_id: impl Into<Text>) -> Self {
        Self {
            master_id: master_id.into(),
            agent_timeout: Duration::from_secs(75),
            agent_reregister_timeout: Duration::from_secs(600),
            offer_timeout: Duration::from_secs(120),
            max_idle_frameworks: 10_000,
            allocator: PolicyName::default(),
            seed: 0,
            region: None,
            keep_gpus: true,
            unshared_names: Vec::new(),
            min_allocatable: vec![
                [("cpus", Milli(10))].into_iter().collect(),
                [("mem", Milli::whole(32))].into_iter().collect(),
            ],
            brake: Some(Brake::default()),
            agent_removal_rate_limit: None,
            registry_max_agent_age: Duration::from_secs(14 * 24 * 60 * 60),
            registry_max_agent_count: 102_400,
            registry_gc_interval: Duration::from_secs(15 * 60),
            records: RecordBound::default(),
            coalesce: Duration::from_millis(1),
            #[cfg(feature = "testing")]
            planted: None,
        }
    }
}
