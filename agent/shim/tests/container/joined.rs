//! Containers that share namespaces: with each other, as in a pod, and with a network that others made.

use crate::place::*;
use chapada_isolation::networks::NetworkDirectory;
use chapada_shim::*;
use nix::sched::{CloneFlags, unshare};

const NAMES: &str = "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done; hostname";

#[test]
fn containers_of_a_pod_share_what_they_join() {
    let place = Place::new();
    let mut first = place.spec("first", &format!("{NAMES}; sleep 1000"));
    first.namespaces.network = true;
    first.hostname = Some("pod".into());
    let mut client = place.launcher.launch(&first).unwrap().client;
    let pid = started(&mut client);
    let state: ContainerState =
        runtime_dir::read_record(&first.runtime_dir, runtime_dir::STATE).unwrap().unwrap();
    let mut second = place.own_root("second", NAMES);
    let of = NamespaceOf::Process { pid, start_time: state.start_time };
    let join = |kind| JoinedNamespace { kind, of: of.clone() };
    second.joined = vec![join(NamespaceKind::Network), join(NamespaceKind::Ipc), join(NamespaceKind::Uts)];
    second.user_namespace = Some(IdRange { first: 1_600_000, count: 65_536 });
    let ours = place.output_of(&second);
    let said = || place.sandbox_file("first", "stdout");
    eventually("all that it saw is in its log", || said().ends_with("\npod\n"));
    let theirs = said();
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    assert_eq!(ours[..3], theirs[..3], "network, ipc and name");
    assert_ne!(ours[3], theirs[3]);
    assert_ne!(ours[4], theirs[4]);
    assert_eq!(ours[5], "pod");
}

#[test]
fn a_network_is_joined_by_its_path() {
    let place = Place::new();
    // The network of a thread that waits to be let go; its file is as good as one that is mounted somewhere.
    let (tell, told) = std::sync::mpsc::channel();
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        let _over = wait.recv();
    });
    let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), told.recv().unwrap());
    let mut spec = place.own_root("network", "tail -n +3 /proc/net/dev | wc -l; ls /sys/class/net");
    spec.joined = vec![JoinedNamespace { kind: NamespaceKind::Network, of: NamespaceOf::Path(path.into()) }];
    let report = place.run(&spec);
    drop(let_go);
    thread.join().unwrap();
    assert_eq!(report.outcome, Outcome::Exited { code: 0 });
    assert_eq!(place.sandbox_file("network", "stdout"), "1\nlo\n");
}

#[test]
fn what_is_no_namespace_or_has_ended_is_refused() {
    let place = Place::new();
    let me = std::process::id() as i32;
    let cases = [
        NamespaceOf::Path("/etc/passwd".into()),
        NamespaceOf::Path("/proc/self/ns/uts".into()),
        NamespaceOf::Path("/no/such".into()),
        NamespaceOf::Process { pid: me, start_time: 1 },
    ];
    for (number, of) in cases.into_iter().enumerate() {
        let mut spec = place.spec(&format!("bad{number}"), "true");
        spec.joined = vec![JoinedNamespace { kind: NamespaceKind::Network, of }];
        let Outcome::NotStarted { error } = place.run(&spec).outcome else { panic!("it ran") };
        assert_eq!(error.failure, SetupFailure::Namespace, "{error}");
    }
    let mut spec = place.spec("twice", "true");
    let of = NamespaceOf::Path("/proc/self/ns/net".into());
    spec.joined = vec![JoinedNamespace { kind: NamespaceKind::Network, of }];
    spec.namespaces.network = true;
    assert_eq!(spec.validate().unwrap_err().field, "joined");
}

#[test]
fn a_container_holds_no_network_of_others() {
    let place = Place::new();
    let networks = NetworkDirectory::new(place.runtime_root().with_file_name("networks"));
    networks.make("other").unwrap();
    let mounts = format!("grep -c {} /proc/self/mountinfo", networks.path().display());
    let mut spec = place.spec("sees", &mounts);
    place.run(&spec);
    assert_eq!(place.sandbox_file("sees", "stdout"), "2\n", "the directory, and the network");
    spec = place.spec("holds-none", &mounts);
    spec.network_mounts = Some(networks.path().to_owned());
    place.run(&spec);
    assert_eq!(place.sandbox_file("holds-none", "stdout"), "0\n");
    assert!(networks.has("other"), "it is still the machine's");
    networks.remove("other").unwrap();
    networks.release().unwrap();
}
