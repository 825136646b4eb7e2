//! Many seeds hold, and a seed is a run.

use std::time::{Duration, Instant};

use chapada_simulator::{Failure, Met, Plan, Report, Sim, Tally, run_plan, run_seed};

/// R2: so many seeds in every check.
const SEEDS: u64 = 200;

/// Each kind of trouble is met with so often in all of them together.
const LEAST: u64 = 15;

#[test]
fn two_hundred_seeds_hold() {
    let began = Instant::now();
    let halves = std::thread::scope(|scope| {
        let half = |first: u64| scope.spawn(move || (first..=SEEDS).step_by(2).map(run_seed).collect());
        let halves: Vec<std::thread::ScopedJoinHandle<'_, Vec<Result<Report, Failure>>>> =
            vec![half(1), half(2)];
        halves.into_iter().map(|half| half.join().expect("a run reports its panics")).collect::<Vec<_>>()
    });
    let (mut time, mut tally) = (Duration::ZERO, Tally::default());
    for outcome in halves.into_iter().flatten() {
        match outcome {
            Ok(report) => {
                time += report.time;
                tally.add(&report.tally);
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    for met in Met::ALL {
        // That so many fall silent for so long takes a switch that stays broken.
        let least = if met == Met::HeldByBrake { 1 } else { LEAST };
        assert!(tally.of(met) >= least, "{met:?} hardly ever happens: {tally:?}");
    }
    let real = began.elapsed();
    let ratio = time.as_secs_f64() / real.as_secs_f64();
    println!("{SEEDS} seeds: {time:.0?} of virtual time in {real:.1?}, ratio {ratio:.0}");
}

#[test]
fn a_seed_is_a_run_bit_for_bit() {
    let first = run_seed(7).unwrap_or_else(|failure| panic!("{failure}"));
    let again = run_seed(7).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(first, again);
    let other = run_seed(8).unwrap_or_else(|failure| panic!("{failure}"));
    assert_ne!(first.hash, other.hash);
    let mut kept = Sim::new(7, Plan::random(7), true);
    let kept_report = run_plan(7, &mut kept).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(kept_report, first, "keeping the history does not change it");
    assert_eq!(kept.history.lines().count() as u64, first.steps);
}
