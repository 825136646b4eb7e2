//! From what was read to what is shown: `ResourceStatistics`, as Mesos' isolators fill it.

use chapada_isolation::cgroup::{Pressure, PressureCounts};
use chapada_model::Resources;
use chapada_shim::Statistics;
use chapada_wire::convert::{ReservationFormat, resource_to_wire};
use chapada_wire::v1;
use chapada_wire::v1::cgroup_info::blkio;

use super::network::OwnNetwork;
use super::{Reading, pressure};
use crate::disk_quota::{OfContainer, OfVolume};

const NANOS: f64 = 1e9;
const BYTES_PER_MIB: u128 = 1 << 20;

/// What a container uses. Performance counters and traffic control are not read.
pub(super) fn statistics(read: &Reading, asked: &[Resources], disk: &OfContainer) -> v1::ResourceStatistics {
    let group = &read.group;
    let mut shown = of_group(group);
    shown.timestamp = Some(read.at.as_secs_f64());
    if !asked.is_empty() {
        let cpus = asked.iter().fold(0, |sum: u64, resources| sum.saturating_add(resources.cpus().0));
        let memory = asked.iter().map(|resources| u128::from(resources.mem().0)).sum::<u128>();
        shown.cpus_soft_limit = Some(cpus as f64 / 1000.0);
        shown.mem_soft_limit_bytes = u64::try_from(memory * BYTES_PER_MIB / 1000).ok();
    }
    (shown.disk_limit_bytes, shown.disk_used_bytes) = (disk.quota, disk.used);
    shown.disk_statistics = disk.volumes.iter().map(of_volume).collect();
    shown.blkio_statistics = of_disks(read);
    let waits = read.waits;
    [shown.cpu_pressure, shown.memory_pressure, shown.io_pressure] =
        [waits.cpu, waits.memory, waits.io].map(|waits| waits.map(pressure::stall));
    if let Some(shortages) = read.shortages {
        shown.mem_low_pressure_counter = Some(shortages.low);
        shown.mem_medium_pressure_counter = Some(shortages.medium);
        shown.mem_critical_pressure_counter = Some(shortages.critical);
    }
    if let Some(network) = &read.network {
        add_network(&mut shown, network);
    }
    shown
}

fn of_group(used: &Statistics) -> v1::ResourceStatistics {
    let seconds = |nanos: u64| Some(nanos as f64 / NANOS);
    let count = |count: u64| Some(u32::try_from(count).unwrap_or(u32::MAX));
    v1::ResourceStatistics {
        processes: count(used.processes),
        threads: count(used.threads),
        cpus_user_time_secs: seconds(used.cpu_user_ns),
        cpus_system_time_secs: seconds(used.cpu_system_ns),
        cpus_limit: used.cpu_quota_milli.map(|milli| milli as f64 / 1000.0),
        cpus_nr_periods: count(used.cpu_periods),
        cpus_nr_throttled: count(used.cpu_throttled_periods),
        cpus_throttled_time_secs: seconds(used.cpu_throttled_ns),
        mem_total_bytes: Some(used.memory_total_bytes),
        mem_total_memsw_bytes: Some(used.memory_total_bytes.saturating_add(used.memory_swap_bytes)),
        mem_kmem_usage_bytes: Some(used.memory_kernel_bytes),
        mem_kmem_tcp_usage_bytes: Some(used.memory_sockets_bytes),
        mem_limit_bytes: used.memory_limit_bytes,
        // Two names for each, of which Mesos keeps the older.
        mem_file_bytes: Some(used.memory_cache_bytes),
        mem_anon_bytes: Some(used.memory_rss_bytes),
        mem_cache_bytes: Some(used.memory_cache_bytes),
        mem_rss_bytes: Some(used.memory_rss_bytes),
        mem_mapped_file_bytes: Some(used.memory_mapped_bytes),
        mem_swap_bytes: Some(used.memory_swap_bytes),
        mem_unevictable_bytes: Some(used.memory_unevictable_bytes),
        ..v1::ResourceStatistics::default()
    }
}

fn of_volume(volume: &OfVolume) -> v1::DiskStatistics {
    let disk = resource_to_wire(&volume.resource, ReservationFormat::Single).disk.unwrap_or_default();
    let quota = Resources::from(vec![volume.resource.clone()]).disk().0;
    v1::DiskStatistics {
        source: disk.source,
        persistence: disk.persistence,
        limit_bytes: u64::try_from(u128::from(quota) * BYTES_PER_MIB / 1000).ok(),
        used_bytes: volume.used,
    }
}

