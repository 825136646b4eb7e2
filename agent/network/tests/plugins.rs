//! Real plugins of Debian's containernetworking-plugins, each test in a network namespace of its own. Needs root.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail only by failing their test")]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chapada_isolation::loopback;
use chapada_network::{Attached, Bridge, NetworkError, Networks, PortMapping, Protocol, Settings, Wish};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Map, Value, json};

const PLUGINS: &str = "/usr/lib/cni";

/// A machine with nothing but a loopback, and the state of an agent on it.
struct Machine {
    directory: tempfile::TempDir,
}

/// Runs a test in a network namespace that ends with it.
fn on_a_machine<F: Future<Output = ()>>(test: impl FnOnce(Machine) -> F + Send) {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            loopback::bring_up().unwrap();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(test(Machine { directory: tempfile::tempdir().unwrap() }));
        });
        running.join().unwrap();
    });
}

impl Machine {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config_dir(&self) -> PathBuf {
        let path = self.path("net.d");
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn settings(&self) -> Settings {
        let bridge = Bridge {
            network: "default".into(),
            interface: "chtest0".into(),
            leases: self.path("leases"),
            subnet: "10.201.0.0/16".into(),
        };
        Settings {
            plugins: vec![self.path("plugins"), PLUGINS.into()],
            config_dir: Some(self.config_dir()),
            limit: Duration::from_secs(20),
            bridge,
            state_dir: self.path("state"),
        }
    }

    fn networks(&self) -> Networks {
        Networks::open(self.settings()).unwrap()
    }

