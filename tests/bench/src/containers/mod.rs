//! P12 and P13: containers on the real kernel, as the agent's launcher makes them, and in turn with `runc` from Debian, which gets
//! the same isolation: a root of layers of its own; user, pid, mount, ipc, uts, network and cgroup namespaces; limits of cpu,
//! memory and processes; eleven capabilities, no new privileges, a system call filter, covered kernel files.

mod agent;
mod crowd;
mod framework;
mod idle;
mod image;
mod kills;
mod ours;
mod place;
mod runc;

use std::time::Duration;

use anyhow::Result;

use crate::figure::{Figure, percentile};
use ours::Ours;
use place::{Place, busy_seconds};
use runc::Runc;

/// One way to make a container, run the probe in it, and leave nothing of it.
trait Maker {
    /// Seconds from the wish to the first instruction; everything is gone when it returns.
    fn start(&mut self, number: usize) -> Result<f64>;
}

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (close, apart, crowd, suffix) = if quick { (30, 10, 100, "_quick") } else { (200, 50, 1000, "") };
    let place = Place::new()?;
    let (mut ours, mut runc) = (Ours::new(&place)?, Runc::new(&place)?);
    let mut figures = in_turn(&mut ours, &mut runc, close, Duration::ZERO, suffix)?;
    figures.extend(in_turn(&mut ours, &mut runc, apart, APART, &format!("_apart{suffix}"))?);
    figures.extend(crowd::run(&place, crowd, suffix)?);
    Ok(figures)
}

pub(crate) use agent::run as through_an_agent;

/// Long enough for a cgroup hierarchy to fall quiet, after which the first attach of v1 stalls.
const APART: Duration = Duration::from_millis(200);

/// What one maker took.
#[derive(Default)]
struct Series {
    /// Seconds to the first instruction, of each.
    starts: Vec<f64>,
    /// Seconds that the machine's processors were busy, for all of them, whichever process they served.
    busy: f64,
}

impl Series {
    fn add(&mut self, maker: &mut impl Maker, number: usize, pause: Duration) -> Result<()> {
        std::thread::sleep(pause);
        let before = busy_seconds()?;
        self.starts.push(maker.start(number)?);
        self.busy += busy_seconds()? - before;
        Ok(())
    }
}

/// One of each after the other, so that whatever else the machine does meets both.
fn in_turn(
    ours: &mut impl Maker,
    runc: &mut impl Maker,
    count: usize,
    pause: Duration,
    suffix: &str,
) -> Result<Vec<Figure>> {
    let (mut own, mut other) = (Series::default(), Series::default());
    for number in 0..count {
        own.add(ours, number, pause)?;
        other.add(runc, number, pause)?;
    }
    let shape = format!("{count} of each in turn, {} ms before each", pause.as_millis());
    let own_p50 = percentile(&mut own.starts, 0.5);
    let other_p50 = percentile(&mut other.starts, 0.5);
    let figure =
        |name: &str, value: f64, unit| Figure::new(&format!("P13.{name}{suffix}"), value, unit, &shape);
    Ok(vec![
        figure("start_p50", own_p50 * 1e3, "ms"),
        figure("start_p99", percentile(&mut own.starts, 0.99) * 1e3, "ms"),
        figure("runc_start_p50", other_p50 * 1e3, "ms"),
        figure("ratio_runc", own_p50 / other_p50, "of runc"),
        figure("cpu", own.busy / count as f64 * 1e3, "ms of CPU each, end included"),
        figure("runc_cpu", other.busy / count as f64 * 1e3, "ms of CPU each, end included"),
    ])
}
