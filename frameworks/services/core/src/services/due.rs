//! When something is to be done for an instance: given up, killed again, asked how it is.

use chapada_model::Mono;

use super::index::Rules;
use crate::definition::UnreachableStrategy;
use crate::health::NEVER;
use crate::instance::{Condition, Goal, Instance, Task};
use crate::settings::Patience;

/// When a task that is not ready is asked next.
fn readiness(task: &Task) -> Option<Mono> {
    let open = task.readiness.iter().filter(|check| !check.ready).map(|check| check.due).min();
    (!task.ready).then(|| open.unwrap_or_default())
}

/// The first of these moments. What is overdue stays so until it is done: it may have to wait for a connection.
pub(super) fn next(instance: &Instance, task: &Task, rules: &Rules) -> Option<Mono> {
    let Patience { kill_retry, task_launch } = rules.patience;
    let run = instance.goal == Goal::Run;
    let by_condition = match task.condition {
        Condition::Unreachable if !run => match rules.unreachable {
            UnreachableStrategy::After { inactive, .. } => Some(task.since + inactive.duration()),
            UnreachableStrategy::Disabled => Some(Mono::default()),
        },
        Condition::Unreachable => match rules.unreachable {
            UnreachableStrategy::After { expunge, .. } => Some(task.since + expunge.duration()),
            UnreachableStrategy::Disabled => None,
        },
        Condition::Provisioned | Condition::Staging if run => Some(task.since + task_launch),
        Condition::Running if run => {
            let asked = task.health.iter().map(|check| check.due).filter(|due| *due != NEVER);
            asked.chain(readiness(task)).min()
        }
        Condition::Provisioned
        | Condition::Staging
        | Condition::Starting
        | Condition::Running
        | Condition::Killing => None,
    };
    let kill = instance.is_ending().then(|| task.kill_sent.map_or(Mono::default(), |sent| sent + kill_retry));
    [by_condition, kill].into_iter().flatten().min()
}
