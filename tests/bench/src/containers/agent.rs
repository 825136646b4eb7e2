//! P12, P14, R7 and R8 through a real agent and a real master: a crowd of containers of one image, each with a user namespace and a
//! network of its own; what the agent takes while they idle; its restart beside them; and kills of tasks beside which something hangs.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_harness::Cluster;
use chapada_shim::Cgroups;

use super::framework::{Framework, WITHIN};
use super::place::Place;
use super::{idle, image, kills};
use crate::figure::Figure;
use crate::loopback::runtime;
use crate::loopback::usage::resident_mib;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (count, restarted, watch, kills, suffix) = if quick {
        (100, 50, Duration::from_secs(2), 2, "_quick")
    } else {
        (1000, 500, Duration::from_secs(10), 20, "")
    };
    let shelf = tempfile::Builder::new().prefix("chapada-bench-shelf-").tempdir_in("/var/tmp")?;
    let place = Place::new()?;
    image::make(shelf.path(), &place.path("layer"))?;
    drop(place);
    let mut cluster = Cluster::builder()
        .resources("cpus:1000;mem:100000;disk:100000;ports:[31000-32000]")
        .agent_flag(&format!("--docker-registry={}", shelf.path().display()))
        .start();
    let runtime = runtime()?;
    let mut crowd = runtime.block_on(Framework::begin(&cluster))?;
    // The image is unpacked for the first of all.
    runtime.block_on(crowd.launch("first", 1))?;
    runtime.block_on(crowd.destroy())?;

    let shape = format!(
        "{count} containers of one image, each with a user namespace and a network of its own, by one ACCEPT to a real master and \
         agent; ended by a KILL each"
    );
    let launched = runtime.block_on(crowd.launch("crowd", count))?;
    let mut figures = idle::run(&cluster, count, watch, suffix)?;
    ensure!(groups(&cluster)?.len() == count, "some of the containers are gone");
    let destroyed = runtime.block_on(crowd.destroy())?;
    figures.push(Figure::new(&format!("P12.agent_launch{suffix}"), launched, "s", &shape));
    figures.push(Figure::new(&format!("P12.agent_destroy{suffix}"), destroyed, "s", &shape));

    runtime.block_on(crowd.launch("kept", restarted))?;
    figures.extend(restart(&mut cluster, restarted, suffix)?);
    ensure!(runtime.block_on(crowd.lost())? == 0, "a task was lost with the agent's restart");
    runtime.block_on(crowd.destroy())?;
    figures.extend(runtime.block_on(kills::run(&mut crowd, shelf.path(), kills, suffix))?);
    Ok(figures)
}

/// R8: kills the agent and starts it again beside so many containers.
fn restart(cluster: &mut Cluster, count: usize, suffix: &str) -> Result<Vec<Figure>> {
    let before = groups(cluster)?;
    ensure!(before.len() == count, "{} containers run, not {count}", before.len());
    let rss = resident_mib(cluster.agents[0].pid().as_raw())?;
    cluster.agents[0].kill();
    let said = |cluster: &Cluster| cluster.agents[0].log().matches("registered with the master").count();
    let registrations = said(cluster);
    let begun = Instant::now();
    cluster.agents[0].restart();
    while said(cluster) == registrations {
        ensure!(begun.elapsed() < WITHIN, "the agent did not register");
        std::thread::sleep(Duration::from_millis(1));
    }
    let taken = begun.elapsed().as_secs_f64();
    let pid = cluster.agents[0].pid();
    ensure!(groups(cluster)? == before, "other processes run than before");
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let peak = peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0;
    let shape = format!("{count} containers, agent killed and started again, until it is registered");
    let figure = |name: &str, value, unit| Figure::new(&format!("R8.{name}{suffix}"), value, unit, &shape);
    Ok(vec![
        figure("restart", taken, "s"),
        figure("rss_before", rss, "MiB"),
        figure("peak_rss_after", peak, "MiB"),
        figure("peak_ratio", peak / rss, "of the memory before"),
    ])
}

/// The processes of each container.
fn groups(cluster: &Cluster) -> Result<BTreeMap<String, Vec<i32>>> {
    let cgroups = Cgroups::discover(format!("{}-a0", cluster.cgroups()))?;
    let names = cgroups.containers()?;
    names.into_iter().map(|name| Ok((name.clone(), cgroups.group(&name).processes()?))).collect()
}
