//! Faults that must do no harm, by their numbers in the table of `tests/README.md`: real processes on a real kernel.

mod bombs;
mod hangs;
mod many;
mod registries;
mod stubborn;

use chapada_wire::v1::{self, TaskState};

use crate::support::*;

/// Sends SIGKILL after so long.
fn grace(milliseconds: i64) -> v1::KillPolicy {
    v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds: Some(milliseconds * 1_000_000) }) }
}

/// Gives a task so much of a processor, and memory for many processes.
fn roomy(mut task: v1::TaskInfo, cpus: f64) -> v1::TaskInfo {
    for (resource, amount) in task.resources.iter_mut().zip([cpus, 1024.0]) {
        resource.scalar = Some(v1::value::Scalar { value: Some(amount) });
    }
    task
}

/// Kills all of these, and hears of the end of each.
async fn kill_all(link: &mut Link, tasks: &[String]) {
    for task in tasks {
        link.kill(task).await;
    }
    let mut left: Vec<&String> = tasks.iter().collect();
    while !left.is_empty() {
        let status = link.update().await;
        let id = id_of(&status);
        match state_of(&status) {
            TaskState::TaskKilled => left.retain(|task| **task != id),
            TaskState::TaskStarting | TaskState::TaskRunning | TaskState::TaskKilling => {}
            _ => panic!("{id} was to be killed: {status:?}"),
        }
    }
}