/// Nothing where the kernel counted nothing.
fn of_disks(read: &Reading) -> Option<blkio::Statistics> {
    use blkio::Operation::{Read, Total, Write};
    let values = |read: u64, written: u64| {
        let value =
            |op: blkio::Operation, value: u64| blkio::Value { op: Some(op as i32), value: Some(value) };
        vec![value(Total, read.saturating_add(written)), value(Read, read), value(Write, written)]
    };
    let throttling = read.disks.iter().map(|disk| blkio::throttling::Statistics {
        device: Some(v1::device::Number {
            major_number: Some(disk.major.into()),
            minor_number: Some(disk.minor.into()),
        }),
        io_serviced: values(disk.reads, disk.writes),
        io_service_bytes: values(disk.read_bytes, disk.written_bytes),
    });
    let throttling: Vec<_> = throttling.collect();
    (!throttling.is_empty()).then(|| blkio::Statistics { throttling, ..blkio::Statistics::default() })
}

fn add_network(shown: &mut v1::ResourceStatistics, network: &OwnNetwork) {
    let (received, sent) = (network.received, network.sent);
    shown.net_rx_bytes = Some(received.bytes);
    shown.net_rx_packets = Some(received.packets);
    shown.net_rx_errors = Some(received.errors);
    shown.net_rx_dropped = Some(received.dropped);
    shown.net_tx_bytes = Some(sent.bytes);
    shown.net_tx_packets = Some(sent.packets);
    shown.net_tx_errors = Some(sent.errors);
    shown.net_tx_dropped = Some(sent.dropped);
    shown.net_snmp_statistics.clone_from(&network.protocols);
}

/// What two containers of a pod use, which share a network if they have one of their own. A limit is one only if both have it;
/// for how long somebody waited in either of them nobody knows.
pub(super) fn together(mut sum: Reading, other: Reading) -> Reading {
    for disk in other.disks {
        let same = sum.disks.iter_mut().find(|known| (known.major, known.minor) == (disk.major, disk.minor));
        match same {
            None => sum.disks.push(disk),
            Some(known) => {
                known.read_bytes += disk.read_bytes;
                known.written_bytes += disk.written_bytes;
                known.reads += disk.reads;
                known.writes += disk.writes;
            }
        }
    }
    sum.network = sum.network.or(other.network);
    sum.group = add(&sum.group, &other.group);
    sum.waits = Pressure::default();
    sum.shortages = sum.shortages.zip(other.shortages).map(|(one, two)| PressureCounts {
        low: one.low + two.low,
        medium: one.medium + two.medium,
        critical: one.critical + two.critical,
    });
    sum
}

fn add(one: &Statistics, two: &Statistics) -> Statistics {
    let both = |one: Option<u64>, two: Option<u64>| one.zip(two).map(|(one, two)| one.saturating_add(two));
    Statistics {
        cpu_usage_ns: one.cpu_usage_ns + two.cpu_usage_ns,
        cpu_user_ns: one.cpu_user_ns + two.cpu_user_ns,
        cpu_system_ns: one.cpu_system_ns + two.cpu_system_ns,
        cpu_quota_milli: both(one.cpu_quota_milli, two.cpu_quota_milli),
        cpu_periods: one.cpu_periods + two.cpu_periods,
        cpu_throttled_periods: one.cpu_throttled_periods + two.cpu_throttled_periods,
        cpu_throttled_ns: one.cpu_throttled_ns + two.cpu_throttled_ns,
        memory_total_bytes: one.memory_total_bytes + two.memory_total_bytes,
        memory_rss_bytes: one.memory_rss_bytes + two.memory_rss_bytes,
        memory_cache_bytes: one.memory_cache_bytes + two.memory_cache_bytes,
        memory_mapped_bytes: one.memory_mapped_bytes + two.memory_mapped_bytes,
        memory_unevictable_bytes: one.memory_unevictable_bytes + two.memory_unevictable_bytes,
        memory_swap_bytes: one.memory_swap_bytes + two.memory_swap_bytes,
        memory_kernel_bytes: one.memory_kernel_bytes + two.memory_kernel_bytes,
        memory_sockets_bytes: one.memory_sockets_bytes + two.memory_sockets_bytes,
        memory_peak_bytes: None,
        memory_limit_bytes: both(one.memory_limit_bytes, two.memory_limit_bytes),
        oom_kills: one.oom_kills + two.oom_kills,
        processes: one.processes + two.processes,
        threads: one.threads + two.threads,
        io_read_bytes: one.io_read_bytes + two.io_read_bytes,
        io_written_bytes: one.io_written_bytes + two.io_written_bytes,
        io_reads: one.io_reads + two.io_reads,
        io_writes: one.io_writes + two.io_writes,
    }
}

