//! What a run is made of.

use std::time::Duration;

use chapada_master_core::Settings;

use crate::actors::Manner;
use crate::random::Rng;

/// In one of so many seeds there are more agents than the brake ever lets go at once.
const MANY_AGENTS: u64 = 6;

/// Who takes part, for how long, and what may break.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Resources of each agent.
    pub agents: Vec<String>,
    /// The frameworks.
    pub frameworks: Vec<Manner>,
    /// For so long things break, each after a random time up to `fault_every`.
    pub stormy: Duration,
    /// The longest time from one fault to the next.
    pub fault_every: Duration,
    /// The longest time from one thing that an operator does to the next, while things break; the largest when none does.
    pub operate_every: Duration,
    /// Within this time after the last fault everything that can be satisfied must be (I7).
    pub calm: Duration,
    /// The settings of every master; the id is replaced.
    pub settings: Settings,
    /// The books are audited after so many events of a master, 1 for each.
    pub audit_every: u64,
    /// Whoever looks for the leader may be told of one that led up to this long ago.
    pub found_late: Duration,
    /// Whether containers end by themselves, and calls of unordered frameworks swap and repeat, also without faults.
    pub lively: bool,
}

impl Plan {
    /// A quiet cluster for a scenario that says itself what breaks.
    pub fn quiet(agents: usize, resources: &str, frameworks: Vec<Manner>) -> Self {
        Self {
            agents: vec![resources.to_owned(); agents],
            frameworks,
            stormy: Duration::ZERO,
            fault_every: Duration::MAX,
            operate_every: Duration::MAX,
            calm: Duration::from_secs(20 * 60),
            settings: Settings::new("replaced"),
            audit_every: 1,
            found_late: Duration::from_secs(2),
            lively: false,
        }
    }

    /// Fifty agents and three frameworks that launch about fifty tasks a second together. The books are
    /// audited once in a thousand events, as those of so many tasks are.
    pub fn busy() -> Self {
        let rates = [21, 21, 21].map(|launches| Manner::Busy { launches });
        Self { audit_every: 1_000, lively: true, ..Self::quiet(50, "cpus:16;mem:16384", rates.to_vec()) }
    }

    /// Fifty agents and three frameworks that keep what they have, without faults.
    pub fn idle() -> Self {
        let frameworks = vec![Manner::Keeper { tasks: 10 }; 3];
        Self { audit_every: 1_000, ..Self::quiet(50, "cpus:16;mem:16384", frameworks) }
    }

    /// A small cluster with random faults: the plan of a seed.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xc0ff_ee00);
        let kinds = [
            "cpus:4;mem:1024;disk:50;ports:[31000-31009]",
            "cpus:2;mem:512;disk:100",
            "cpus:8;mem:2048;disk:200",
        ];
        let agents = (0..3 + rng.place(3)).map(|_| kinds[rng.place(kinds.len())].to_owned()).collect();
        let mut frameworks = vec![Manner::Keeper { tasks: 1 + rng.place(4) }];
        let others = [
            Manner::Greedy,
            Manner::Decliner,
            Manner::Silent,
            Manner::Moody,
            Manner::Vanisher,
            Manner::Reserver,
            Manner::Reserver,
            Manner::Keeper { tasks: 2 },
            Manner::Services { apps: 2 },
            Manner::Services { apps: 3 },
            Manner::Executing,
            Manner::Executing,
            Manner::Executing,
            Manner::Churner { times: 30 },
            Manner::SlowReader,
            Manner::ManyRoles { roles: 12 },
            Manner::Nonsense,
        ];
        for _ in 0..2 + rng.place(3) {
            frameworks.push(others[rng.place(others.len())].clone());
        }
        let mut plan = Self {
            agents,
            frameworks,
            stormy: Duration::from_secs(60 + rng.below(240)),
            fault_every: Duration::from_secs(2 + rng.below(30)),
            // What operators do makes allocators look again, which hides what they forget.
            operate_every: match rng.once_in(3) {
                true => Duration::MAX,
                false => Duration::from_secs(1 + rng.below(15)),
            },
            calm: Duration::from_secs(5 * 60),
            settings: Settings {
                // With the default no leader but the first gives an agent up within a run.
                agent_reregister_timeout: Duration::from_secs(if rng.once_in(2) { 600 } else { 45 }),
                ..Settings::new("replaced")
            },
            audit_every: 1,
            found_late: Duration::from_secs(2),
            lively: true,
        };
        if rng.once_in(MANY_AGENTS) {
            plan.agents.extend(vec![kinds[1].to_owned(); 5]);
        }
        plan
    }
}