    /// A bridge with mapped ports whose leases are beside the agent's state.
    fn bridge(&self, name: &str, subnet: &str) {
        let text = json!({
            "cniVersion": "1.0.0",
            "name": name,
            "plugins": [
                {
                    "type": "bridge", "bridge": format!("br-{name}"), "isGateway": true, "ipMasq": true,
                    "ipam": {
                        "type": "host-local", "dataDir": self.path("leases"),
                        "ranges": [[{ "subnet": subnet }]], "routes": [{ "dst": "0.0.0.0/0" }],
                    },
                    "dns": { "nameservers": ["10.0.0.53"], "search": ["cluster"] },
                },
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        });
        fs::write(self.config_dir().join(format!("{name}.conflist")), text.to_string()).unwrap();
    }

    /// A network of one plugin, which is this script.
    fn script(&self, name: &str, script: &str) {
        fs::create_dir_all(self.path("plugins")).unwrap();
        let program = self.path("plugins").join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let text = json!({ "cniVersion": "1.0.0", "name": name, "type": name });
        fs::write(self.config_dir().join(format!("{name}.conf")), text.to_string()).unwrap();
    }

    /// Everything that a network leaves on a machine, but the bridges themselves.
    fn traces(&self) -> Traces {
        let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let links = links.lines().skip(2).filter_map(|line| line.split(':').next());
        let links = links.map(|name| name.trim().to_owned()).filter(|name| !name.starts_with("br-"));
        let leases: Vec<String> = files_below(&self.path("leases"))
            .into_iter()
            .filter(|name| name.parse::<IpAddr>().is_ok())
            .collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.directory.path().to_str().unwrap().to_owned();
        Traces {
            links: links.collect(),
            leases,
            mounts: mounts.lines().filter(|line| line.contains(&own)).count(),
            rules: rules(),
            state: files_below(&self.path("state")),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Traces {
    links: Vec<String>,
    leases: Vec<String>,
    mounts: usize,
    rules: Vec<String>,
    state: Vec<String>,
}

/// Chains and rules of the packet filter, without the built-in chains, which stay once they are there.
fn rules() -> Vec<String> {
    let output = Command::new("iptables-save").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let is_rule = |line: &&str| line.starts_with("-A ") || line.starts_with(":CNI");
    text.lines().filter(is_rule).map(str::to_owned).collect()
}

fn files_below(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(files_below(&entry.path()));
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names.sort();
    names
}

fn wish(network: &str) -> Wish {
    Wish { network: network.to_owned(), args: Map::new(), port_mappings: Vec::new() }
}

fn mapped(network: &str, host_port: u16, container_port: u16) -> Wish {
    let mapping = PortMapping { host_port, container_port, protocol: Protocol::Tcp };
    Wish { port_mappings: vec![mapping], ..wish(network) }
}

fn addresses(attached: &Attached) -> Vec<String> {
    let all = attached.interfaces.iter().flat_map(|interface| &interface.addresses);
    all.map(|address| format!("{}/{}", address.ip, address.prefix)).collect()
}

/// A thread in the container's network that answers one connection.
fn serve_once(attached: &Attached, port: u16) -> std::thread::JoinHandle<()> {
    let namespace = fs::File::open(&attached.namespace).unwrap();
    let (ready, listening) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        ready.send(()).unwrap();
        listener.accept().unwrap().0.write_all(b"hello").unwrap();
    });
    listening.recv().unwrap();
    serving
}

fn heard(address: impl Into<SocketAddr>) -> String {
    let mut stream = TcpStream::connect_timeout(&address.into(), Duration::from_secs(10)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_container_joins_networks_and_leaves_nothing_behind() {
    on_a_machine(|machine| async move {
        machine.bridge("one", "10.202.0.0/24");
        machine.bridge("two", "10.203.0.0/24");
        let before = machine.traces();
        let networks = machine.networks();
        let attached = networks.attach("c1", vec![mapped("one", 18080, 80), wish("two")]).await.unwrap();
        assert_eq!(addresses(&attached), ["10.202.0.2/24", "10.203.0.2/24"]);
        let names: Vec<&str> = attached.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        assert_eq!(attached.dns.search, ["cluster"]);
        let serving = serve_once(&attached, 80);
        assert_eq!(heard(([10, 202, 0, 2], 80)), "hello");
        serving.join().unwrap();
        let serving = serve_once(&attached, 80);
        assert_eq!(heard(([127, 0, 0, 1], 18080)), "hello", "through the mapped port");
        serving.join().unwrap();
        assert_eq!(networks.attach("c1", vec![wish("one")]).await.unwrap(), attached, "once is enough");
        networks.detach("c1").await.unwrap();
        assert_eq!(machine.traces(), before);
        assert_eq!(networks.of("c1"), Some(attached), "until it is forgotten");
        networks.forget("c1");
        assert_eq!(networks.of("c1"), None);
        networks.detach("c1").await.unwrap();
    });
}

#[test]
fn chains_stay_while_others_map_ports() {
    on_a_machine(|machine| async move {
        machine.bridge("one", "10.202.0.0/24");
        let networks = machine.networks();
        networks.attach("c1", vec![mapped("one", 18080, 80)]).await.unwrap();
        let second = networks.attach("c2", vec![mapped("one", 18081, 80)]).await.unwrap();
        networks.detach("c1").await.unwrap();
        let serving = serve_once(&second, 80);
        assert_eq!(heard(([127, 0, 0, 1], 18081)), "hello");
        serving.join().unwrap();
        networks.detach("c2").await.unwrap();
        assert_eq!(rules(), Vec::<String>::new());
    });
}

#[test]
fn the_default_bridge_needs_no_configuration() {
    on_a_machine(|machine| async move {
        let networks = machine.networks();
        let attached = networks.attach("c1", vec![mapped("default", 18080, 80)]).await.unwrap();
        assert!(addresses(&attached)[0].starts_with("10.201."), "{attached:?}");
        networks.detach("c1").await.unwrap();
    });
}

#[test]
fn another_process_takes_back_what_one_that_died_has_done() {
    on_a_machine(|machine| async move {
        machine.bridge("one", "10.202.0.0/24");
        machine.script("hangs", "test $CNI_COMMAND = DEL || exec sleep 1000");
        let before = machine.traces();
        let first = machine.networks();
        let whole = first.attach("whole", vec![mapped("one", 18080, 80)]).await.unwrap();
        let half = tokio::spawn({
            let first = first.clone();
            async move { first.attach("half", vec![wish("one"), wish("hangs")]).await }
        });
        let joined = machine.path("state/joined/half.json");
        let has_joined_one = || {
            let text = fs::read_to_string(&joined).unwrap_or_default();
            serde_json::from_str(&text).is_ok_and(|record: Value| record["joins"][0]["result"].is_object())
        };
        while !has_joined_one() {
            tokio::task::yield_now().await;
        }
        half.abort();
        // As another process would, with what is on the disk alone.
        let second = machine.networks();
        assert_eq!(second.of("whole"), Some(whole));
        assert_eq!(second.of("half"), None);
        assert_eq!(second.orphans(&["whole".to_owned()]), ["half"]);
        second.detach("half").await.unwrap();
        second.detach("whole").await.unwrap();
        second.sweep().unwrap();
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn a_namespace_that_is_gone_does_not_keep_leases_and_rules() {
    on_a_machine(|machine| async move {
        machine.bridge("one", "10.202.0.0/24");
        let before = machine.traces();
        let networks = machine.networks();
        let attached = networks.attach("c1", vec![mapped("one", 18080, 80)]).await.unwrap();
        // A process holds it, as an orphaned connection of the container's would.
        let held = fs::File::open(&attached.namespace).unwrap();
        nix::mount::umount2(&attached.namespace, nix::mount::MntFlags::MNT_DETACH).unwrap();
        networks.detach("c1").await.unwrap();
        assert_eq!(machine.traces(), before);
        drop(held);
    });
}

#[test]
fn who_gives_up_kills_a_hung_plugin() {
    on_a_machine(|machine| async move {
        let note = machine.path("note");
        machine.script(
            "hangs",
            &format!(
                "test $CNI_COMMAND = DEL && exit; echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000",
                note.display()
            ),
        );
        let networks = machine.networks();
        let before = Instant::now();
        let attaching = tokio::spawn({
            let networks = networks.clone();
            async move { networks.attach("c1", vec![wish("hangs")]).await }
        });
        while !note.exists() {
            tokio::task::yield_now().await;
        }
        let pid = fs::read_to_string(&note).unwrap();
        assert!(Path::new("/proc").join(pid.trim()).exists());
        attaching.abort();
        let again = networks.attach("c1", vec![wish("hangs")]).await.unwrap_err();
        assert!(matches!(again, NetworkError::GivenUp), "what was begun is taken back first: {again}");
        networks.detach("c1").await.unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone before its work is taken back");
        assert!(before.elapsed() < Duration::from_secs(15), "nobody waits for its limit");
        assert_eq!(machine.traces().state, Vec::<String>::new());
    });
}

#[test]
fn a_plugin_that_fails_is_named_and_what_was_done_is_taken_back() {
    on_a_machine(|machine| async move {
        machine.bridge("one", "10.202.0.0/24");
        let before = machine.traces();
        let del = "test $CNI_COMMAND = DEL && exit\n";
        let cases = [
            ("refuses", "echo '{\"code\": 11, \"msg\": \"no room\"}'; exit 1", "no room"),
            ("shouts", "exec cat /dev/zero", "it says more than 1048576 bytes"),
            ("babbles", "echo hello", "what it says is no JSON object"),
            ("silent", "true", "it says nothing"),
            ("new", "echo '{\"cniVersion\": \"7.0.0\"}'", "its result has the cniVersion \"7.0.0\""),
            ("odd", "echo '{\"ips\": [{\"address\": \"x\"}]}'", "its result has the address \"x\""),
        ];
        let networks = machine.networks();
        for (name, script, problem) in cases {
            machine.script(name, &format!("{del}{script}"));
            let error = networks.attach(name, vec![mapped("one", 18080, 80), wish(name)]).await.unwrap_err();
            let said = error.to_string();
            assert!(
                said.contains(&format!("the network {name:?}: plugin {name:?} failed to join: {problem}")),
                "{said}"
            );
            networks.detach(name).await.unwrap();
            assert_eq!(machine.traces(), before, "{name}");
        }
    });
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_done() {
    on_a_machine(|machine| async move {
        machine.bridge("one", "10.202.0.0/24");
        machine.script("plain", "exit 1");
        let missing = json!({ "cniVersion": "1.0.0", "name": "missing", "type": "no-such-plugin" });
        fs::write(machine.config_dir().join("missing.conf"), missing.to_string()).unwrap();
        let before = machine.traces();
        let networks = machine.networks();
        let cases = [
            (vec![wish("nobody")], "the network \"nobody\" is not known here, but missing, one, plain"),
            (vec![wish("one"), wish("one")], "the network \"one\" is named twice"),
            (vec![wish("one"), mapped("plain", 80, 80)], "the network \"plain\" maps no ports"),
            (
                vec![wish("one"), wish("missing")],
                "the network \"missing\" needs the plugin \"no-such-plugin\"",
            ),
        ];
        for (wishes, problem) in cases {
            let said = networks.attach("c1", wishes).await.unwrap_err().to_string();
            assert!(said.starts_with(problem), "{said}");
            assert_eq!(machine.traces(), before);
        }
    });
}

#[test]
fn a_plugin_that_cannot_leave_is_asked_again() {
    on_a_machine(|machine| async move {
        let (gate, says) = (machine.path("gate"), "echo '{\"cniVersion\": \"1.0.0\"}'");
        machine.script(
            "stays",
            &format!("test $CNI_COMMAND = ADD || test -e {} || exit 1; {says}", gate.display()),
        );
        let networks = machine.networks();
        networks.attach("c1", vec![wish("stays")]).await.unwrap();
        let error = networks.detach("c1").await.unwrap_err();
        assert!(matches!(error, NetworkError::Plugin { verb: "leave", .. }), "{error}");
        assert_eq!(machine.networks().orphans(&[]), ["c1"], "it is found again");
        fs::write(gate, "").unwrap();
        networks.detach("c1").await.unwrap();
        assert_eq!(machine.traces().state, Vec::<String>::new());
    });
}

#[test]
fn many_at_once_leak_nothing() {
    on_a_machine(|machine| async move {
        machine.bridge("one", "10.202.0.0/24");
        let before = machine.traces();
        let networks = machine.networks();
        let each = |number: u16| {
            let networks = networks.clone();
            tokio::spawn(async move {
                let name = format!("c{number}");
                let attached = networks.attach(&name, vec![mapped("one", 20000 + number, 80)]).await.unwrap();
                networks.detach(&name).await.unwrap();
                addresses(&attached).remove(0)
            })
        };
        let running: Vec<_> = (0..24).map(each).collect();
        for done in running {
            assert!(done.await.unwrap().starts_with("10.202.0."));
        }
        assert_eq!(machine.traces(), before);
    });
}
