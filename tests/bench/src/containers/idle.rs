//! P14: an agent whose containers do nothing.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_harness::Cluster;
use chapada_shim::Cgroups;
use serde_json::{Value, json};

use super::framework::WITHIN;
use crate::figure::{Figure, percentile};
use crate::loopback::usage::{processor_time, resident_mib};

/// How often each list is asked for.
const LISTS: usize = 100;
const SHIMS: &str = "shims";
/// How long an agent that is at rest takes less than this part of a core.
const REST: Duration = Duration::from_millis(500);
const AT_REST: f64 = 0.05;

pub(super) fn run(cluster: &Cluster, count: usize, watch: Duration, suffix: &str) -> Result<Vec<Figure>> {
    let shape = format!("{count} idle containers of one image on one agent, {} s", watch.as_secs());
    let agent = cluster.agents[0].pid().as_raw();
    let shims = Cgroups::discover(format!("{}-a0", cluster.cgroups()))?.group(SHIMS);
    let of_shims = || -> Result<f64> { Ok(shims.statistics()?.cpu_usage_ns as f64 / 1e9) };
    until_at_rest(agent)?;
    let (busy, shims_busy) = (processor_time(agent)?, of_shims()?);
    std::thread::sleep(watch);
    let share = |seconds: f64| seconds / watch.as_secs_f64() * 100.0;
    let (busy, shims_busy) = (share(processor_time(agent)? - busy), share(of_shims()? - shims_busy));
    let rss = resident_mib(agent)?;
    let charged = shims.statistics()?.memory_total_bytes as f64 / 1024.0;
    let pss = shims.processes()?.into_iter().map(pss_kib).sum::<Result<f64>>()?;

    let mut statistics = list(cluster, count, "GET", "/containers", None, |answer| answer.as_array())?;
    let call = json!({"type": "GET_CONTAINERS", "get_containers": {"show_nested": true}});
    let mut containers = list(cluster, count, "POST", "/api/v1", Some(&call), |answer| {
        answer["get_containers"]["containers"].as_array()
    })?;
    let call = json!({"type": "GET_STATE"});
    let mut state = list(cluster, count, "POST", "/api/v1", Some(&call), |answer| {
        answer["get_state"]["get_tasks"]["launched_tasks"].as_array()
    })?;
    let figure =
        |name: &str, value: f64, unit| Figure::new(&format!("P14.{name}{suffix}"), value, unit, &shape);
    Ok(vec![
        figure("agent_cpu", busy, "% of a core"),
        figure("shims_cpu", shims_busy, "% of a core"),
        figure("agent_rss", rss, "MiB"),
        figure("shim_pss_of_agent", pss / count as f64, "KiB each, with the zygote's and what waits"),
        figure("shims_group", charged / count as f64, "KiB each, charged to the group of shims"),
        figure("list_containers_p99", percentile(&mut containers, 0.99) * 1e3, "ms, GET_CONTAINERS"),
        figure("list_state_p99", percentile(&mut state, 0.99) * 1e3, "ms, GET_STATE"),
        figure("list_statistics_p99", percentile(&mut statistics, 0.99) * 1e3, "ms, GET /containers"),
    ])
}

/// Waits until the agent has done with what the launch left to do: acknowledgements, and the log that is written anew.
fn until_at_rest(agent: i32) -> Result<()> {
    let begun = Instant::now();
    let mut busy = processor_time(agent)?;
    loop {
        std::thread::sleep(REST);
        let now = processor_time(agent)?;
        if now - busy < REST.as_secs_f64() * AT_REST {
            return Ok(());
        }
        busy = now;
        ensure!(begun.elapsed() < WITHIN, "the agent does not come to rest");
    }
}

/// Seconds that each answer took; every container is in it.
fn list(
    cluster: &Cluster,
    count: usize,
    method: &str,
    path: &str,
    body: Option<&Value>,
    items: impl Fn(&Value) -> Option<&Vec<Value>>,
) -> Result<Vec<f64>> {
    let agent = cluster.agent_http(0);
    let mut times = Vec::with_capacity(LISTS);
    for _ in 0..LISTS {
        let begun = Instant::now();
        let (status, text) = agent.call(method, path, body).map_err(anyhow::Error::msg)?;
        times.push(begun.elapsed().as_secs_f64());
        let answer: Value = serde_json::from_str(&text).context("the list is no JSON")?;
        let listed = items(&answer).map(Vec::len);
        ensure!(status == 200 && listed == Some(count), "{path}: {status}, {listed:?} of {count}");
    }
    Ok(times)
}

/// Of what this process shares with others, its part.
fn pss_kib(pid: i32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("the kernel tells no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
