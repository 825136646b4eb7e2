//! P3: from a resource freed to its next offer, at a full cluster.

use std::time::Duration;

use anyhow::{Result, ensure};
use chapada_master::edge::Form;

use crate::figure::{Figure, percentile};
use crate::sim::{Cluster, Demand, Manner, Shape};

/// How many tasks an agent has room for.
const SLOTS: usize = 2;
const FRAMEWORKS: usize = 50;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (agents, measured) = if quick { (1_000, 10) } else { (10_000, 20) };
    let demand = Demand {
        cpus: 1.0,
        mem: 1_024.0,
        lasts: (Duration::from_secs(5), Duration::from_secs(15)),
        begun: agents * SLOTS / FRAMEWORKS,
        per_offer: SLOTS,
        tasks: usize::MAX,
    };
    let mut cluster = Cluster::new(Shape {
        agents,
        cpus: SLOTS as f64,
        mem: 1_024.0 * SLOTS as f64,
        starting: Duration::from_secs(2),
        form: Form::Json,
        frameworks: vec![(Manner::Greedy, demand); FRAMEWORKS],
    })?;
    // Everything starts and fills up.
    cluster.run_for(Duration::from_secs(8))?;
    cluster.freed_to_offer.clear();
    let (used, ran) = (cluster.master.host.used, cluster.running.len());
    cluster.run_for(Duration::from_secs(measured))?;
    let freed = cluster.freed_to_offer.len();
    let expected = agents * SLOTS * measured as usize / 10;
    ensure!(freed > expected * 8 / 10, "{freed} resources were offered again, of about {expected} freed");
    ensure!(cluster.running.len() - ran > expected * 8 / 10, "{} tasks ran", cluster.running.len() - ran);
    cluster.check_books()?;
    let busy = (cluster.master.host.used - used).as_secs_f64() / measured as f64 * 100.0;
    let shape = format!(
        "{agents} agents of {SLOTS} tasks that last 5 to 15 s, {FRAMEWORKS} frameworks over JSON, {} freed a second",
        freed as u64 / measured
    );
    let mut times = std::mem::take(&mut cluster.freed_to_offer);
    let name = |kind: &str| format!("P3.{kind}_{agents}");
    Ok(vec![
        Figure::new(&name("freed_to_offer_p50"), percentile(&mut times, 0.5), "ms", &shape),
        Figure::new(&name("freed_to_offer_p99"), percentile(&mut times, 0.99), "ms", &shape),
        Figure::new(&name("freed_to_offer_max"), percentile(&mut times, 1.0), "ms", &shape),
        Figure::new(&name("master_core"), busy, "% of a core", &shape),
    ])
}
