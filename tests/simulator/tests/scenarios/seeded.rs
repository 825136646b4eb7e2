//! Scenarios that chance varies: each runs once for each of many seeds, and all that was asked and answered is checked after it.

use std::time::Duration;

use chapada_simulator::{Plan, Rng, Sim};

use crate::{MINUTE, SECOND, tail};

/// Each scenario holds for so many seeds, or for as many as `CHAPADA_SIM_SEEDS` says.
const SEEDS: u64 = 200;

pub(crate) fn seeds() -> u64 {
    std::env::var("CHAPADA_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One run of a scenario.
pub(crate) struct Run {
    pub(crate) sim: Sim,
    /// What varies from seed to seed.
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
}

/// Runs a scenario with every seed, on a cluster that has come up.
#[track_caller]
pub(crate) fn each_seed(plan: &Plan, mut scenario: impl FnMut(&mut Run)) {
    for seed in 1..=seeds() {
        let mut run = Run { sim: Sim::new(seed, plan.clone(), false), rng: Rng::new(seed ^ 0x0dd), seed };
        // All have begun by then.
        run.pass(SECOND);
        run.settle(MINUTE);
        scenario(&mut run);
        run.finish();
    }
}

impl Run {
    /// A moment from nothing to so much.
    pub(crate) fn moment(&mut self, most: Duration) -> Duration {
        self.rng.between(Duration::ZERO, most)
    }

    #[track_caller]
    pub(crate) fn pass(&mut self, time: Duration) {
        self.sim.run_for(time);
        self.holds(self.sim.failure().is_none(), "nothing is wrong");
    }

    /// Lets time pass until something holds, looking now and then.
    #[track_caller]
    pub(crate) fn until(&mut self, most: Duration, what: &str, mut holds: impl FnMut(&mut Sim) -> bool) {
        let end = self.sim.now() + most;
        while !holds(&mut self.sim) {
            let is_time = self.sim.now() < end;
            self.holds(is_time, what);
            self.pass(LOOK_EVERY);
        }
    }

    /// Everything is as it should be.
    #[track_caller]
    pub(crate) fn settle(&mut self, most: Duration) {
        self.until(most, "all is as it should be", |sim| sim.unsettled().is_empty());
    }

    #[track_caller]
    pub(crate) fn holds(&self, holds: bool, what: &str) {
        let why = self.sim.failure().map_or_else(|| self.sim.unsettled().join("; "), str::to_owned);
        assert!(holds, "{}\nseed {}: it does not hold: {what}: {why}", tail(&self.sim), self.seed);
    }

    /// Nothing was found on the way, nor in all that was asked and answered.
    #[track_caller]
    fn finish(&self) {
        self.holds(self.sim.failure().is_none(), "nothing is wrong");
        let wrong = self.sim.check_history();
        assert!(wrong.is_empty(), "{}\nseed {}: {}", tail(&self.sim), self.seed, wrong.join("; "));
        assert!(self.sim.history_length() > 0, "it is written down");
    }
}
