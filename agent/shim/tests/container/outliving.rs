//! Containers and agents that come and go: the tests start an agent process (this program, run again) and kill it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};

use crate::place::*;
use crate::within::{remove, within};
use chapada_shim::*;

const AS_AGENT: &str = "CHAPADA_TEST_AS_AGENT";

/// Not a test of its own: what the other tests run as "the agent". It launches one container, says so, and waits to be killed.
#[test]
fn agent() {
    let Ok(order) = std::env::var(AS_AGENT) else { return };
    let (cgroups, spec): (Cgroups, ContainerSpec) = serde_json::from_str(&order).unwrap();
    let launcher = Launcher::new(chapada_shim_image::SHIM_IMAGE, cgroups).unwrap();
    let mut client = launcher.launch(&spec).unwrap().client;
    println!("started {}", started(&mut client));
    exit_of(&mut client);
}

/// Runs an agent that launches the container, and kills it (SIGKILL) once the command runs. Gives process 1.
fn launch_and_lose_the_agent(place: &Place, spec: &ContainerSpec) -> i32 {
    let order = serde_json::to_string(&(place.launcher.cgroups(), spec)).unwrap();
    let mut agent: Child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "outliving::agent", "--nocapture"])
        .env(AS_AGENT, order)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(agent.stdout.take().unwrap()).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("started ").and_then(|(_, pid)| pid.parse().ok()))
        .expect("the agent started a container");
    agent.kill().unwrap();
    agent.wait().unwrap();
    pid
}

fn only(place: &Place) -> RecoveredContainer {
    let mut found = recover(&place.runtime_root()).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn a_container_outlives_its_agent_and_is_found_again() {
    let place = Place::new();
    let spec = place.spec("survivor", "trap 'exit 42' TERM; touch ready; while :; do sleep 0.01; done");
    let pid = launch_and_lose_the_agent(&place, &spec);
    assert!(alive(pid));
    let found = only(&place);
    assert_eq!(found.state, RecoveredState::Running { pid: Some(pid) });
    let mut client = ShimClient::connect(&found.runtime_dir).unwrap();
    assert_eq!(started(&mut client), pid);
    eventually("the trap is set", || spec.sandbox.join("ready").exists());
    client.kill(libc::SIGTERM).unwrap();
    assert_eq!(exit_of(&mut client).outcome, Outcome::Exited { code: 42 });
}

#[test]
fn an_exit_code_is_not_missed_while_no_agent_runs() {
    let place = Place::new();
    let spec = place.spec("alone", "while [ ! -e go ]; do sleep 0.005; done; exit 23");
    launch_and_lose_the_agent(&place, &spec);
    fs::write(spec.sandbox.join("go"), "").unwrap();
    eventually("the shim has written the report", || matches!(only(&place).state, RecoveredState::Exited(_)));
    let RecoveredState::Exited(report) = only(&place).state else { unreachable!("seen above") };
    assert_eq!(report.outcome, Outcome::Exited { code: 23 });
    eventually("the shim is gone", || !runtime_dir::shim_lives(&spec.runtime_dir).unwrap());
}

#[test]
fn a_killed_shim_takes_its_container_along() {
    let place = Place::new();
    for pid1 in [Pid1::Init, Pid1::Command] {
        let mut spec = place.spec(&format!("{pid1:?}"), "setsid sleep 1000 & sleep 1000");
        spec.pid1 = pid1;
        let mut client = place.launcher.launch(&spec).unwrap().client;
        let pid = started(&mut client);
        let state: ContainerState =
            runtime_dir::read_record(&spec.runtime_dir, runtime_dir::STATE).unwrap().unwrap();
        assert_eq!(state.pid, pid);
        for signal in [libc::SIGHUP, libc::SIGTERM, libc::SIGINT] {
            kill(state.shim_pid, signal);
        }
        client.request_status().unwrap();
        assert_eq!(started(&mut client), pid);
        kill(state.shim_pid, libc::SIGKILL);
        let group = place.launcher.cgroups().group(&spec.id);
        eventually("the container is gone", || group.processes().unwrap().is_empty());
        eventually("the shim is gone", || !runtime_dir::shim_lives(&spec.runtime_dir).unwrap());
        let found = recover(&place.runtime_root()).unwrap();
        assert_eq!(found.iter().find(|found| found.id == spec.id).unwrap().state, RecoveredState::Dead);
        assert!(ShimClient::connect(&spec.runtime_dir).is_err());
    }
}

/// The kernel tells a process of its parent's end only if it has asked for that before.
#[test]
fn a_container_whose_shim_is_killed_while_it_is_made_never_runs() {
    for pid1 in [Pid1::Init, Pid1::Command] {
        let place = Place::new();
        let above = place.spec("above", "exec sleep 1000");
        let mut client = place.launcher.launch(&above).unwrap().client;
        started(&mut client);
        let frozen = place.launcher.cgroups().group(&above.id);
        frozen.freeze(true).unwrap();
        let mut spec = within(&place, &above, "unborn", "touch ran; exec sleep 1000");
        spec.pid1 = pid1;
        let mut inner = place.launcher.launch(&spec).unwrap().client;
        let group = place.launcher.cgroups().group_within(&spec.within, &spec.id);
        let processes = || group.processes().unwrap_or_default();
        // Process 1 and what writes its logs stand still before their first instruction, or soon after.
        eventually("its processes are there", || processes().len() == 2);
        let status = fs::read_to_string(format!("/proc/{}/status", processes()[0])).unwrap();
        let shim: i32 = status_field(&status, "PPid").parse().unwrap();
        kill(shim, libc::SIGKILL);
        eventually("the shim has ended", || !alive(shim));
        assert!(!processes().is_empty(), "they stand still");
        frozen.freeze(false).unwrap();
        eventually("they have ended, too", || processes().is_empty());
        assert!(!spec.sandbox.join("ran").exists());
        while inner.wait_event(PATIENCE).is_ok() {}
        remove(&place, &spec);
    }
}

#[test]
fn shim_and_zygote_leave_the_agents_groups_and_the_shim_its_session() {
    let place = Place::new();
    let spec = place.spec("apart", "sleep 1000");
    let mut client = place.launcher.launch(&spec).unwrap().client;
    let pid = started(&mut client);
    let state: ContainerState =
        runtime_dir::read_record(&spec.runtime_dir, runtime_dir::STATE).unwrap().unwrap();
    let parent = place.launcher.cgroups().parent().display().to_string();
    let joined = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    for controller in ["cpu", "memory", "pids", "name=systemd", ""] {
        let zygote = place.launcher.zygote().unwrap() as i32;
        for (pid, name) in [(zygote, "shims"), (state.shim_pid, "shims"), (pid, "apart")] {
            let text = joined(pid);
            let line = text.lines().find(|line| line.split(':').nth(1) == Some(controller));
            if let Some(line) = line {
                let hierarchies = place.launcher.cgroups().hierarchies();
                let ours = controller.is_empty() || hierarchies.v1.contains_key(controller);
                assert!(!ours || line.ends_with(&format!("/{parent}/{name}")), "{pid}: {line}");
            }
        }
    }
    let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(state.shim_pid))).unwrap();
    assert_eq!(session.as_raw(), state.shim_pid);
    let open = fs::read_dir(format!("/proc/{}/fd", state.shim_pid)).unwrap().flatten();
    let targets: Vec<PathBuf> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    assert!(targets.len() < 20, "{targets:?}");
    assert!(
        !targets.iter().any(|target| target.starts_with("/memfd:chapada-order")),
        "the order is still open"
    );
}

