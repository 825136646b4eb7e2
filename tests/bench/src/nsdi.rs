//! P4: how long a task waits at a cluster that others keep full, as the paper on Mesos (NSDI 2011) measured it.

use std::time::Duration;

use anyhow::{Result, ensure};
use chapada_master::edge::Form;

use crate::figure::{Figure, percentile};
use crate::sim::{Cluster, Demand, Manner, Shape};

const SLOTS: usize = 2;
const FRAMEWORKS: usize = 200;
/// Frameworks that probe in turn, so that one does not wait for the end of another's task.
const PROBES: usize = 40;
const PROBE_EVERY: Duration = Duration::from_millis(20);

fn shape(agents: usize, greedy: usize) -> Shape {
    let task = |least, most, begun| Demand {
        cpus: 1.0,
        mem: 1_024.0,
        lasts: (Duration::from_millis(least), Duration::from_millis(most)),
        begun,
        per_offer: SLOTS,
        tasks: usize::MAX,
    };
    let others =
        std::iter::repeat_n((Manner::Greedy, task(20_000, 40_000, agents * SLOTS / greedy.max(1))), greedy);
    let probes = std::iter::repeat_n((Manner::Probe, task(500, 500, 0)), PROBES);
    Shape {
        agents,
        cpus: SLOTS as f64,
        mem: 1_024.0 * SLOTS as f64,
        starting: Duration::from_secs(10),
        form: Form::Protobuf,
        frameworks: others.chain(probes).collect(),
    }
}

/// Probes in turn for so long; how long each waited, in milliseconds.
fn probe(cluster: &mut Cluster, greedy: usize, time: Duration) -> Result<Vec<f64>> {
    let count = (time.as_nanos() / PROBE_EVERY.as_nanos()) as usize;
    for index in 0..count {
        cluster.probe_in(PROBE_EVERY * index as u32, greedy + index % PROBES);
    }
    cluster.run_for(time + Duration::from_secs(2))?;
    let waited = std::mem::take(&mut cluster.probes);
    ensure!(waited.len() * 10 >= count * 9, "{} of {count} probes ran", waited.len());
    Ok(waited)
}

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (agents, time) = if quick { (2_000, 5) } else { (50_000, 15) };
    let time = Duration::from_secs(time);
    let mut idle = Cluster::new(shape(100, 0))?;
    idle.run_for(Duration::from_secs(11))?;
    let base = percentile(&mut probe(&mut idle, 0, Duration::from_secs(5))?, 0.5);

    let mut cluster = Cluster::new(shape(agents, FRAMEWORKS))?;
    // Everything starts, fills up, and what waited for the master meanwhile is done.
    cluster.run_for(Duration::from_secs(40))?;
    let (used, ran, began) = (cluster.master.host.used, cluster.running.len(), cluster.now);
    let mut waited = probe(&mut cluster, FRAMEWORKS, time)?;
    let seconds = cluster.now.since(began).as_secs_f64();
    let rate = (cluster.running.len() - ran) as f64 / seconds;
    let expected = (agents * SLOTS) as f64 / 30.0;
    ensure!(rate > expected * 0.8, "{rate:.0} launches a second, not about {expected:.0}");
    let running: usize = cluster.agents.iter().map(|agent| agent.running()).sum();
    ensure!(running * 100 >= agents * SLOTS * 97, "{running} tasks run: the cluster is not full");
    cluster.check_books()?;
    let busy = (cluster.master.host.used - used).as_secs_f64() / seconds * 100.0;
    let shape = format!(
        "{agents} agents of {SLOTS} tasks that last 20 to 40 s, {FRAMEWORKS} frameworks over protobuf, {} probes; \
         an idle cluster takes {base:.2} ms",
        waited.len()
    );
    let name = |kind: &str| format!("P4.{kind}_{agents}x{FRAMEWORKS}");
    let mut added = |part: f64| percentile(&mut waited, part) - base;
    Ok(vec![
        Figure::new(&name("added_delay_p50"), added(0.5), "ms", &shape),
        Figure::new(&name("added_delay_p99"), added(0.99), "ms", &shape),
        Figure::new(&name("added_delay_max"), added(1.0), "ms", &shape),
        Figure::new(&name("launches"), rate, "1/s", &shape),
        Figure::new(&name("master_core"), busy, "% of a core", &shape),
    ])
}
