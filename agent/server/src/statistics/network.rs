//! What went over the interfaces of a container that has a network of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use chapada_wire::{Json, v1};

/// The kernel's counters of a network namespace, without its loopback.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OwnNetwork {
    pub(super) received: Counters,
    pub(super) sent: Counters,
    pub(super) protocols: Option<v1::SnmpStatistics>,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) errors: u64,
    pub(super) dropped: u64,
}

/// The machine's network, as this process has it.
static MACHINE: LazyLock<Option<PathBuf>> = LazyLock::new(|| fs::read_link("/proc/self/ns/net").ok());

impl OwnNetwork {
    /// `None` for a process on the machine's network, and for one that has ended.
    pub(super) fn of_process(pid: u32) -> Option<Self> {
        let namespace = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
        if MACHINE.as_ref() == Some(&namespace) {
            return None;
        }
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).ok();
        let mut found = Self { protocols: protocols(&read("snmp")?), ..Self::default() };
        read("dev")?.lines().for_each(|line| found.add(line));
        Some(found)
    }

    /// A line of `/proc/<pid>/net/dev`.
    fn add(&mut self, line: &str) {
        let Some((name, counts)) = line.split_once(':').filter(|(name, _)| name.trim() != "lo") else {
            return;
        };
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|count| count.parse().ok()).collect();
        // Eight of each direction: bytes, packets, errors, drops, and others.
        if counts.len() < 16 {
            return tracing::debug!(interface = name, "the kernel counts otherwise");
        }
        self.received.add(&counts[..8]);
        self.sent.add(&counts[8..]);
    }
}

impl Counters {
    fn add(&mut self, counts: &[u64]) {
        self.bytes += counts[0];
        self.packets += counts[1];
        self.errors += counts[2];
        self.dropped += counts[3];
    }
}

/// `/proc/<pid>/net/snmp`: two lines for each protocol, one of names and one of values. The fields have the same names.
fn protocols(text: &str) -> Option<v1::SnmpStatistics> {
    let lines: Vec<&str> = text.lines().collect();
    let of = |protocol: &str| {
        let found = lines.iter().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
        let mut found = found.map(str::split_whitespace);
        let (names, values) = (found.next()?, found.next()?);
        let fields = names.zip(values).filter_map(|(name, value)| {
            Some((name.to_owned(), serde_json::Value::from(value.parse::<i64>().ok()?)))
        });
        Some(serde_json::Value::Object(fields.collect()))
    };
    let shown = serde_json::json!({
        "ip_stats": of("Ip"), "icmp_stats": of("Icmp"), "tcp_stats": of("Tcp"), "udp_stats": of("Udp"),
    });
    v1::SnmpStatistics::from_json(shown.to_string().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_added_and_the_loopback_is_not_one() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n  \
            eth0:100 2 1 3 0 0 0 0 50 4 0 6 0 0 0 0\n  \
            eth1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n";
        let mut found = OwnNetwork::default();
        text.lines().for_each(|line| found.add(line));
        assert_eq!(found.received, Counters { bytes: 101, packets: 3, errors: 1, dropped: 3 });
        assert_eq!(found.sent, Counters { bytes: 51, packets: 5, errors: 0, dropped: 6 });
    }

    #[test]
    fn protocols_are_read_by_name_whatever_the_kernel_adds() {
        let text = "Ip: Forwarding New InReceives\nIp: 1 7 20\nTcp: RtoAlgorithm MaxConn\nTcp: 1 -1\n\
            Udp: InDatagrams NoPorts\nUdp: 5 6\nIcmp: InMsgs\nIcmp: 3\n";
        let found = protocols(text).unwrap();
        assert_eq!(found.ip_stats.unwrap().in_receives, Some(20));
        assert_eq!(found.tcp_stats.unwrap().max_conn, Some(-1));
        assert_eq!(found.udp_stats.unwrap().no_ports, Some(6));
        assert_eq!(OwnNetwork::of_process(std::process::id()), None);
    }
}
