//! What a process and its connections take.

use std::net::SocketAddr;

use anyhow::{Context, Result};

/// Resident memory of a process, in MiB.
pub(crate) fn resident_mib(pid: i32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// Bytes that the kernel holds to be sent from this address, in MiB.
pub(crate) fn queued_mib(from: SocketAddr) -> Result<f64> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let port = format!(":{:04X}", from.port());
    let mut bytes = 0;
    for line in table.lines().skip(1) {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        let queues = fields.nth(2).unwrap_or_default();
        if local.ends_with(&port)
            && let Some((sending, _)) = queues.split_once(':')
        {
            bytes += u64::from_str_radix(sending, 16)?;
        }
    }
    Ok(bytes as f64 / (1024.0 * 1024.0))
}

/// Seconds of processor that a process has used.
pub(crate) fn processor_time(pid: i32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = (ticks(11).context("user time")?, ticks(12).context("system time")?);
    // Linux counts these in hundredths of a second.
    Ok((user + system) / 100.0)
}
