//! Tasks, looked at before their turn comes. What is written of a task lies in a dozen places of a memory that no cache
//! holds. One after the other, each is waited for; when several tasks are looked at together, the processor fetches all of
//! theirs at once.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use chapada_master_core::Task;

/// Tasks that are looked at together: as many as a processor fetches at once, and some more.
const TOGETHER: usize = 24;

/// The same tasks, each with what came with it.
pub(crate) fn ahead<'a, K, I>(tasks: I) -> impl Iterator<Item = (K, &'a Task)>
where
    I: Iterator<Item = (K, &'a Arc<Task>)>,
{
    let mut tasks = tasks.map(|(key, task)| (key, &**task));
    let mut ready = VecDeque::with_capacity(TOGETHER);
    std::iter::from_fn(move || {
        if ready.is_empty() {
            ready.extend(tasks.by_ref().take(TOGETHER));
            look_at(&ready);
        }
        ready.pop_front()
    })
}

/// Reads a little of every place that will be read, in an order in which no read needs the one before it: first all tasks,
/// then what they point to, then what that points to.
fn look_at<K>(tasks: &VecDeque<(K, &Task)>) {
    let each = |read: fn(&Task) -> usize| {
        black_box(tasks.iter().fold(0, |sum, (_, task)| sum ^ read(task)));
    };
    each(|task| task.phase as usize ^ task.statuses.len());
    each(|task| task.executor.is_some() as usize ^ task.finished.is_some() as usize);
    each(|task| task.description.details.len() ^ task.description.labels.len());
    each(|task| task.description.limits.len() ^ task.description.executor.is_some() as usize);
    each(|task| task.statuses.iter().fold(0, |sum, status| sum ^ status.state as usize));
    each(|task| task.statuses.iter().fold(0, |sum, status| sum ^ status.timestamp.is_some() as usize));
    each(|task| task.description.resources.len() ^ task.framework.as_str().len());
    each(|task| task.description.id.as_str().len() ^ task.agent.as_str().len());
    each(|task| {
        let (name, details) = (task.description.name.as_bytes(), task.description.details.as_bytes());
        first(name) ^ details.iter().step_by(64).fold(0, |sum, byte| sum ^ usize::from(*byte))
    });
    each(|task| {
        let resources = task.description.resources.iter();
        resources.fold(0, |sum, resource| sum ^ resource.name.len() ^ resource.reservations.len())
    });
    each(|task| {
        let details = task.statuses.iter().filter_map(|status| status.details.as_ref());
        details.fold(0, |sum, details| sum ^ first(details.as_bytes()))
    });
    each(|task| {
        let containers = task.statuses.iter().filter_map(|status| status.container.as_ref());
        containers.fold(0, |sum, container| sum ^ container.as_str().len())
    });
}

fn first(bytes: &[u8]) -> usize {
    bytes.first().copied().map_or(0, usize::from)
}
