//! Machines of a test, as network namespaces on one bridge.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The namespace with the bridge. The thread that made it is inside, and so is every process that it starts.
#[derive(Debug)]
pub struct Hub {
    name: String,
    outside: File,
    next_host: u8,
}

/// A machine of its own on the hub's bridge.
#[derive(Debug)]
pub struct Namespace {
    /// As `/run/netns` has it.
    pub name: String,
    /// Its address on the bridge.
    pub ip: Ipv4Addr,
}

impl Hub {
    /// The hub's own address.
    pub const IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

    /// Makes the namespace and moves the calling thread into it.
    ///
    /// # Panics
    /// Without root, or without iproute2.
    #[must_use]
    pub fn enter() -> Self {
        let name = format!("chapada-t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let outside = File::open("/proc/thread-self/ns/net").expect("a thread has a network namespace");
        ip(&["netns", "add", &name]);
        let hub = Self { name, outside, next_host: 2 };
        let inside =
            File::open(format!("/run/netns/{}", hub.name)).expect("the namespace that was just made");
        setns(&inside, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
        ip(&["link", "set", "lo", "up"]);
        ip(&["link", "add", "hub", "type", "bridge"]);
        ip(&["addr", "add", &format!("{}/24", Self::IP), "dev", "hub"]);
        ip(&["link", "set", "hub", "up"]);
        hub
    }

    /// One more machine.
    ///
    /// # Panics
    /// When the kernel refuses, or after 250 of them.
    pub fn machine(&mut self) -> Namespace {
        let host = self.next_host;
        self.next_host = host.checked_add(1).expect("a bridge of this size holds 250 machines");
        let address = Ipv4Addr::new(10, 99, 0, host);
        let machine = Namespace { name: format!("{}-h{host}", self.name), ip: address };
        let (near, far) = (format!("h{host}"), format!("p{host}"));
        ip(&["netns", "add", &machine.name]);
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far]);
        ip(&["link", "set", &far, "netns", &machine.name]);
        ip(&["link", "set", &near, "master", "hub", "up"]);
        ip(&["-n", &machine.name, "link", "set", "lo", "up"]);
        ip(&["-n", &machine.name, "addr", "add", &format!("{address}/24"), "dev", &far]);
        ip(&["-n", &machine.name, "link", "set", &far, "up"]);
        machine
    }
}

/// Which packets of a machine are dropped, those to itself excepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// What it sends.
    Out,
    /// What it sends and what is sent to it.
    Both,
}

impl Namespace {
    /// Drops packets from now on, without a word to either end.
    ///
    /// # Panics
    /// Without nftables.
    pub fn cut(&self, cut: Cut) {
        let hooks: &[&str] = match cut {
            Cut::Out => &["output"],
            Cut::Both => &["output", "input"],
        };
        let mut rules = String::from("add table inet cut\n");
        for hook in hooks {
            let side = if *hook == "output" { "oif" } else { "iif" };
            rules += &format!(
                "add chain inet cut {hook} {{ type filter hook {hook} priority 0; policy drop; }}\n"
            );
            rules += &format!("add rule inet cut {hook} {side} lo accept\n");
        }
        self.nft(&rules);
    }

    /// Lets all packets pass again.
    ///
    /// # Panics
    /// Without nftables, and when nothing was cut.
    pub fn heal(&self) {
        self.nft("delete table inet cut\n");
    }

    fn nft(&self, rules: &str) {
        let mut nft = Command::new("nsenter")
            .args([&format!("--net=/run/netns/{}", self.name), "--", "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nftables is installed");
        let mut input = nft.stdin.take().expect("its input is a pipe");
        input.write_all(rules.as_bytes()).expect("nft reads its rules");
        drop(input);
        assert!(nft.wait().expect("a child of ours can be waited for").success(), "nft refused {rules}");
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = setns(&self.outside, CloneFlags::CLONE_NEWNET);
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {} failed", arguments.join(" "));
}
