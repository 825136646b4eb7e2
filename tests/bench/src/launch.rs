//! P5, simulated: how many launches a second the master sustains, each written down by its agent and each update
//! acknowledged, with as much to do as there can be.

use std::time::Duration;

use anyhow::{Result, ensure};
use chapada_master::edge::Form;

use crate::figure::Figure;
use crate::sim::{Cluster, Demand, Manner, Shape};

const SLOTS: usize = 10;
const FRAMEWORKS: usize = 20;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (agents, warm, measured) = if quick { (1_000, 3, 3) } else { (5_000, 8, 8) };
    let demand = Demand {
        cpus: 1.0,
        mem: 1_024.0,
        lasts: (Duration::from_millis(500), Duration::from_millis(1_500)),
        begun: agents * SLOTS / FRAMEWORKS,
        per_offer: SLOTS,
        tasks: usize::MAX,
    };
    let mut cluster = Cluster::new(Shape {
        agents,
        cpus: SLOTS as f64,
        mem: 1_024.0 * SLOTS as f64,
        starting: Duration::from_secs(2),
        form: Form::Protobuf,
        frameworks: vec![(Manner::Greedy, demand); FRAMEWORKS],
    })?;
    cluster.run_for(Duration::from_secs(warm))?;
    let (used, before) = (cluster.master.host.used, Done::by_now(&cluster));
    cluster.run_for(Duration::from_secs(measured))?;
    let done = Done::by_now(&cluster);
    // What is on its way is at most what there is room for.
    ensure!(done.launched - done.ran <= agents * SLOTS, "{} launched, {} ran", done.launched, done.ran);
    ensure!(done.ran - done.ended <= agents * SLOTS, "{} ran, {} ended", done.ran, done.ended);
    let ran = (done.ran - before.ran).min(done.launched - before.launched).min(done.ended - before.ended);
    ensure!(ran > agents, "{ran} tasks ran");
    cluster.check_books()?;
    let used = (cluster.master.host.used - used).as_secs_f64();
    let polled = polled(&mut cluster)?;
    let shape = format!(
        "{agents} agents of {SLOTS} tasks that last 0.5 to 1.5 s, {FRAMEWORKS} frameworks over protobuf, \
         two acknowledged updates a task, a reader that asks for the books each second"
    );
    let shape_polled = format!("{shape} and one that asks after each batch");
    let name = |kind: &str| format!("P5.{kind}_{agents}");
    let seconds = measured as f64;
    Ok(vec![
        Figure::new(&name("launches_sim"), ran as f64 / seconds, "1/s", &shape),
        Figure::new(&name("master_core_sim"), used / seconds * 100.0, "% of a core", &shape),
        Figure::new(&name("cpu_per_launch_sim"), used / ran as f64 * 1e6, "µs", &shape),
        Figure::new(&name("cpu_per_launch_polled_sim"), polled, "µs", &shape_polled),
    ])
}

/// The master's microseconds for a launch while a reader wants the books after each batch.
fn polled(cluster: &mut Cluster) -> Result<f64> {
    cluster.master.reading = Some(Duration::ZERO);
    let (used, before) = (cluster.master.host.used, Done::by_now(cluster));
    cluster.run_for(Duration::from_secs(2))?;
    let ran = Done::by_now(cluster).ran - before.ran;
    ensure!(ran > 0, "no tasks ran");
    Ok((cluster.master.host.used - used).as_secs_f64() / ran as f64 * 1e6)
}

/// How many tasks there were so far.
struct Done {
    launched: usize,
    ran: usize,
    ended: usize,
}

impl Done {
    /// By the master's count, and by that of the frameworks, which acknowledge what they count.
    fn by_now(cluster: &Cluster) -> Self {
        let launched = cluster.master.core.snapshot().counters.launched;
        Self {
            launched: usize::try_from(launched).unwrap_or(usize::MAX),
            ran: cluster.running.len(),
            ended: cluster.frameworks.iter().map(|framework| framework.counts.finished).sum(),
        }
    }
}
