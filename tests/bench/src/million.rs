//! P6: a million tasks, from nothing to all of them running.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::figure::Figure;
use crate::sim::{Cluster, Shape};

/// Tasks that an agent has room for, as in Nomad's challenge: 200 on each of 5,000 machines.
const SLOTS: usize = 200;
const FRAMEWORKS: usize = 10;
/// How many of one offer are used, so that tasks are spread.
const PER_OFFER: usize = 20;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let tasks: usize = if quick { 100_000 } else { 1_000_000 };
    let agents = tasks / SLOTS;
    let shape = Shape::with_room_for(SLOTS, agents, FRAMEWORKS, PER_OFFER);
    let starting = shape.starting;
    let mut cluster = Cluster::new(shape)?;
    cluster.run_for(starting)?;
    let (began, used) = (cluster.now, cluster.master.host.used);
    cluster.run_until(Duration::from_secs(600), |cluster| cluster.running.len() == tasks)?;
    let used = cluster.master.host.used - used;
    cluster.run_for(Duration::from_secs(1))?;
    let running: usize = cluster.agents.iter().map(|agent| agent.running()).sum();
    ensure!(running == tasks, "{running} tasks run on agents");
    let open: usize = cluster.agents.iter().map(|agent| agent.unacknowledged()).sum();
    ensure!(open == 0, "{open} updates are not acknowledged");
    cluster.check_books()?;

    let last = *cluster.running.last().context("tasks run")?;
    let rate = |from: usize, to: usize| {
        let time = cluster.running[to - 1].since(cluster.running[from]);
        (to - 1 - from) as f64 / time.as_secs_f64()
    };
    let (first_tenth, last_tenth) = (rate(0, tasks / 10), rate(tasks - tasks / 10, tasks));
    let shape = format!(
        "{tasks} tasks on {agents} agents, {FRAMEWORKS} frameworks over protobuf, at most {PER_OFFER} tasks an offer"
    );
    let name = |kind: &str| format!("P6.{kind}_{tasks}");
    Ok(vec![
        Figure::new(&name("placed"), last.since(began).as_secs_f64(), "s", &shape),
        Figure::new(&name("last_to_first_tenth"), last_tenth / first_tenth * 100.0, "%", &shape),
        Figure::new(&name("cpu_per_task"), used.as_secs_f64() / tasks as f64 * 1e6, "µs", &shape),
    ])
}
