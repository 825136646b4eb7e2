//! `/state`, `/frameworks` and `/tasks`: what may be large, written piece by piece from one moment's books.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use chapada_master_core::{Agent, AgentState, Framework, Snapshot, Task, TaskPhase};
use chapada_model::{AgentId, FrameworkId, TaskKey};
use serde_json::json;

use super::agents::AgentView;
use super::frameworks::{FrameworkHead, Held};
use super::object::{Object, write};
use super::pieces::Source;
use super::tasks::task;
use crate::books;
use crate::shell::{API_VERSION, Led, Shell, authority};

/// A part of an answer.
enum Part {
    Text(Vec<u8>),
    /// Agents after that one, each told by `is_wanted`.
    Agents {
        after: Option<AgentId>,
        is_wanted: fn(&Agent) -> bool,
    },
    /// A framework as a whole.
    Framework(Arc<Framework>),
    /// Its tasks after that one that are not history.
    Tasks {
        framework: FrameworkId,
        after: Option<TaskKey>,
        unreachable: bool,
    },
    /// Its history from that one on.
    Completed {
        framework: FrameworkId,
        from: usize,
    },
    /// What follows the tasks of a framework.
    FrameworkEnd(Arc<Framework>),
    /// These tasks.
    Chosen(VecDeque<Arc<Task>>),
}

/// An answer in the making.
pub(super) struct Pieces {
    books: Arc<Snapshot>,
    held: Held,
    parts: VecDeque<Part>,
    /// Whether the list at hand has an element.
    has_element: bool,
}

impl Pieces {
    fn new(books: Arc<Snapshot>) -> Self {
        let held = Held::of(&books);
        Self { books, held, parts: VecDeque::new(), has_element: false }
    }

    fn text(&mut self, text: &str) {
        self.parts.push_back(Part::Text(text.into()));
    }

    /// `/state`.
    pub(super) fn state(shell: &Shell, led: &Led, books: Arc<Snapshot>) -> Self {
        let mut head = Vec::new();
        write_head(shell, led, &books, &mut head);
        let mut pieces = Self::new(books);
        pieces.parts.push_back(Part::Text(head));
        pieces.text(",\"slaves\":[");
        pieces.parts.push_back(Part::Agents { after: None, is_wanted: Agent::is_registered });
        pieces.text("],\"recovered_slaves\":[");
        pieces.parts.push_back(Part::Agents { after: None, is_wanted: is_recovered });
        pieces.text("],");
        pieces.frameworks_of(|_| true);
        pieces.text(",\"orphan_tasks\":[],\"unregistered_frameworks\":[]}");
        pieces
    }

    /// `/frameworks`, or one of them.
    pub(super) fn frameworks(books: Arc<Snapshot>, only: Option<&str>) -> Self {
        let mut pieces = Self::new(books);
        pieces.text("{");
        pieces.frameworks_of(|id| only.is_none_or(|only| only == id));
        pieces.text(",\"unregistered_frameworks\":[]}");
        pieces
    }

    fn frameworks_of(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let current = self.books.frameworks.values().filter(|framework| !framework.is_completed()).cloned();
        let (current, completed): (Vec<_>, Vec<_>) =
            (current.collect(), self.books.completed_frameworks.iter().cloned().collect());
        for (text, frameworks) in [("\"frameworks\":[", current), ("],\"completed_frameworks\":[", completed)]
        {
            self.text(text);
            let wanted = frameworks.into_iter().filter(|framework| is_wanted(framework.id.as_str()));
            self.parts.extend(wanted.map(Part::Framework));
        }
        self.text("]");
    }

    /// `/tasks`.
    pub(super) fn tasks(books: Arc<Snapshot>, tasks: Vec<Arc<Task>>) -> Self {
        let mut pieces = Self { books, held: Held::default(), parts: VecDeque::new(), has_element: false };
        pieces.text("{\"tasks\":[");
        pieces.parts.push_back(Part::Chosen(tasks.into()));
        pieces.text("]}");
        pieces
    }

