//! Task groups: what holds for all of their tasks and their executor together.

use chapada_wire::v1;

use super::{common, container};

/// Checks a group.
///
/// # Errors
/// The first rule that is broken, with the task's id or the field.
pub(crate) fn group(executor: Option<&v1::ExecutorInfo>, tasks: &[v1::TaskInfo]) -> Result<(), String> {
    let executor = executor.ok_or("'launch_group.executor' must be set")?;
    super::executor("launch_group.executor", executor)?;
    if container::is_docker(executor.container.as_ref()) {
        return Err("Docker ContainerInfo is not supported on the executor of a task group".to_owned());
    }
    let mut shares = None;
    for info in tasks {
        let id = info.task_id.as_ref().and_then(|id| id.value.as_deref()).unwrap_or_default();
        one(info, executor).map_err(|problem| format!("Task '{id}' is invalid: {problem}"))?;
        let own = container::shares_cgroups(info.container.as_ref()).unwrap_or(true);
        if *shares.get_or_insert(own) != own {
            return Err("all tasks of one executor must say the same in 'share_cgroups'".to_owned());
        }
    }
    Ok(())
}

fn one(info: &v1::TaskInfo, executor: &v1::ExecutorInfo) -> Result<(), String> {
    common(info)?;
    if info.executor.as_ref().is_some_and(|own| own != executor) {
        return Err("its 'executor' differs from 'launch_group.executor'".to_owned());
    }
    let own_container = info.container.as_ref();
    if container::is_docker(own_container) {
        return Err("Docker ContainerInfo is not supported on the task".to_owned());
    }
    let probes = |check: &v1::HealthCheck| check.http.is_some() || check.tcp.is_some();
    if container::has_own_network(own_container) && info.health_check.as_ref().is_some_and(probes) {
        return Err(
            "HTTP and TCP health checks are not supported for a task with a network of its own".to_owned()
        );
    }
    let shares = container::shares_cgroups(own_container).unwrap_or(true);
    match info.limits.is_empty() || !shares {
        true => Ok(()),
        false => Err("resource limits in a task group need 'share_cgroups' to be false".to_owned()),
    }
}
