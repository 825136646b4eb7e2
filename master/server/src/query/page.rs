//! A page of a list, from the books.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use chapada_master_core::{Agent, Snapshot, Task};
use chapada_model::{AgentId, FrameworkId, OfferId, TaskKey, Wall};
use serde_json::{Value, json};

use super::ask::{Kind, List};
use super::{drains, items, task_item};
use crate::books;

/// A page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    /// Key and JSON of each item.
    pub(super) items: Vec<(String, Value)>,
    /// How many there are on all pages.
    pub(super) total: usize,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

impl Page {
    pub(super) fn json(&self) -> Value {
        let items: Vec<&Value> = self.items.iter().map(|(_, item)| item).collect();
        json!({ "items": items, "total": self.total, "next": self.next })
    }
}

/// The page that is asked for.
pub(super) fn page(books: &Snapshot, kind: Kind, list: &List) -> Page {
    match kind {
        Kind::Agents => {
            let found = books.agents.values().filter(|agent| {
                list.finds(&[agent.id.as_str(), &agent.description.hostname, &agent.description.address])
            });
            // Looked up when the first agent is shown that needs it: most pages show none that drains.
            let waits = LazyCell::new(|| {
                let draining = books.agents.values().filter(|agent| agent.open_drain().is_some());
                books.drain_waits(draining.map(|agent| &agent.id).collect())
            });
            let nothing = BTreeMap::new();
            let shown = |agent: &&Arc<Agent>| match agent.open_drain() {
                Some(_) => items::agent(agent, &waits),
                None => items::agent(agent, &nothing),
            };
            in_order(found, list, |agent| agent.id.to_string(), shown)
        }
        Kind::Drains => {
            let found = books.drains.iter().filter(|(name, plan)| list.finds(&[name, &plan.selected_by]));
            in_order(
                found,
                list,
                |(name, _)| name.to_string(),
                |(name, plan)| drains::drain(name, plan, books),
            )
        }
        Kind::Frameworks => {
            let all = books.frameworks.values().chain(books.completed_frameworks.iter().rev());
            let found =
                all.filter(|framework| list.finds(&[framework.id.as_str(), &framework.description.name]));
            in_order(found, list, |framework| framework.id.to_string(), |one| items::framework(one, books))
        }
        Kind::Offers => {
            let found = books.offers.values().filter(|offer| {
                is(&list.framework, offer.framework.as_str())
                    && is(&list.agent, offer.agent.as_str())
                    && list.finds(&[offer.id.as_str(), &offer.host.hostname])
            });
            in_order(found, list, |offer| offer.id.to_string(), |offer| items::offer(offer))
        }
        Kind::Roles => {
            let roles = books.roles();
            let found = roles.iter().filter(|role| list.finds(&[&role.name.to_string()]));
            in_order(found, list, |role| role.name.to_string(), |role| items::role(role))
        }
        Kind::Tasks => tasks(books, list),
    }
}

/// One thing, `None` when there is no such thing.
pub(super) fn item(books: &Snapshot, kind: Kind, framework: &str, id: &str) -> Option<Value> {
    match kind {
        Kind::Agents => {
            let agent = books.agents.get(&id.parse::<AgentId>().ok()?)?;
            Some(items::agent(agent, &books.drain_waits([&agent.id].into())))
        }
        Kind::Drains => books.drains.get(id).map(|plan| drains::in_full(id, plan, books)),
        Kind::Frameworks => {
            let id: FrameworkId = id.parse().ok()?;
            let completed = || books.completed_frameworks.iter().find(|framework| framework.id == id);
            books.frameworks.get(&id).or_else(completed).map(|framework| items::framework(framework, books))
        }
        Kind::Tasks => books::task(books, &key(framework, id)?).map(|task| task_item::task(task, books)),
        Kind::Offers => books.offers.get(&id.parse::<OfferId>().ok()?).map(|offer| items::offer(offer)),
        Kind::Roles => books.roles().iter().find(|role| role.name.to_string() == id).map(items::role),
    }
}

/// The task of this name.
pub(super) fn key(framework: &str, task: &str) -> Option<TaskKey> {
    Some(TaskKey { framework: framework.parse().ok()?, task: task.parse().ok()? })
}

fn is(wanted: &Option<String>, id: &str) -> bool {
    wanted.as_deref().is_none_or(|wanted| wanted == id)
}

