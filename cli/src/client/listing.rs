//! Paged lists out of the master's query API.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::Cluster;
use super::api::{Api, ApiError, escaped};
use super::output::{self, Column, age, number, share, text};

/// The most that the master gives in one answer.
const PAGE: u64 = 500;

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// Only what has this in its id or name.
    #[arg(long)]
    search: Option<String>,
    /// At most so many; the newest first where the list has an order in time.
    #[arg(long, default_value_t = 1000)]
    limit: u64,
}

/// What to narrow a list of tasks by.
pub(crate) struct TaskFilters {
    pub(crate) framework: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) state: Option<String>,
}

const AGENTS: &[Column] = &[
    ("ID", |agent| text(&agent["id"])),
    ("HOST", |agent| text(&agent["hostname"])),
    ("ADDRESS", |agent| text(&agent["address"])),
    ("STATE", |agent| text(&agent["state"])),
    ("CPUS", |agent| share(&agent["resources"], "cpus")),
    ("MEM", |agent| share(&agent["resources"], "mem")),
    ("TASKS", |agent| text(&agent["tasks"])),
    ("AGE", |agent| age(&agent["registered"])),
];

const FRAMEWORKS: &[Column] = &[
    ("ID", |framework| text(&framework["id"])),
    ("NAME", |framework| text(&framework["name"])),
    ("STATE", |framework| text(&framework["state"])),
    ("ROLES", |framework| text(&framework["roles"])),
    ("CPUS", |framework| number(&framework["resources"]["allocated"]["cpus"])),
    ("MEM", |framework| number(&framework["resources"]["allocated"]["mem"])),
    ("TASKS", |framework| text(&framework["tasks"])),
    ("AGE", |framework| age(&framework["registered"])),
];

const TASKS: &[Column] = &[
    ("ID", |task| text(&task["id"])),
    ("FRAMEWORK", |task| text(&task["framework_name"])),
    ("HOST", |task| text(&task["hostname"])),
    ("STATE", |task| text(&task["state"])),
    ("CPUS", |task| number(&task["resources"]["cpus"])),
    ("MEM", |task| number(&task["resources"]["mem"])),
    ("PORTS", |task| text(&task["ports"])),
    ("UPDATED", |task| age(&task["updated"])),
];

pub(crate) async fn agents(cluster: &Cluster, page: &Page) -> Result<()> {
    let items = fetch(&Api::find(cluster).await?, "agents", page, &[]).await?;
    output::list(cluster.output, &items, AGENTS)
}

pub(crate) async fn frameworks(cluster: &Cluster, page: &Page) -> Result<()> {
    let items = fetch(&Api::find(cluster).await?, "frameworks", page, &[]).await?;
    output::list(cluster.output, &items, FRAMEWORKS)
}

pub(crate) async fn roles(cluster: &Cluster, page: &Page) -> Result<()> {
    let items = fetch(&Api::find(cluster).await?, "roles", page, &[]).await?;
    output::list(cluster.output, &items, super::roles::ROLES)
}

pub(crate) async fn tasks(cluster: &Cluster, page: &Page, filters: &TaskFilters) -> Result<()> {
    let filters = [
        ("framework", filters.framework.as_deref()),
        ("agent", filters.agent.as_deref()),
        ("state", filters.state.as_deref()),
    ];
    let items = fetch(&Api::find(cluster).await?, "tasks", page, &filters).await?;
    output::list(cluster.output, &items, TASKS)
}

/// Tasks whose id or name has this text, for commands that name one task.
pub(crate) async fn tasks_like(api: &Api, search: &str) -> Result<Vec<Value>, ApiError> {
    let page = Page { search: Some(search.to_owned()), limit: PAGE };
    fetch(api, "tasks", &page, &[]).await
}

/// Agents whose id or host name has this text, for commands that name one.
pub(crate) async fn agents_like(api: &Api, search: &str) -> Result<Vec<Value>, ApiError> {
    let page = Page { search: Some(search.to_owned()), limit: PAGE };
    fetch(api, "agents", &page, &[]).await
}

async fn fetch(
    api: &Api,
    list: &str,
    page: &Page,
    filters: &[(&str, Option<&str>)],
) -> Result<Vec<Value>, ApiError> {
    let mut filter = String::new();
    for (name, value) in filters.iter().copied().chain([("search", page.search.as_deref())]) {
        if let Some(value) = value {
            filter.push_str(&format!("&{name}={}", escaped(value)));
        }
    }
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let left = page.limit.saturating_sub(items.len() as u64).min(PAGE);
        if left == 0 {
            return Ok(items);
        }
        let mut answer = api.get(&format!("/query/v1/{list}?limit={left}{filter}{after}")).await?;
        if let Value::Array(page) = answer["items"].take() {
            items.extend(page);
        }
        match answer["next"].as_str() {
            Some(next) => after = format!("&after={}", escaped(next)),
            None => return Ok(items),
        }
    }
}