#[cfg(test)]
mod tests {
    use chapada_isolation::cgroup::{DiskTraffic, Stall, Waiting};
    use chapada_model::Wall;

    use super::*;

    #[test]
    fn every_figure_has_its_field() {
        let group = Statistics {
            cpu_quota_milli: Some(500),
            memory_swap_bytes: 3,
            memory_total_bytes: 10,
            processes: 2,
            threads: 5,
            ..Statistics::default()
        };
        let waiting = Waiting { of_10_seconds: 123, total_us: 2_500_000, ..Waiting::default() };
        let disks = vec![DiskTraffic { major: 8, read_bytes: 4096, reads: 1, ..DiskTraffic::default() }];
        let waits = Pressure {
            memory: Some(Stall { some: waiting, full: Waiting::default() }),
            ..Pressure::default()
        };
        let shortages = Some(PressureCounts { low: 3, medium: 2, critical: 1 });
        let network = Some(OwnNetwork::default());
        let read = Reading { at: Wall(1_500_000_000), group, disks, network, waits, shortages };
        let asked: Vec<Resources> =
            ["cpus:0.1;mem:32", "cpus:0.2;mem:0.5"].map(|text| text.parse().unwrap()).into();
        let volume: Resources = "disk(ops):2".parse().unwrap();
        let disk = OfContainer {
            quota: Some(7),
            used: Some(6),
            volumes: vec![OfVolume { resource: volume.iter().next().unwrap().clone(), used: Some(1) }],
        };
        let shown = statistics(&read, &asked, &disk);
        assert!((shown.cpus_soft_limit.unwrap() - 0.3).abs() < 1e-9 && shown.cpus_limit == Some(0.5));
        assert_eq!((shown.mem_soft_limit_bytes, shown.mem_total_memsw_bytes), (Some(65 << 19), Some(13)));
        assert_eq!((shown.processes, shown.threads), (Some(2), Some(5)));
        assert_eq!((shown.disk_limit_bytes, shown.disk_used_bytes), (Some(7), Some(6)));
        assert_eq!(
            (shown.disk_statistics[0].limit_bytes, shown.disk_statistics[0].used_bytes),
            (Some(2 << 20), Some(1))
        );
        let blkio = shown.blkio_statistics.unwrap().throttling;
        assert_eq!(blkio[0].io_service_bytes[0].value, Some(4096));
        let some = shown.memory_pressure.unwrap().some.unwrap();
        assert_eq!((some.avg10, some.avg60, some.total_secs), (Some(1.23), Some(0.0), Some(2.5)));
        assert_eq!(shown.cpu_pressure, None);
        assert_eq!(
            (
                shown.mem_low_pressure_counter,
                shown.mem_medium_pressure_counter,
                shown.mem_critical_pressure_counter
            ),
            (Some(3), Some(2), Some(1))
        );
        assert_eq!((shown.net_rx_packets, shown.timestamp), (Some(0), Some(1.5)));
    }

    #[test]
    fn a_pod_uses_what_its_containers_use_and_has_no_limit_if_one_has_none() {
        let reading = |limit: Option<u64>| Reading {
            at: Wall(0),
            group: Statistics {
                memory_rss_bytes: 5,
                memory_limit_bytes: limit,
                processes: 1,
                ..Statistics::default()
            },
            disks: vec![DiskTraffic { major: 8, writes: 1, ..DiskTraffic::default() }],
            shortages: limit.map(|low| PressureCounts { low, ..PressureCounts::default() }),
            ..Reading::default()
        };
        let both = together(reading(Some(8)), reading(Some(9)));
        assert_eq!((both.group.memory_rss_bytes, both.group.memory_limit_bytes), (10, Some(17)));
        assert_eq!((both.disks.len(), both.disks[0].writes), (1, 2));
        assert_eq!(both.shortages.map(|counts| counts.low), Some(17));
        assert_eq!(together(both, reading(None)).group.memory_limit_bytes, None);
    }
}
