//! P12: many containers at once, and how much a shim beside each weighs.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chapada_shim::{ContainerState, Event, IdRange, ShimClient, cleanup, runtime_dir};

use super::ours::{PATIENCE, spec};
use super::place::{IDS, Place};
use crate::figure::Figure;

/// As many as the machine has processors: an agent launches from a pool of threads.
const THREADS: usize = 2;

struct Container {
    id: String,
    client: ShimClient,
}

pub(super) fn run(place: &Place, count: usize, suffix: &str) -> Result<Vec<Figure>> {
    let shape = format!(
        "{count} containers of one image, each with a user namespace and a network of its own, {THREADS} threads"
    );
    let begun = Instant::now();
    let mut containers = launch(place, count)?;
    for container in &mut containers {
        while !matches!(container.client.wait_event(PATIENCE)?, Event::Started { .. }) {}
    }
    let launched = begun.elapsed().as_secs_f64();
    let pss = containers.iter().map(|container| shim_pss(place, &container.id)).sum::<Result<u64>>()?;

    let begun = Instant::now();
    destroy(place, &mut containers)?;
    let destroyed = begun.elapsed().as_secs_f64();
    ensure!(chapada_shim::recover(&place.run())?.is_empty(), "something is left of the containers");
    let figure = |name: &str, value: f64, unit| Figure::new(&format!("{name}{suffix}"), value, unit, &shape);
    Ok(vec![
        figure("P12.launch", launched, "s"),
        figure("P12.destroy", destroyed, "s"),
        figure("P14.shim_pss", pss as f64 / count as f64, "KiB each"),
    ])
}

fn launch(place: &Place, count: usize) -> Result<Vec<Container>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn(move || {
                    (first..count)
                        .step_by(THREADS)
                        .map(|number| one(place, number))
                        .collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(count);
        for thread in threads {
            let made = thread.join().map_err(|_| anyhow::anyhow!("a launching thread panicked"))?;
            all.extend(made?);
        }
        Ok(all)
    })
}

fn one(place: &Place, number: usize) -> Result<Container> {
    let id = format!("crowd-{number}");
    let sandbox = place.directory(&format!("sandbox-{id}"), None)?;
    let first = IDS.first + u32::try_from(number)? * IDS.count;
    let ids = IdRange { first, ..IDS };
    let spec = spec(place, &id, sandbox, &["/bin/busybox", "sleep", "1000"], ids)?;
    let client = place.launcher.launch(&spec)?.client;
    Ok(Container { id, client })
}

fn destroy(place: &Place, containers: &mut [Container]) -> Result<()> {
    containers.iter_mut().try_for_each(|container| container.client.destroy())?;
    let part = containers.len().div_ceil(THREADS).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = containers
            .chunks_mut(part)
            .map(|part| scope.spawn(move || part.iter_mut().try_for_each(|container| end(place, container))))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("an ending thread panicked"))??;
        }
        Ok(())
    })
}

fn end(place: &Place, container: &mut Container) -> Result<()> {
    while !matches!(container.client.wait_event(PATIENCE)?, Event::Exited { .. }) {}
    cleanup(place.launcher.cgroups(), &place.run(), &container.id)?;
    Ok(())
}

/// KiB of memory that the shim of this container has for itself, with its part of what it shares.
fn shim_pss(place: &Place, id: &str) -> Result<u64> {
    let state: Option<ContainerState> = runtime_dir::read_record(&place.run().join(id), runtime_dir::STATE)?;
    let pid = state.with_context(|| format!("container {id} has no state"))?.shim_pid;
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("the kernel tells no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
