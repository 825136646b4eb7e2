//! What a container's networks cost before and after it: a namespace alone, a bridge, a bridge with a mapped port, made by
//! Debian's plugins in a network namespace of the bench's own. Needs root, containernetworking-plugins and iptables.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use chapada_network::{Bridge, Networks, PortMapping, Protocol, Settings, Wish};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Map;
use tokio::runtime::Runtime;

use crate::figure::{Figure, percentile};

const NETWORK: &str = "bench";

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (count, suffix) = if quick { (10, "_quick") } else { (50, "") };
    // A thread that has left the machine's network does not come back.
    let measured = thread::spawn(move || -> Result<Vec<Figure>> {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network for the bench")?;
        Command::new("ip").args(["link", "set", "lo", "up"]).status().context("run ip")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let place = tempfile::tempdir()?;
        let networks = open(place.path())?;
        let mut figures = Vec::new();
        for (name, wishes) in [("alone", 0_u16), ("bridge", 1), ("mapped", 2)] {
            figures.extend(measure(&runtime, &networks, name, wishes, count, suffix)?);
        }
        Ok(figures)
    });
    measured.join().map_err(|_| anyhow!("the thread of the bench panicked"))?
}

fn open(place: &Path) -> Result<Networks> {
    let bridge = Bridge {
        network: NETWORK.to_owned(),
        interface: "chbench0".to_owned(),
        leases: place.join("leases"),
        subnet: "10.223.0.0/16".to_owned(),
    };
    let plugins = vec!["/usr/lib/cni".into(), "/opt/cni/bin".into()];
    let (limit, state_dir) = (Duration::from_secs(60), place.join("state"));
    Ok(Networks::open(Settings { plugins, config_dir: None, limit, bridge, state_dir })?)
}

fn wish(number: u16, is_mapped: bool) -> Wish {
    let mapping = PortMapping { host_port: 20_000 + number, container_port: 80, protocol: Protocol::Tcp };
    let port_mappings = if is_mapped { vec![mapping] } else { Vec::new() };
    Wish { network: NETWORK.to_owned(), args: Map::new(), port_mappings }
}

/// One after the other, while one container of the kind stays, so that what all share is there.
fn measure(
    runtime: &Runtime,
    networks: &Networks,
    name: &str,
    kind: u16,
    count: u16,
    suffix: &str,
) -> Result<Vec<Figure>> {
    let wishes = |number| if kind == 0 { Vec::new() } else { vec![wish(number, kind == 2)] };
    runtime.block_on(networks.attach("stays", wishes(count)))?;
    let (mut joining, mut leaving) = (Vec::new(), Vec::new());
    let before = processor_seconds()?;
    for number in 0..count {
        let container = format!("{name}-{number}");
        let start = Instant::now();
        runtime.block_on(networks.attach(&container, wishes(number)))?;
        joining.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        runtime.block_on(networks.detach(&container))?;
        networks.forget(&container);
        leaving.push(start.elapsed().as_secs_f64());
    }
    let spent = processor_seconds()? - before;
    runtime.block_on(networks.detach("stays"))?;
    networks.forget("stays");
    let shape = format!("{count} one after the other");
    let figure = |what: &str, value: f64, unit| {
        Figure::new(&format!("network.{name}_{what}{suffix}"), value, unit, &shape)
    };
    Ok(vec![
        figure("join_p50", percentile(&mut joining, 0.5) * 1e3, "ms"),
        figure("leave_p50", percentile(&mut leaving, 0.5) * 1e3, "ms"),
        figure("cpu", spent / f64::from(count) * 1e3, "ms of CPU each, plugins included"),
    ])
}

/// Of this process and those of its children that have ended.
fn processor_seconds() -> Result<f64> {
    let of = |who| -> Result<f64> {
        let usage = getrusage(who)?;
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
    };
    Ok(of(UsageWho::RUSAGE_SELF)? + of(UsageWho::RUSAGE_CHILDREN)?)
}
