//! What a task's container may use. A task gets what it asked for and nothing on top: the executor of a command task is
//! built into agent and shim, so that Mesos' 0.1 cpus and 32 MiB for it have no purpose here and overbook nothing.

use chapada_model::{Limit, Milli, Resources, TaskDescription};
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
        ..of_memory(memory, Some(mem))
    }
}

/// What is asked for is taken from it last where it may have more.
fn of_memory(bound: Option<Milli>, asked: Option<Milli>) -> Limits {
    let bytes = |amount: Option<Milli>| amount.and_then(nonzero).map(mebibytes_to_bytes);
    let (memory_bytes, asked) = (bytes(bound), bytes(asked));
    let memory_soft_bytes = asked.filter(|asked| memory_bytes.is_none_or(|bound| bound > *asked));
    Limits { memory_bytes, memory_soft_bytes, ..Limits::default() }
}

/// The same, with as much swap as there is.
pub(super) fn with_swap(limits: Limits) -> Limits {
    Limits { swap_bytes: limits.memory_bytes.map(|_| u64::MAX), ..limits }
}

/// An executor of the framework's own together with its tasks, which are in its container.
pub(super) fn with_tasks(own: &Resources, tasks: &[TaskDescription], enforce_cpu: bool) -> Limits {
    let add = |sum: Milli, amount: Milli| sum.checked_add(amount);
    let shares = tasks.iter().try_fold(own.cpus(), |sum, task| add(sum, task.resources.cpus()));
    let quota = tasks
        .iter()
        .try_fold(own.cpus(), |sum, task| add(sum, bound(task, CPUS, Some(task.resources.cpus()))?));
    let quota = quota.filter(|_| enforce_cpu);
    let asked = tasks.iter().try_fold(own.mem(), |sum, task| add(sum, task.resources.mem()));
    let memory =
        tasks.iter().try_fold(own.mem(), |sum, task| add(sum, bound(task, MEM, Some(task.resources.mem()))?));
    Limits {
        cpu: CpuLimits { share_milli: shares.and_then(nonzero), quota_milli: quota.and_then(nonzero) },
        ..of_memory(memory, asked)
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

#[cfg(test)]
mod tests {
    use chapada_wire::v1;

    use super::*;

    fn task(cpus: f64, mem: f64) -> v1::TaskInfo {
        let scalar = |name: &str, value: f64| v1::Resource {
            name: Some(name.to_owned()),
            r#type: Some(v1::value::Type::Scalar as i32),
            scalar: Some(v1::value::Scalar { value: Some(value) }),
            ..v1::Resource::default()
        };
        v1::TaskInfo {
            name: Some("t".to_owned()),
            task_id: Some(v1::TaskId { value: Some("t".to_owned()) }),
            agent_id: Some(v1::AgentId { value: Some("a".to_owned()) }),
            resources: vec![scalar(CPUS, cpus), scalar(MEM, mem)],
            ..v1::TaskInfo::default()
        }
    }

    fn limits(info: &v1::TaskInfo, enforce_cpu: bool) -> Limits {
        of(&TaskDescription::try_from(info).unwrap(), enforce_cpu)
    }

    #[test]
    fn a_task_gets_what_it_asked_for() {
        let limits = limits(&task(0.2, 64.5), true);
        assert_eq!((limits.cpu.share_milli, limits.cpu.quota_milli), (Some(200), Some(200)));
        assert_eq!(limits.memory_bytes, Some(64 * MIB + MIB / 2));
    }

    #[test]
    fn an_executor_has_room_for_itself_and_its_tasks_and_for_no_more() {
        let own: Resources = "cpus:0.1;mem:32".parse().unwrap();
        let mut other = task(0.5, 100.0);
        let tasks = |infos: &[&v1::TaskInfo]| -> Vec<TaskDescription> {
            infos.iter().map(|info| TaskDescription::try_from(*info).unwrap()).collect()
        };
        let limits = with_tasks(&own, &tasks(&[&task(0.2, 64.0), &other]), true);
        assert_eq!((limits.cpu.share_milli, limits.cpu.quota_milli), (Some(800), Some(800)));
        assert_eq!(limits.memory_bytes, Some(196 * MIB));
        assert_eq!(with_tasks(&own, &[], true).memory_bytes, Some(32 * MIB));
        other.limits.insert(MEM.to_owned(), v1::value::Scalar { value: Some(f64::INFINITY) });
        let limits = with_tasks(&own, &tasks(&[&other]), false);
        assert_eq!((limits.memory_bytes, limits.cpu.quota_milli), (None, None));
        assert_eq!(limits.memory_soft_bytes, Some(132 * MIB));
    }

    #[test]
    fn named_limits_and_flags_change_the_bounds_alone() {
        let mut info = task(0.2, 64.0);
        assert_eq!(limits(&info, false).cpu, CpuLimits { share_milli: Some(200), quota_milli: None });
        info.limits.insert(CPUS.to_owned(), v1::value::Scalar { value: Some(f64::INFINITY) });
        info.limits.insert(MEM.to_owned(), v1::value::Scalar { value: Some(128.0) });
        let limits = limits(&info, true);
        assert_eq!(limits.cpu, CpuLimits { share_milli: Some(200), quota_milli: None });
        assert_eq!((limits.memory_bytes, limits.memory_soft_bytes), (Some(128 * MIB), Some(64 * MIB)));
        assert_eq!(limits.swap_bytes, None);
        assert_eq!(with_swap(limits).swap_bytes, Some(u64::MAX));
    }
}
