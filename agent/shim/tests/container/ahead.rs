//! What is made before an order comes: who has it then, and that nothing of it stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::place::*;
use chapada_shim::*;

/// Children of a process.
fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// The networks that a process holds open.
fn networks_held(pid: u32) -> Vec<u64> {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let paths = open.flatten().map(|entry| entry.path());
    let is_network =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("net:["));
    paths.filter(is_network).filter_map(|path| fs::metadata(path).ok()).map(|found| found.ino()).collect()
}

fn network_of(pid: i32) -> u64 {
    fs::metadata(format!("/proc/{pid}/ns/net")).unwrap().ino()
}

/// The shim that waits, once it has made everything ahead: its network, and the holder of its user namespace.
fn waiting(place: &Place) -> (u32, u64, u32) {
    let zygote = place.launcher.zygote().unwrap();
    // While it makes its network it holds the way back to ours.
    let ours = network_of(std::process::id() as i32);
    let mut found = None;
    eventually("a shim waits with what it has made ahead", || {
        let waiting = children(zygote).into_iter();
        let complete = |pid: u32| match (&networks_held(pid)[..], &children(pid)[..]) {
            (&[network], &[holder]) if network != ours => Some((pid, network, holder)),
            _ => None,
        };
        // Shims of containers are the zygote's children, too, and hold none.
        found = waiting.filter_map(complete).next();
        found.is_some()
    });
    found.unwrap()
}

fn with_a_network(place: &Place, id: &str, script: &str) -> ContainerSpec {
    let mut spec = place.spec(id, script);
    spec.namespaces.network = true;
    spec
}

#[test]
fn a_network_made_ahead_is_the_next_containers_and_no_others() {
    let place = Place::new();
    let (shim, network, holder) = waiting(&place);
    let script =
        "grep -q ' lo:' /proc/net/dev && cat /proc/sys/net/ipv4/ip_unprivileged_port_start; exec sleep 1000";
    let mut first = place.launcher.launch(&with_a_network(&place, "first", script)).unwrap().client;
    let pid = started(&mut first);
    assert_eq!(network_of(pid), network);
    eventually("it was brought up", || place.sandbox_file("first", "stdout").trim() == "0");
    let state: ContainerState =
        runtime_dir::read_record(&place.runtime_root().join("first"), runtime_dir::STATE).unwrap().unwrap();
    assert_eq!(state.shim_pid, shim as i32, "who waited took the order");
    eventually("what was not needed is gone", || !alive(holder as i32));

    let (next, another, _) = waiting(&place);
    assert_ne!((next, another), (shim, network));
    let mut second =
        place.launcher.launch(&with_a_network(&place, "second", "exec sleep 1000")).unwrap().client;
    assert_eq!(network_of(started(&mut second)), another);
}

#[test]
fn a_container_of_the_hosts_network_leaves_nothing_of_what_it_did_not_need() {
    let place = Place::new();
    let (shim, _, holder) = waiting(&place);
    let mut client = place.launcher.launch(&place.spec("host", "exec sleep 1000")).unwrap().client;
    let pid = started(&mut client);
    assert_eq!(network_of(pid), fs::metadata("/proc/self/ns/net").unwrap().ino());
    eventually("it lets go of the network", || networks_held(shim).is_empty());
    eventually("the holder is gone", || !alive(holder as i32));
}

#[test]
fn many_at_once_have_a_network_each() {
    let place = Place::new();
    let launch = |number: u32| {
        let mut spec = with_a_network(&place, &format!("c{number}"), "exec sleep 1000");
        spec.logs = None;
        place.launcher.launch(&spec).unwrap().client
    };
    let mut clients: Vec<_> = (0..20).map(launch).collect();
    let mut networks: Vec<u64> = clients.iter_mut().map(|client| network_of(started(client))).collect();
    networks.sort_unstable();
    networks.dedup();
    assert_eq!(networks.len(), clients.len());
}

#[test]
fn who_waits_goes_with_the_zygote_and_what_it_made_with_it() {
    let place = Place::new();
    let (shim, _, holder) = waiting(&place);
    let zygote = nix::unistd::Pid::from_raw(place.launcher.zygote().unwrap() as i32);
    nix::sys::signal::kill(zygote, nix::sys::signal::SIGKILL).unwrap();
    eventually("both are gone", || !alive(shim as i32) && !alive(holder as i32));
    // And a container that was begun before does not: it is tied to nothing but its own shim.
    let mut client = place.launcher.launch(&place.spec("later", "exec sleep 1000")).unwrap().client;
    let pid = started(&mut client);
    let zygote = nix::unistd::Pid::from_raw(place.launcher.zygote().unwrap() as i32);
    nix::sys::signal::kill(zygote, nix::sys::signal::SIGKILL).unwrap();
    eventually("the zygote is gone", || children(zygote.as_raw() as u32).is_empty());
    client.request_status().unwrap();
    assert_eq!(started(&mut client), pid);
}

#[test]
fn our_init_holds_nothing_of_the_shims() {
    let place = Place::new();
    let mut client =
        place.launcher.launch(&with_a_network(&place, "held", "exec sleep 1000")).unwrap().client;
    let pid = started(&mut client);
    let held = || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let mut links: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        links.sort();
        links.iter().map(|link| link.display().to_string()).collect::<Vec<_>>()
    };
    // Its standard files are nothing's, and the last is the way to tell how the command ended.
    eventually(
        "it has let go",
        || matches!(&held()[..], [a, b, c, pipe] if [a, b, c].iter().all(|file| *file == "/dev/null") && pipe.starts_with("pipe:")),
    );
}
