//! The one task that a command names.

use anyhow::{Result, bail};
use serde_json::Value;

use super::api::{Api, ApiError, escaped};
use super::listing;

/// A task, as far as commands about one need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) framework: String,
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) state: String,
    /// Empty until it has one.
    pub(crate) container: String,
}

/// How many of several are named.
const NAMED: usize = 5;

impl Task {
    fn read(item: &Value) -> Self {
        let field = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        Self {
            framework: field("framework_id"),
            id: field("id"),
            agent: field("agent_id"),
            state: field("state"),
            container: field("container_id"),
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.state == "TASK_RUNNING"
    }
}

/// Finds a task by its id, by a part of its id or name that no other task has, or no other that runs, or by `framework/task`.
pub(crate) async fn find(api: &Api, named: &str) -> Result<Task> {
    if let Some((framework, task)) = named.split_once('/') {
        let item = api.get(&format!("/query/v1/tasks/{}/{}", escaped(framework), escaped(task))).await?;
        return Ok(Task::read(&item));
    }
    let found: Vec<Task> = listing::tasks_like(api, named).await?.iter().map(Task::read).collect();
    if found.is_empty() {
        return Err(
            ApiError::NotFound(format!("there is no task {named}; `chapada tasks` lists them")).into()
        );
    }
    match the_one(&found, named) {
        Some(task) => Ok(task.clone()),
        None => {
            let names = found.iter().take(NAMED).map(|task| format!("{}/{}", task.framework, task.id));
            let names: Vec<_> = names.collect();
            bail!("{} tasks have {named:?} in their id or name, such as {}", found.len(), names.join(", "))
        }
    }
}

fn the_one<'a>(found: &'a [Task], named: &str) -> Option<&'a Task> {
    let only = |mut tasks: Vec<&'a Task>| tasks.pop().filter(|_| tasks.is_empty());
    only(found.iter().filter(|task| task.id == named).collect())
        .or_else(|| only(found.iter().collect()))
        .or_else(|| only(found.iter().filter(|task| task.runs()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, state: &str) -> Task {
        let item = serde_json::json!({ "framework_id": "f", "id": id, "state": state });
        Task::read(&item)
    }

    #[test]
    fn an_exact_id_then_the_only_one_then_the_only_one_that_runs() {
        let all = [task("web", "TASK_FAILED"), task("web.1", "TASK_RUNNING"), task("web.2", "TASK_FINISHED")];
        let named = |found: &[Task], name: &str| the_one(found, name).map(|task| task.id.clone());
        assert_eq!(named(&all, "web").as_deref(), Some("web"));
        assert_eq!(named(&all, "we").as_deref(), Some("web.1"));
        assert_eq!(named(&all[2..], "eb").as_deref(), Some("web.2"));
        assert_eq!(named(&[task("a1", "TASK_RUNNING"), task("a2", "TASK_RUNNING")], "a"), None);
        assert_eq!(named(&[task("a1", "TASK_LOST"), task("a2", "TASK_KILLED")], "a"), None);
    }
}
