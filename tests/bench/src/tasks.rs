//! P23 and P14b: real containers on one real agent, seen by one Python client over the v1 HTTP API in JSON.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chapada_harness::{Cluster, eventually};
use serde::Deserialize;

use crate::figure::{Figure, percentile};

/// What the client measured; times in seconds.
#[derive(Deserialize)]
struct Measured {
    launched: usize,
    finished: usize,
    burst_seconds: f64,
    accept_to_running: Vec<f64>,
    freed_to_offer: Vec<f64>,
}

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (burst, single, suffix) = if quick { (50, 10, "_quick") } else { (200, 50, "") };
    let mut figures = Vec::new();
    let shape = "1 master, 1 agent, loopback, nothing running";
    let cluster = Cluster::builder().resources("cpus:8;mem:16384;disk:16384;ports:[31000-32000]").start();
    let memory =
        |name: &str, pid: i32| Ok::<_, anyhow::Error>(Figure::new(name, rss_mib(pid)?, "MiB", shape));
    figures.push(memory(&format!("P14b.rss_master{suffix}"), cluster.masters[0].pid().as_raw())?);
    figures.push(memory(&format!("P14b.rss_agent{suffix}"), cluster.agents[0].pid().as_raw())?);

    let measured = client(&cluster, burst, single)?;
    ensure!(measured.launched == burst + single, "{} tasks were launched", measured.launched);
    ensure!(measured.finished == measured.launched, "only {} tasks finished", measured.finished);
    ensure!(measured.accept_to_running.len() == single && measured.freed_to_offer.len() == single);
    let shape = format!("{burst} tasks `true` in one ACCEPT, then {single} one at a time, 1 agent");
    let mut running = measured.accept_to_running;
    let mut freed = measured.freed_to_offer;
    let mut add = |name: &str, value: f64, unit: &'static str| {
        figures.push(Figure::new(&format!("P23.{name}{suffix}"), value, unit, &shape));
    };
    add("rate", burst as f64 / measured.burst_seconds, "tasks/s");
    add("accept_to_running_p50", percentile(&mut running, 0.5) * 1e3, "ms");
    add("accept_to_running_p99", percentile(&mut running, 0.99) * 1e3, "ms");
    add("freed_to_offer_p50", percentile(&mut freed, 0.5) * 1e3, "ms");
    add("freed_to_offer_p99", percentile(&mut freed, 0.99) * 1e3, "ms");
    figures.push(registration(cluster, suffix)?);
    Ok(figures)
}

fn client(cluster: &Cluster, burst: usize, single: usize) -> Result<Measured> {
    let out = Command::new("/usr/bin/python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/tasks.py"))
        .args([cluster.master_host_port(0), &burst.to_string(), &single.to_string()])
        .output()
        .context("cannot start python3")?;
    ensure!(out.status.success(), "the client failed: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).context("the client printed no figures")
}

/// From starting the agent's process to the master counting it as active again.
fn registration(mut cluster: Cluster, suffix: &str) -> Result<Figure> {
    let mut times = Vec::new();
    for _ in 0..5 {
        cluster.agents[0].kill();
        eventually("the master saw the agent go", Duration::from_secs(30), || {
            let active = cluster.leader_http()?.get("/query/v1/overview")?["agents"]["active"].as_u64();
            if active == Some(0) { Ok(()) } else { Err(format!("{active:?} active")) }
        });
        let registered =
            |cluster: &Cluster| cluster.agents[0].log().matches("registered with the master").count();
        let before = registered(&cluster);
        let started = std::time::Instant::now();
        cluster.agents[0].restart();
        while registered(&cluster) == before {
            ensure!(started.elapsed() < Duration::from_secs(30), "the agent did not register");
            std::thread::yield_now();
        }
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Figure::new(
        &format!("P14b.agent_start_to_registered_p50{suffix}"),
        percentile(&mut times, 0.5),
        "ms",
        "5 restarts",
    ))
}

fn rss_mib(pid: i32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
