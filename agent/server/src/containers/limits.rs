//! What a task's container may use. A task gets what it asked for and nothing on top: the executor of a command task is
//! built into agent and shim, so that Mesos' 0.1 cpus and 32 MiB for it have no purpose here and overbook nothing.

use chapada_model::{Limit, Milli, TaskDescription};
use chapada_shim::{CpuLimits, Limits};

const CPUS: &str = "cpus";
const MEM: &str = "mem";
const MIB: u64 = 1024 * 1024;

pub(super) fn of(task: &TaskDescription, enforce_cpu: bool) -> Limits {
    let (cpus, mem) = (task.resources.cpus(), task.resources.mem());
    let quota = bound(task, CPUS, enforce_cpu.then_some(cpus));
    let memory = bound(task, MEM, Some(mem));
    Limits {
        cpu: CpuLimits { share_milli: nonzero(cpus), quota_milli: quota.and_then(nonzero) },
        memory_bytes: memory.and_then(nonzero).map(mebibytes_to_bytes),
        ..Limits::default()
    }
}

/// The limit that the task names, or else this one.
fn bound(task: &TaskDescription, name: &str, otherwise: Option<Milli>) -> Option<Milli> {
    match task.limits.get(name) {
        Some(Limit::Amount(amount)) => Some(*amount),
        Some(Limit::Infinite) => None,
        None => otherwise,
    }
}

fn nonzero(amount: Milli) -> Option<u64> {
    (!amount.is_zero()).then_some(amount.0)
}

fn mebibytes_to_bytes(milli: u64) -> u64 {
    u64::try_from(u128::from(milli) * u128::from(MIB) / 1000).unwrap_or(u64::MAX)
}