    fn element(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_element, true) {
            out.push(b',');
        }
    }

    /// Writes a part; what is left of it when there are enough bytes.
    fn write(&mut self, part: Part, out: &mut Vec<u8>, limit: usize) -> Option<Part> {
        match part {
            Part::Text(text) => {
                out.extend_from_slice(&text);
                self.has_element = false;
                None
            }
            Part::Agents { after, is_wanted } => {
                let books = self.books.clone();
                let rest = from(after.as_ref());
                for (id, agent) in books.agents.range(rest).filter(|(_, agent)| is_wanted(agent)) {
                    self.element(out);
                    write(out, &AgentView::from(&**agent));
                    if out.len() >= limit {
                        return Some(Part::Agents { after: Some(id.clone()), is_wanted });
                    }
                }
                None
            }
            Part::Framework(framework) => {
                self.element(out);
                self.begin_framework(framework, out);
                None
            }
            Part::Tasks { framework, after, unreachable } => {
                self.write_tasks(framework, after, unreachable, out, limit)
            }
            Part::Completed { framework, from } => self.write_completed(framework, from, out, limit),
            Part::FrameworkEnd(framework) => {
                self.held.write_end(&framework, out);
                // The list of frameworks goes on.
                self.has_element = true;
                None
            }
            Part::Chosen(mut tasks) => {
                while let Some(one) = tasks.pop_front() {
                    self.element(out);
                    task(&one, out);
                    if out.len() >= limit {
                        return Some(Part::Chosen(tasks));
                    }
                }
                None
            }
        }
    }

    /// Writes what comes before its tasks, and puts these and what comes after them next.
    fn begin_framework(&mut self, framework: Arc<Framework>, out: &mut Vec<u8>) {
        write(out, &FrameworkHead::new(&framework, &self.books, &self.held));
        // The object goes on.
        out.pop();
        let id = &framework.id;
        let tasks = |unreachable| Part::Tasks { framework: id.clone(), after: None, unreachable };
        let parts = [
            Part::Text(b",\"tasks\":[".to_vec()),
            tasks(false),
            Part::Text(b"],\"unreachable_tasks\":[".to_vec()),
            tasks(true),
            Part::Text(b"],\"completed_tasks\":[".to_vec()),
            Part::Completed { framework: id.clone(), from: 0 },
            Part::FrameworkEnd(framework.clone()),
        ];
        parts.into_iter().rev().for_each(|part| self.parts.push_front(part));
    }

    fn write_tasks(
        &mut self,
        framework: FrameworkId,
        after: Option<TaskKey>,
        unreachable: bool,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Option<Part> {
        let books = self.books.clone();
        let is_wanted = |one: &&Arc<Task>| (one.phase == TaskPhase::Unreachable) == unreachable;
        for one in books::tasks_after(&books, &framework, after.as_ref()).filter(is_wanted) {
            self.element(out);
            task(one, out);
            if out.len() >= limit {
                return Some(Part::Tasks { framework, after: Some(one.key()), unreachable });
            }
        }
        None
    }

    fn write_completed(
        &mut self,
        framework: FrameworkId,
        from: usize,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Option<Part> {
        let books = self.books.clone();
        let completed = books.completed_tasks.get(&framework)?;
        for (index, one) in completed.iter().enumerate().skip(from) {
            self.element(out);
            task(one, out);
            if out.len() >= limit {
                return Some(Part::Completed { framework, from: index + 1 });
            }
        }
        None
    }
}

impl Source for Pieces {
    fn more(&mut self, out: &mut Vec<u8>, limit: usize) -> bool {
        while out.len() < limit {
            let Some(part) = self.parts.pop_front() else { return false };
            if let Some(rest) = self.write(part, out, limit) {
                self.parts.push_front(rest);
            }
        }
        !self.parts.is_empty()
    }
}

fn from<K: Clone>(after: Option<&K>) -> (Bound<K>, Bound<K>) {
    (after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone())), Bound::Unbounded)
}

/// Whether an agent of the registry has not come back yet.
pub(super) fn is_recovered(agent: &Agent) -> bool {
    matches!(agent.state, AgentState::Recovered { .. })
}

/// Writes all of `/state` that comes before the lists, and leaves the object open.
fn write_head(shell: &Shell, led: &Led, books: &Snapshot, out: &mut Vec<u8>) {
    let master = &led.master;
    let pid = format!("master@{}", authority(&master.ip.to_string(), master.port));
    let mut map = Object::open(out);
    map.value("version", API_VERSION);
    map.value("start_time", &shell.started.as_secs_f64());
    map.value("elected_time", &led.elected.as_secs_f64());
    map.value("id", &*master.id);
    map.value("pid", &pid);
    map.value("hostname", &*master.hostname);
    map.value("capabilities", &["AGENT_UPDATE", "AGENT_DRAINING"]);
    map.optional("cluster", shell.config.cluster.as_ref());
    let count = |state: fn(&AgentState) -> bool| {
        books.agents.values().filter(|agent| state(&agent.state)).count() as f64
    };
    map.value("activated_slaves", &count(|state| matches!(state, AgentState::Active { .. })));
    map.value("deactivated_slaves", &count(|state| matches!(state, AgentState::Disconnected { .. })));
    map.value("unreachable_slaves", &count(|state| matches!(state, AgentState::Unreachable { .. })));
    map.value("leader", &pid);
    let leader = json!({"id": &*master.id, "pid": pid, "port": master.port, "hostname": &*master.hostname});
    map.value("leader_info", &leader);
    map.value("flags", &shell.config.flags().into_iter().collect::<BTreeMap<_, _>>());
}

#[cfg(test)]
mod tests;
