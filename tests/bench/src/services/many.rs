//! P18: 20,000 apps with 200,000 instances: writes, lists, and a restart.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_harness::Cluster;
use serde_json::json;

use super::crowd::Crowd;
use super::peer;
use super::wait::{wait, when};
use crate::figure::{Figure, percentile};
use crate::loopback::usage::{processor_time, resident_mib};

/// Instances that an agent has room for; a tenth of them stay free.
const SLOTS: usize = 220;
const EACH: usize = 10;
const PAGE: usize = 100;

pub(crate) fn in_a_file(quick: bool) -> Result<Vec<Figure>> {
    if quick { run(1, 2_000, 100, "_quick") } else { run(1, 20_000, 400, "") }
}

pub(crate) fn in_zookeeper(quick: bool) -> Result<Vec<Figure>> {
    if quick { run(3, 2_000, 100, "_zookeeper_quick") } else { run(3, 20_000, 400, "_zookeeper") }
}

fn run(masters: usize, apps: usize, samples: usize, suffix: &str) -> Result<Vec<Figure>> {
    let mut cluster = peer::cluster(masters);
    let instances = apps * EACH;
    let agents = instances / 200;
    let crowd = Crowd::start(&cluster, agents, SLOTS)?;
    let http = cluster.services_http();
    let busy = processor_time(peer::pid(&cluster)?)?;
    let begun = Instant::now();
    peer::make_apps(&http, apps, EACH)?;
    crowd.wait_for(instances)?;
    peer::wait_until_deployed(&http)?;
    let filled = begun.elapsed().as_secs_f64();
    let filling = processor_time(peer::pid(&cluster)?)? - busy;

    let mut figures = Vec::new();
    let store = if masters > 1 { "ZooKeeper" } else { "a file" };
    let shape = format!(
        "{apps} apps of {EACH} instances, records in {store}, a real master, {agents} simulated agents; one client, a \
         connection for each call, {samples} calls of each kind"
    );
    let mut add = |name: &str, value: f64, unit: &'static str| {
        figures.push(Figure::new(&format!("P18.{name}{suffix}"), value, unit, &shape));
    };
    add("filled", filled, "s");
    add("filled_cpu", filling, "s of a core");
    add("rss", resident_mib(peer::pid(&cluster)?)?, "MiB");
    let mut times = writes(&cluster, samples)?;
    add("write_p50", percentile(&mut times, 0.5), "ms");
    add("write_p99", percentile(&mut times, 0.99), "ms");
    for (name, path) in [("apps", "/v2/apps"), ("tasks", "/v2/tasks")] {
        let mut times = pages(&cluster, path, name, samples)?;
        add(&format!("{name}_page_p50"), percentile(&mut times, 0.5), "ms");
        add(&format!("{name}_page_p99"), percentile(&mut times, 0.99), "ms");
        let (taken, bytes, mut meanwhile) = whole(&cluster, path)?;
        add(&format!("{name}_whole"), taken, "s");
        add(&format!("{name}_whole_size"), bytes as f64 / 1e6, "MB");
        add(&format!("{name}_whole_write_p99"), percentile(&mut meanwhile, 0.99), "ms");
    }
    let expected = crowd.running();
    let taken = restart(&mut cluster, apps)?;
    add("restart", taken, "s");
    add("restart_rss", resident_mib(peer::pid(&cluster)?)?, "MiB");
    ensure!(crowd.running() == expected, "{} tasks run after the restart", crowd.running());
    drop(cluster);
    crowd.finish()?;
    Ok(figures)
}

/// Milliseconds of single writes: a new app, a change of one that is there, in turn.
fn writes(cluster: &Cluster, samples: usize) -> Result<Vec<f64>> {
    let http = cluster.services_http();
    let mut times = Vec::new();
    for number in 0..samples / 2 {
        let created = peer::app(&format!("/fresh/app-{number}"), 1);
        times.push(peer::timed(&http, "POST", "/v2/apps", Some(&created))?.0);
        let path = format!("/v2/apps/group-{}/app-{number}", number % 100);
        times.push(peer::timed(&http, "PUT", &path, Some(&json!({"instances": EACH + 1})))?.0);
        // The next one must not find as many deployments as there may be.
        std::thread::sleep(Duration::from_millis(5));
    }
    peer::wait_until_deployed(&http)?;
    Ok(times)
}

/// Milliseconds of each page of a list.
fn pages(cluster: &Cluster, path: &str, list: &str, samples: usize) -> Result<Vec<f64>> {
    let http = cluster.services_http();
    let (mut times, mut after) = (Vec::new(), String::new());
    for _ in 0..samples {
        let page = format!("{path}?limit={PAGE}&after={after}");
        let (taken, body) = peer::timed(&http, "GET", &page, None)?;
        times.push(taken);
        let items = body[list].as_array().context("a list")?;
        ensure!(items.len() <= PAGE, "a page of {} items", items.len());
        let last = items.last().and_then(|item| item["id"].as_str());
        after = if items.len() == PAGE { last.context("an id")?.to_owned() } else { String::new() };
    }
    Ok(times)
}

/// Seconds and bytes of a whole list, and milliseconds of the writes meanwhile.
fn whole(cluster: &Cluster, path: &str) -> Result<(f64, usize, Vec<f64>)> {
    let http = cluster.services_http();
    let (at, path) = (cluster.services_host_port().to_owned(), path.to_owned());
    let reading = std::thread::spawn(move || peer::read_all(&at, &path));
    let (mut times, mut number) = (Vec::new(), 0);
    while !reading.is_finished() || times.is_empty() {
        number += 1;
        let app = format!("/v2/apps/group-{}/app-{}?force=true", number % 100, number % 1_000);
        let keep = json!({"instances": EACH + 1 + number % 2});
        times.push(peer::timed(&http, "PUT", &app, Some(&keep))?.0);
        std::thread::sleep(Duration::from_millis(2));
    }
    let (taken, bytes) = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    peer::wait_until_deployed(&http)?;
    Ok((taken, bytes, times))
}

/// Seconds from the start of the process, after a kill, until it shows every app and is subscribed.
fn restart(cluster: &mut Cluster, apps: usize) -> Result<f64> {
    let services = cluster.services.as_mut().context("the services framework")?;
    services.kill();
    let begun = Instant::now();
    services.restart();
    let http = cluster.services_http();
    wait(|| {
        let status = http.get("/status").unwrap_or_default();
        let all = status["apps"].as_u64().is_some_and(|count| count >= apps as u64);
        let back = all && status["connected"] == json!(true);
        Ok(when(back, || format!("it says {status}")).map(|()| begun.elapsed().as_secs_f64()))
    })
}