#[test]
fn a_late_client_is_told_and_a_bad_one_does_no_harm() {
    use std::io::Write;
    let place = Place::new();
    let spec = place.spec("clients", "sleep 1000");
    let mut first = place.launcher.launch(&spec).unwrap().client;
    let pid = started(&mut first);
    let socket = spec.runtime_dir.join(runtime_dir::SOCKET);
    for garbage in [&b"not json\n"[..], &[b'x'; 10_000], b"{\"kill\":{\"signal\":\"nine\"}}\n"] {
        let mut bad = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        // The shim may close before all of it is written.
        let _cut_off = bad.write_all(garbage);
    }
    let idle: Vec<_> = (0..20).map(|_| std::os::unix::net::UnixStream::connect(&socket)).collect();
    drop(idle);
    let reconnect =
        || ShimClient::connect(&spec.runtime_dir).and_then(|mut client| client.wait_event(PATIENCE));
    eventually(
        "a new client is told",
        || matches!(reconnect(), Ok(Event::Started { pid: told, .. }) if told == pid),
    );
    first.destroy().unwrap();
    exit_of(&mut first);
}

#[test]
fn a_runtime_directory_without_a_shim_is_dead() {
    let place = Place::new();
    assert_eq!(recover(Path::new("/no/such/directory")).unwrap(), vec![]);
    fs::create_dir_all(place.runtime_root().join("empty")).unwrap();
    assert_eq!(only(&place).state, RecoveredState::Dead);
}

#[test]
fn an_order_of_another_version_is_refused_by_name() {
    let place = Place::new();
    let spec = place.spec("old", "true");
    let order = LaunchOrder { version: 99, spec, cgroups: place.launcher.cgroups().clone() };
    let program = place.dir.path().join("shim");
    fs::write(&program, chapada_shim_image::SHIM_IMAGE).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let path = place.dir.path().join("order");
    fs::write(&path, serde_json::to_vec(&order).unwrap()).unwrap();
    let log = place.dir.path().join("log");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (_events, socket) = UnixStream::pair().unwrap();
    let mut zygote = Process::new(program).stdin(OwnedFd::from(theirs)).spawn().unwrap();
    let where_to = place.dir.path().join("place");
    fs::write(&where_to, serde_json::to_vec(place.launcher.cgroups()).unwrap()).unwrap();
    descriptors::send(&ours, &ZYGOTE_PLACE, &[fs::File::open(where_to).unwrap().as_fd()]).unwrap();
    let (order, written) = (fs::File::open(path).unwrap(), fs::File::create(&log).unwrap());
    descriptors::send(&ours, &ZYGOTE_ORDER, &[order.as_fd(), socket.as_fd(), written.as_fd()]).unwrap();
    eventually("the shim complains", || fs::read_to_string(&log).unwrap().contains("version 99"));
    drop(ours);
    assert!(zygote.wait().unwrap().success(), "the zygote goes with its agent");
}

#[test]
fn a_zygote_that_was_killed_is_replaced_and_its_shims_live() {
    let place = Place::new();
    let before = place.spec("before", "sleep 1000");
    let mut client = place.launcher.launch(&before).unwrap().client;
    let pid = started(&mut client);
    let zygote = place.launcher.zygote().unwrap();
    kill(zygote as i32, libc::SIGKILL);
    let is_gone = || fs::read_to_string(format!("/proc/{zygote}/stat")).unwrap().contains(") Z ");
    eventually("it is gone", is_gone);
    assert!(alive(pid));
    started(&mut place.launcher.launch(&place.spec("after", "sleep 1000")).unwrap().client);
    assert_ne!(place.launcher.zygote().unwrap(), zygote);
}

fn kill(pid: i32, signal: i32) {
    let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}