/// A page of things that come in the order they are shown in.
fn in_order<T>(
    found: impl Iterator<Item = T>,
    list: &List,
    key: impl Fn(&T) -> String,
    json: impl Fn(&T) -> Value,
) -> Page {
    let mut page = Page::default();
    let mut begun = list.after.is_none();
    for one in found {
        page.total += 1;
        if !begun {
            begun = list.after.as_deref() == Some(&key(&one));
        } else if page.items.len() < list.limit {
            page.items.push((key(&one), json(&one)));
        } else if page.next.is_none() {
            page.next = page.items.last().map(|(key, _)| key.clone());
        }
    }
    page
}

/// Orders tasks on pages: the newest first, then by name.
type Rank = (Reverse<Wall>, TaskKey);

/// Only as many as the page shows are kept while all are looked through.
fn tasks(books: &Snapshot, list: &List) -> Page {
    let after = list.after.as_deref().and_then(rank_from);
    let mut total = 0;
    let mut first: BinaryHeap<(Rank, ByRank<'_>)> = BinaryHeap::new();
    for task in candidates(books, list) {
        if !wanted(task, list) {
            continue;
        }
        total += 1;
        let rank = (Reverse(task.launched), task.key());
        if after.as_ref().is_some_and(|after| rank <= *after) {
            continue;
        }
        first.push((rank, ByRank(task)));
        if first.len() > list.limit + 1 {
            first.pop();
        }
    }
    let mut shown = first.into_sorted_vec();
    let more = shown.len() > list.limit;
    shown.truncate(list.limit);
    let next = shown.last().filter(|_| more).map(|(rank, _)| cursor(rank));
    let items = shown.iter().map(|((_, key), ByRank(task))| (key.to_string(), task_item::task(task, books)));
    Page { items: items.collect(), total, next }
}

fn candidates<'a>(books: &'a Snapshot, list: &List) -> Box<dyn Iterator<Item = &'a Arc<Task>> + 'a> {
    let only = list.framework.as_ref().map(|id| id.parse::<FrameworkId>());
    match only {
        None => Box::new(books::all_tasks(books)),
        Some(Ok(id)) => {
            let completed = books.completed_tasks.get(&id);
            Box::new(books::tasks_of(books, &id).chain(completed.into_iter().flatten()))
        }
        Some(Err(_)) => Box::new(std::iter::empty()),
    }
}

fn wanted(task: &Task, list: &List) -> bool {
    is(&list.agent, task.agent.as_str())
        && list.state.is_none_or(|state| state == task.state)
        && list.finds(&[task.description.id.as_str(), &task.description.name])
}

/// A task in the heap; only its rank orders it.
struct ByRank<'a>(&'a Arc<Task>);

impl PartialEq for ByRank<'_> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ByRank<'_> {}

impl PartialOrd for ByRank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByRank<'_> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

fn cursor((launched, key): &Rank) -> String {
    format!("{}/{key}", launched.0.0)
}

fn rank_from(cursor: &str) -> Option<Rank> {
    let (launched, key) = cursor.split_once('/')?;
    let (framework, task) = key.split_once('/')?;
    let launched = Reverse(Wall(launched.parse().ok()?));
    Some((launched, self::key(framework, task)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_to_the_end() {
        let mut list = List { limit: 2, ..List::default() };
        let mut seen = Vec::new();
        loop {
            let page = in_order(0..5, &list, |n| n.to_string(), |n| json!(n));
            assert_eq!(page.total, 5);
            seen.extend(page.items.iter().map(|(key, _)| key.clone()));
            match page.next {
                Some(next) => list.after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["0", "1", "2", "3", "4"]);
        // The item a cursor names may be gone by now; an empty page says so better than one that starts over.
        list.after = Some("gone".to_owned());
        assert!(in_order(0..5, &list, |n| n.to_string(), |n| json!(n)).items.is_empty());
    }

    #[test]
    fn a_cursor_of_tasks_reads_back() {
        let rank = (Reverse(Wall(17)), key("f-0001", "a.b").unwrap());
        assert_eq!(rank_from(&cursor(&rank)), Some(rank));
        for bad in ["", "1", "1/f", "x/f/t", "1/f/a/b"] {
            assert_eq!(rank_from(bad), None, "{bad}");
        }
    }
}
