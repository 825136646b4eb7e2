//! Prints how long a container takes to start and what a shim weighs. Run as root, on a quiet machine:
//! `cargo run -p chapada-shim --example figures`.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use chapada_shim::{
    Cgroups, Command, ContainerSpec, ContainerState, Event, IdRange, Launcher, Limits, RootFileSystem,
    RootSource, ShimClient, cleanup, recover, runtime_dir,
};
use nix::sys::time::TimeValLike;

const STARTS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(10);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let cgroups = Cgroups::discover(format!("chapada-figures-{}", std::process::id()))?;
    let launcher = Launcher::new(chapada_shim_image::SHIM_IMAGE, cgroups)?;
    let dir = tempfile::tempdir()?;
    let measured = measure(&launcher, dir.path());
    let run = dir.path().join("run");
    for left in recover(&run)? {
        cleanup(launcher.cgroups(), &run, &left.id)?;
    }
    launcher.remove_cgroups()?;
    measured
}

fn measure(launcher: &Launcher, root: &Path) -> Outcome<()> {
    let mut out = std::io::stdout();
    for pause in [Duration::ZERO, Duration::from_millis(200)] {
        let starts = (0..STARTS).map(|_| one_start(launcher, root, pause)).collect::<Outcome<Vec<_>>>()?;
        let (launched, started) = starts.into_iter().unzip();
        let (launched, started) = (spread(launched), spread(started));
        writeln!(out, "{pause:?} apart: launch() returns {launched}; execve is done {started}")?;
    }
    for own_root in [false, true] {
        let used = processor_time(launcher, root, own_root)?;
        let files = if own_root { "layers, ids and a network of its own" } else { "the host's files" };
        writeln!(out, "processor time of a start and an end with {files}: {used:?}")?;
    }
    for count in [1, 50] {
        writeln!(out, "{count} running: {}", weigh(launcher, root, count)?)?;
    }
    writeln!(out, "1000 containers: {}", crowd(launcher, root, 1000)?)?;
    Ok(())
}

fn spec(root: &Path, id: &str, script: &str) -> Outcome<ContainerSpec> {
    let sandbox = root.join("sandbox").join(id);
    fs::create_dir_all(&sandbox)?;
    let mut spec = ContainerSpec::new(id, &root.join("run"), sandbox, Command::Shell(script.into()));
    spec.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    spec.resources = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    spec.resources.cpu.quota_milli = Some(1000);
    spec.resources.cpu.share_milli = Some(1000);
    Ok(spec)
}

fn started(client: &mut ShimClient) -> Outcome<()> {
    loop {
        match client.wait_event(PATIENCE)? {
            Event::Started { .. } => return Ok(()),
            Event::Starting => {}
            other => return Err(format!("it did not start: {other:?}").into()),
        }
    }
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99))
}

/// Of the launcher, shims and containers together: the figure that other work on the machine disturbs least.
fn processor_time(launcher: &Launcher, root: &Path, own_root: bool) -> Outcome<Duration> {
    let used = || -> Outcome<Duration> {
        let of =
            |who| nix::sys::resource::getrusage(who).map(|usage| [usage.user_time(), usage.system_time()]);
        let ours = of(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
        let of_children = of(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
        let microseconds: i64 = ours.iter().chain(&of_children).map(TimeValLike::num_microseconds).sum();
        let cgroups = launcher.cgroups();
        let tree = cgroups.hierarchies().v2.as_ref().ok_or("a machine without cgroup v2")?;
        let text = fs::read_to_string(tree.mount_point.join(cgroups.parent()).join("cpu.stat"))?;
        let theirs = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).ok_or("no usage")?;
        Ok(Duration::from_micros(u64::try_from(microseconds)? + theirs.parse::<u64>()?))
    };
    let base = root.join("base");
    fs::create_dir_all(base.join("bin"))?;
    fs::copy("/bin/busybox", base.join("bin/sh"))?;
    let before = used()?;
    for number in 0..STARTS {
        let id = format!("cpu-{own_root}-{number}");
        let mut spec = spec(root, &id, "exit")?;
        if own_root {
            let made = |name: &str| {
                let path = root.join(format!("{name}-{id}"));
                fs::create_dir(&path).map(|()| path)
            };
            let source =
                RootSource::Overlay { lower: vec![base.clone()], upper: made("upper")?, work: made("work")? };
            spec.root = Some(RootFileSystem::new(source));
            spec.user_namespace = Some(IdRange { first: 1_000_000, count: 65_536 });
            spec.namespaces.network = true;
        }
        let mut client = launcher.launch(&spec)?.client;
        while !matches!(client.wait_event(PATIENCE)?, Event::Exited { .. }) {}
        cleanup(launcher.cgroups(), &root.join("run"), &id)?;
    }
    Ok((used()? - before) / STARTS)
}

/// When `launch` returned, and when the command ran.
fn one_start(launcher: &Launcher, root: &Path, pause: Duration) -> Outcome<(Duration, Duration)> {
    let spec = spec(root, "start", "true")?;
    let begun = Instant::now();
    let mut client = launcher.launch(&spec)?.client;
    let launched = begun.elapsed();
    started(&mut client)?;
    let taken = begun.elapsed();
    while !matches!(client.wait_event(PATIENCE)?, Event::Exited { .. }) {}
    cleanup(launcher.cgroups(), &root.join("run"), "start")?;
    std::thread::sleep(pause);
    Ok((launched, taken))
}

fn weigh(launcher: &Launcher, root: &Path, count: u32) -> Outcome<String> {
    let run = root.join("run");
    let mut clients = Vec::new();
    let mut pids = Vec::new();
    for number in 0..count {
        let spec = spec(root, &number.to_string(), "sleep 1000")?;
        let mut client = launcher.launch(&spec)?.client;
        started(&mut client)?;
        let state: Option<ContainerState> = runtime_dir::read_record(&spec.runtime_dir, runtime_dir::STATE)?;
        let state = state.ok_or("no state was noted")?;
        pids.push((state.shim_pid, state.pid));
        clients.push(client);
    }
    let (shim, init) = (kib(pids[0].0, "Pss")?, kib(pids[0].1, "Pss")?);
    let rss = kib(pids[0].0, "Rss")?;
    for number in 0..count {
        cleanup(launcher.cgroups(), &run, &number.to_string())?;
    }
    Ok(format!("shim Pss {shim} KiB (Rss {rss} KiB), init Pss {init} KiB"))
}

/// As many as an agent may have, one after the other from one thread.
fn crowd(launcher: &Launcher, root: &Path, count: u32) -> Outcome<String> {
    let begun = Instant::now();
    let mut clients = Vec::new();
    for number in 0..count {
        let spec = spec(root, &number.to_string(), "exec sleep 1000")?;
        clients.push(launcher.launch(&spec)?.client);
    }
    clients.iter_mut().try_for_each(started)?;
    let starting = begun.elapsed();
    let begun = Instant::now();
    clients.iter_mut().try_for_each(ShimClient::destroy)?;
    for client in &mut clients {
        while !matches!(client.wait_event(PATIENCE)?, Event::Exited { .. }) {}
    }
    let ending = begun.elapsed();
    for number in 0..count {
        cleanup(launcher.cgroups(), &root.join("run"), &number.to_string())?;
    }
    let cleaning = begun.elapsed();
    Ok(format!("started in {starting:?}, ended in {ending:?}, ended and cleaned up in {cleaning:?}"))
}

fn kib(pid: i32, key: &str) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).ok_or("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
