//! P9 and P10: reading everything from a master that holds much, while it goes on making offers and answering others.

mod filling;
mod polling;
mod probe;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chapada_harness::Cluster;

use self::filling::{Filled, Filling, fill};
use self::polling::{Pollers, get};
use self::probe::Probe;
use super::usage::resident_mib;
use super::{master, runtime, wait_for_metric};
use crate::figure::{Figure, percentile};

/// What figures of a small run are called after.
fn suffix(quick: bool) -> &'static str {
    if quick { "_quick" } else { "" }
}

pub(crate) fn largest(quick: bool) -> Result<Vec<Figure>> {
    let agents = if quick { 1_000 } else { 20_000 };
    whole_state(Filling { agents, live: 10, ended: 10 }, if quick { 5 } else { 9 }, suffix(quick))
}

pub(crate) fn large(quick: bool) -> Result<Vec<Figure>> {
    match quick {
        true => Ok(Vec::new()),
        false => whole_state(Filling { agents: 10_000, live: 10, ended: 10 }, 9, ""),
    }
}

/// Reads `/state` again and again, with and without which offers are timed.
fn whole_state(filling: Filling, times: usize, suffix: &str) -> Result<Vec<Figure>> {
    let cluster = master();
    let runtime = runtime()?;
    let filled = runtime.block_on(fill(cluster.master_host_port(0), filling))?;
    wait_until_filled(&cluster, filling)?;
    let mut probe = Probe::start(cluster.master_host_port(0), filling.agents)?;
    let quiet = probe.measure_for(Duration::from_secs(if times > 5 { 8 } else { 3 }))?;
    let pid = cluster.masters[0].pid().as_raw();
    let idle = resident_mib(pid)?;
    let (mut took, mut busy, mut memory, mut bytes) = (Vec::new(), Vec::new(), 0.0_f64, 0);
    for _ in 0..times {
        probe.begin()?;
        let began = Instant::now();
        bytes = get(cluster.master_host_port(0), "/state", |_| ())?;
        took.push(began.elapsed().as_secs_f64());
        busy.extend(probe.end()?);
        get(cluster.master_host_port(0), "/state", |_| {
            memory = memory.max(resident_mib(pid).unwrap_or(f64::NAN) - idle)
        })?;
    }
    probe.finish()?;
    drop(filled);
    let name = |kind: &str| format!("P9.{kind}_{filling}{suffix}");
    let shape = format!(
        "{filling:?}, {} MB, {times} readings one after the other; simulated agents",
        bytes / 1_000_000
    );
    let (mut quiet, offers) = (quiet, busy.len());
    let (still, moved) = (percentile(&mut quiet, 0.99), percentile(&mut busy, 0.99));
    Ok(vec![
        Figure::new(&name("state_p50"), percentile(&mut took, 0.5), "s", &shape),
        Figure::new(&name("state_max"), percentile(&mut took, 1.0), "s", &shape),
        Figure::new(&name("memory_above_idle"), memory, "MiB", &shape),
        Figure::new(
            &name("offer_p99_quiet"),
            still,
            "ms",
            &format!("{shape}; freed to next offer, nobody reading, {} offers", quiet.len()),
        ),
        Figure::new(
            &name("offer_p99_reading"),
            moved,
            "ms",
            &format!("{shape}; freed to next offer, while read, {offers} offers"),
        ),
        Figure::new(&name("offer_p50_quiet"), percentile(&mut quiet, 0.5), "ms", &shape),
        Figure::new(&name("offer_p50_reading"), percentile(&mut busy, 0.5), "ms", &shape),
    ])
}

/// Waits until the master has taken everything in; then `/state` has all of it.
fn wait_until_filled(cluster: &Cluster, filling: Filling) -> Result<()> {
    wait_for_metric(cluster, "master/slaves_active", filling.agents as f64)?;
    wait_for_metric(cluster, "master/tasks_finished", (filling.agents * filling.ended) as f64)?;
    let mut body = Vec::new();
    get(cluster.master_host_port(0), "/state", |piece| body.extend_from_slice(piece))?;
    let found = Filled::read(&body)?;
    let wanted = Filled {
        agents: filling.agents,
        live: filling.agents * filling.live,
        ended: filling.agents * filling.ended,
    };
    ensure!(found == wanted, "/state has {found:?}, not {wanted:?}");
    Ok(())
}

/// Times `/health` while five clients poll `/state`.
pub(crate) fn health_meanwhile(quick: bool) -> Result<Vec<Figure>> {
    const CLIENTS: usize = 5;
    let (agents, seconds, suffix) = if quick { (200, 3, "_quick") } else { (1_000, 10, "") };
    let (filling, during) = (Filling { agents, live: 100, ended: 100 }, Duration::from_secs(seconds));
    let cluster = master();
    let runtime = runtime()?;
    let filled = runtime.block_on(fill(cluster.master_host_port(0), filling))?;
    wait_until_filled(&cluster, filling)?;
    let pollers = Pollers::start(cluster.master_host_port(0), CLIENTS);
    let (mut times, until) = (Vec::new(), Instant::now() + during);
    while Instant::now() < until {
        let began = Instant::now();
        get(cluster.master_host_port(0), "/health", |_| ())?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(2));
    }
    let polls = pollers.finish()?;
    drop(filled);
    ensure!(polls >= CLIENTS, "only {polls} states were read meanwhile");
    let shape =
        format!("{filling:?}, {CLIENTS} clients polling /state, {polls} read, {} times /health", times.len());
    let name = |kind: &str| format!("P10.{kind}_{filling}{suffix}");
    Ok(vec![
        Figure::new(&name("health_p50"), percentile(&mut times, 0.5), "ms", &shape),
        Figure::new(&name("health_p99"), percentile(&mut times, 0.99), "ms", &shape),
        Figure::new(&name("health_max"), percentile(&mut times, 1.0), "ms", &shape),
        Figure::new(&name("states_read"), polls as f64 / during.as_secs_f64(), "1/s", &shape),
    ])
}
