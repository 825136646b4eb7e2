//! One run from one seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chapada_model::Mono;

use crate::plan::Plan;
use crate::sim::Sim;
use crate::tally::Tally;

/// A run in which everything held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of the whole history.
    pub hash: u64,
    /// How much happened.
    pub steps: u64,
    /// How much virtual time passed.
    pub time: Duration,
    /// How long after the last fault everything was satisfied.
    pub settled_in: Duration,
    /// What it met with.
    pub tally: Tally,
}

/// A run in which something did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run's seed.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
    /// The last lines of the history, or all that was kept.
    pub history: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.history {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "seed {}: {}", self.seed, self.what)?;
        write!(out, "replay it with: cargo xtask sim --seed {}", self.seed)
    }
}

/// Runs the random plan of a seed.
///
/// # Errors
/// [`Failure`] says what did not hold.
pub fn run_seed(seed: u64) -> Result<Report, Failure> {
    run_plan(seed, &mut Sim::new(seed, Plan::random(seed), false))
}

/// Runs a simulation through its storm and into calm.
///
/// # Errors
/// [`Failure`] says what did not hold; a panic of a core is one.
pub fn run_plan(seed: u64, sim: &mut Sim) -> Result<Report, Failure> {
    let outcome = catch_unwind(AssertUnwindSafe(|| drive(sim)));
    let what = match outcome {
        Ok(Ok(settled_in)) => {
            let time = sim.now().since(Mono(0));
            let (hash, steps, tally) = (sim.history.hash(), sim.history.steps(), sim.tally.clone());
            return Ok(Report { hash, steps, time, settled_in, tally });
        }
        Ok(Err(what)) => what,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("a core panicked: {}", text.unwrap_or_default())
        }
    };
    Err(Failure { seed, what, history: sim.history.lines().map(str::to_owned).collect() })
}

/// The time between two looks at whether everything is satisfied.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn drive(sim: &mut Sim) -> Result<Duration, String> {
    let (stormy, calm) = (sim.plan.stormy, sim.plan.calm);
    sim.run_for(stormy);
    let begin = sim.now();
    loop {
        sim.run_for(LOOK_EVERY);
        if let Some(what) = sim.failure() {
            return Err(what.to_owned());
        }
        let unsettled = sim.unsettled();
        let passed = sim.now().since(begin);
        match (unsettled.is_empty(), passed > calm) {
            (true, _) => {
                // What an agent that is back says last is on its way.
                sim.run_for(LOOK_EVERY);
                if let Some(what) = sim.failure() {
                    return Err(what.to_owned());
                }
                let mut wrong = sim.grown();
                wrong.extend(sim.check_history());
                return if wrong.is_empty() { Ok(passed) } else { Err(wrong.join("; ")) };
            }
            (false, true) => {
                return Err(format!("I7: {passed:?} after the last fault: {}", unsettled.join("; ")));
            }
            (false, false) => {}
        }
    }
}
