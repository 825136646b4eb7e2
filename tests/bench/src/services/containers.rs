//! P24: an app of 200 instances on one real agent, from its POST until all of them run.

use std::time::{Duration, Instant};

use anyhow::Result;
use chapada_harness::Cluster;
use serde_json::json;

use super::peer;
use super::wait::{wait_with, when};
use crate::figure::{Figure, percentile};

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (counts, rounds, suffix) = if quick { (vec![50], 1, "_quick") } else { (vec![50, 200], 3, "") };
    let cluster = Cluster::builder()
        .services()
        .resources("cpus:1000;mem:100000;disk:100000;ports:[31000-32000]")
        .start();
    let http = cluster.services_http();
    let mut figures = Vec::new();
    for count in counts {
        let mut times = Vec::new();
        for round in 0..rounds {
            let id = format!("/crowd-{count}-{round}");
            let app = json!({
                "id": id, "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32, "instances": count,
                "networks": [{"mode": "host"}], "portDefinitions": [], "user": "root",
            });
            let begun = Instant::now();
            peer::timed(&http, "POST", "/v2/apps", Some(&app))?;
            wait_for(&http, &id, count)?;
            times.push(begun.elapsed().as_secs_f64());
            peer::timed(&http, "DELETE", &format!("/v2/apps{id}"), None)?;
            peer::wait_until_deployed(&http)?;
        }
        let shape = format!(
            "one app of {count} instances `sleep`, host network, on one real agent, from its POST until the API has all of them \
             running; the median of {rounds}"
        );
        let name = format!("P24.running_{count}{suffix}");
        figures.push(Figure::new(&name, percentile(&mut times, 0.5), "s", &shape));
    }
    Ok(figures)
}

fn wait_for(http: &chapada_harness::Http, id: &str, count: usize) -> Result<()> {
    wait_with(Duration::from_millis(5), || {
        let (_, app) = peer::timed(http, "GET", &format!("/v2/apps{id}?embed=app.counts"), None)?;
        let running = app["app"]["tasksRunning"].as_u64();
        Ok(when(running == Some(count as u64), || format!("{running:?} of {count} run")))
    })
}
