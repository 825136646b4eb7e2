//! `cargo xtask sim` ends here: many seeds, or one with its history.

#![forbid(unsafe_code)]

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use chapada_simulator::{Plan, SCENARIOS, Sim, run_plan, run_seed, scale};
use clap::Parser;

/// As in the daemons.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Runs clusters in virtual time, each from one seed")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Goes on after a seed that fails, and says of each what did not hold.
    #[arg(long)]
    keep_going: bool,
    /// Replays one run and prints its whole history.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Runs a scenario by its number.
    #[arg(long, conflicts_with_all = ["seeds", "from", "seed"])]
    scenario: Option<u32>,
    /// In full size, where size is the point (24, 25, 26, 28, 45); with 5,000 seeds, where chance is.
    #[arg(long, requires = "scenario")]
    full: bool,
    /// Prints how much faster than real time a busy and an idle cluster of fifty agents are.
    #[arg(long, conflicts_with_all = ["seeds", "from", "seed"])]
    ratio: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(number) = args.scenario {
        return scenario(number, args.full);
    }
    match args.seed {
        _ if args.ratio => ratio(),
        Some(seed) => replay(seed),
        None => many(args.from, args.seeds, args.keep_going),
    }
}

fn scenario(number: u32, full: bool) -> ExitCode {
    let began = Instant::now();
    let outcomes = match (number, full) {
        (24, false) => vec![scale::herd(2_000)],
        (24, true) => vec![scale::herd(10_000), scale::herd(50_000)],
        (25, false) => vec![scale::wrong_credentials(1_000)],
        (25, true) => vec![scale::wrong_credentials(10_000)],
        (45, false) => vec![scale::up_and_down(20, 400)],
        (45, true) => vec![scale::up_and_down(100, 10_000)],
        (26, false) => vec![scale::revivers(300, 5)],
        (26, true) => vec![scale::revivers(5_000, 10)],
        (28, false) => vec![scale::needle(1_000, 100)],
        (28, true) => vec![scale::needle(10_000, 100)],
        _ => return scenario_test(number, full),
    };
    let mut worst = ExitCode::SUCCESS;
    for outcome in outcomes {
        match outcome {
            Ok(figures) => println!("{figures}"),
            Err(what) => {
                eprintln!("scenario {number}: {what}");
                worst = ExitCode::FAILURE;
            }
        }
    }
    println!("in {:.1?} of real time", began.elapsed());
    worst
}

/// In full a scenario that chance varies runs with so many seeds.
const SEEDS_IN_FULL: &str = "5000";

/// A scenario without a size is the tests of its name.
fn scenario_test(number: u32, full: bool) -> ExitCode {
    if !SCENARIOS.contains(&number) {
        eprintln!("there is no scenario {number}: there are {SCENARIOS:?}");
        return ExitCode::FAILURE;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let name = format!("scenario_{number}_");
    let arguments = ["test", "--quiet", "--package", "chapada-simulator", "--test", "scenarios", "--", &name];
    let mut command = Command::new(cargo);
    command.args(arguments);
    if full {
        command.env("CHAPADA_SIM_SEEDS", SEEDS_IN_FULL);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// R1. Both runs must launch what they say.
fn ratio() -> ExitCode {
    let mut worst = ExitCode::SUCCESS;
    for (name, plan, time) in [("busy", Plan::busy(), 120), ("idle", Plan::idle(), 3_600)] {
        let mut sim = Sim::new(1, plan, false);
        let time = Duration::from_secs(time);
        let began = Instant::now();
        sim.run_for(time);
        let real = began.elapsed().as_secs_f64();
        let launches = sim.launches();
        println!(
            "R1 {name}: {:.0} times real time ({launches} launches in {time:.0?})",
            time.as_secs_f64() / real
        );
        if let Some(failure) = sim.failure() {
            println!("{failure}");
            worst = ExitCode::FAILURE;
        }
    }
    worst
}

fn replay(seed: u64) -> ExitCode {
    let mut sim = Sim::new(seed, Plan::random(seed), true);
    match run_plan(seed, &mut sim) {
        Ok(report) => {
            sim.history.lines().for_each(|line| println!("{line}"));
            println!("seed {seed}: {} steps, hash {:016x}", report.steps, report.hash);
            println!("settled {:?} after the last fault", report.settled_in);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// So many of the runs that took longest to settle are named.
const SLOWEST: usize = 5;

fn many(from: u64, count: u64, keep_going: bool) -> ExitCode {
    let began = Instant::now();
    let (mut virtual_time, mut steps, mut failures) = (Duration::ZERO, 0, 0);
    let mut slowest: Vec<(Duration, u64)> = Vec::new();
    for seed in from..from.saturating_add(count) {
        match run_seed(seed) {
            Ok(report) => {
                virtual_time += report.time;
                steps += report.steps;
                slowest.push((report.settled_in, seed));
                slowest.sort_unstable_by(|one, other| other.cmp(one));
                slowest.truncate(SLOWEST);
            }
            Err(failure) if keep_going => {
                eprintln!("seed {}: {}", failure.seed, failure.what);
                failures += 1;
            }
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    let real = began.elapsed();
    let ratio = virtual_time.as_secs_f64() / real.as_secs_f64();
    println!("{count} seeds from {from}: {steps} steps, {virtual_time:.0?} of virtual time in {real:.1?}");
    println!("R1 simulated/real time: {ratio:.0}");
    for (settled, seed) in slowest {
        println!("seed {seed} settled {settled:.0?} after the last fault");
    }
    match failures {
        0 => ExitCode::SUCCESS,
        _ => {
            println!("{failures} seeds failed");
            ExitCode::FAILURE
        }
    }
}
