//! Questions that several readers put to the books.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use chapada_master_core::{Offer, Snapshot, Task};
use chapada_model::{FrameworkId, TaskId, TaskKey};

/// What comes after a key, or everything.
pub(crate) fn after<K: Clone>(key: Option<&K>) -> (Bound<K>, Bound<K>) {
    (key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone())), Bound::Unbounded)
}

/// The tasks of one framework that are not completed, by id.
pub(crate) fn tasks_of<'a>(
    books: &'a Snapshot,
    framework: &FrameworkId,
) -> impl Iterator<Item = &'a Arc<Task>> + use<'a> {
    tasks_after(books, framework, None).map(|(_, task)| task)
}

/// As [`tasks_of`], only those after one of them, each with its key. No task is looked at for it.
pub(crate) fn tasks_after<'a>(
    books: &'a Snapshot,
    framework: &FrameworkId,
    after: Option<&TaskKey>,
) -> impl Iterator<Item = (&'a TaskKey, &'a Arc<Task>)> + use<'a> {
    // No id sorts before this one: it is the smallest that can be.
    let first: TaskId =
        "\u{20}".parse().unwrap_or_else(|_| "!".parse().expect("a printable character is an id"));
    let from = match after {
        Some(after) => Bound::Excluded(after.clone()),
        None => Bound::Included(TaskKey { framework: framework.clone(), task: first }),
    };
    let framework = framework.clone();
    books.tasks.range((from, Bound::Unbounded)).take_while(move |(key, _)| key.framework == framework)
}

/// All tasks the books remember, live ones first.
pub(crate) fn all_tasks(books: &Snapshot) -> impl Iterator<Item = &Arc<Task>> {
    books.tasks.values().chain(books.completed_tasks.values().flatten())
}

/// A task, live or completed.
pub(crate) fn task<'a>(books: &'a Snapshot, key: &TaskKey) -> Option<&'a Arc<Task>> {
    books.tasks.get(key).or_else(|| {
        let completed = books.completed_tasks.get(&key.framework)?;
        completed.iter().rev().find(|task| task.description.id == key.task)
    })
}

/// Outstanding offers by framework, found at once for all of them.
pub(crate) fn offers_by_framework(books: &Snapshot) -> BTreeMap<FrameworkId, Vec<Arc<Offer>>> {
    let mut offers: BTreeMap<FrameworkId, Vec<Arc<Offer>>> = BTreeMap::new();
    for offer in books.offers.values() {
        offers.entry(offer.framework.clone()).or_default().push(offer.clone());
    }
    offers
}
