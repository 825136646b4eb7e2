//! The shape of what a task says that the books do not look at: commands, checks, containers. What breaks a rule here is
//! answered as any other task that cannot be: in error, with these words. Source: Mesos' task validation.

mod check;
mod command;
mod container;
mod group;

pub(super) use group::group;

use chapada_wire::v1;

/// Checks a task, whether by itself or in a group.
///
/// # Errors
/// The first rule that is broken, with the field.
fn common(info: &v1::TaskInfo) -> Result<(), String> {
    if let Some(command) = &info.command {
        command::check("command", command)?;
    }
    if let Some(executor) = &info.executor {
        self::executor("executor", executor)?;
    }
    if let Some(check) = &info.check {
        check::check("check", check)?;
    }
    if let Some(check) = &info.health_check {
        check::health("health_check", check)?;
    }
    match &info.container {
        Some(container) => container::check("container", container),
        None => Ok(()),
    }
}

/// Checks a task of LAUNCH.
///
/// # Errors
/// The first rule that is broken, with the field.
pub(super) fn task(info: &v1::TaskInfo) -> Result<(), String> {
    common(info)?;
    match container::shares_cgroups(info.container.as_ref()) {
        Some(false) => {
            Err("'container.linux_info.share_cgroups' can be false only for tasks of a task group".to_owned())
        }
        Some(true) | None => Ok(()),
    }
}

fn executor(field: &str, executor: &v1::ExecutorInfo) -> Result<(), String> {
    if let Some(command) = &executor.command {
        command::check(&format!("{field}.command"), command)?;
    }
    let Some(container) = &executor.container else { return Ok(()) };
    if container::shares_cgroups(Some(container)) == Some(true) {
        return Err(format!("'{field}.container.linux_info.share_cgroups' must not be true for an executor"));
    }
    container::check(&format!("{field}.container"), container)
}

#[cfg(test)]
mod tests;
