//! Which path shows what.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_listener::{Action, Call, HttpResponse, bytes, empty, json, text};
use chapada_master_core::{Snapshot, Task};
use chapada_wire::Json;
use http::StatusCode;
use serde::Serialize;

use super::lists::{agents_in_full, roles};
use super::registry::registry;
use super::state;
use super::summary::summary;
use crate::books;
use crate::operator::{self, maintenance};
use crate::shell::{API_VERSION, Elsewhere, Shell, authority, redirect};

const JSON: &str = "application/json";

/// A page that a plain GET shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Health,
    Version,
    State,
    StateSummary,
    Agents,
    Frameworks,
    Tasks,
    Roles,
    Flags,
    MetricsSnapshot,
    Metrics,
    Redirect,
    Registry,
    MaintenanceSchedule,
    MaintenanceStatus,
    FilesBrowse,
    FilesDebug,
    SystemStats,
}

macro_rules! endpoints {
    ($($name:literal $endpoint:ident $action:ident,)*) => {
        /// Each page under its name, below `/master` too, and with `.json` where old tools ask so.
        pub(crate) const ENDPOINTS: &[(&str, Endpoint, Action)] = &[$(
            (concat!("/", $name), Endpoint::$endpoint, Action::$action),
            (concat!("/", $name, ".json"), Endpoint::$endpoint, Action::$action),
            (concat!("/master/", $name), Endpoint::$endpoint, Action::$action),
            (concat!("/master/", $name, ".json"), Endpoint::$endpoint, Action::$action),
        )*];
    };
}

endpoints! {
    "health" Health ViewHealth,
    "version" Version ViewHealth,
    "redirect" Redirect ViewHealth,
    "state" State ViewCluster,
    "state-summary" StateSummary ViewCluster,
    "slaves" Agents ViewCluster,
    "frameworks" Frameworks ViewCluster,
    "tasks" Tasks ViewCluster,
    "roles" Roles ViewCluster,
    "flags" Flags ViewFlags,
    "metrics/snapshot" MetricsSnapshot ViewMetrics,
    "metrics" Metrics ViewMetrics,
    "registrar(1)/registry" Registry ViewCluster,
    "maintenance/schedule" MaintenanceSchedule ViewCluster,
    "maintenance/status" MaintenanceStatus ViewCluster,
    "files/browse" FilesBrowse ViewCluster,
    "files/debug" FilesDebug ViewCluster,
    "system/stats" SystemStats ViewMetrics,
}

/// Answers a GET.
pub(crate) async fn answer(shell: Arc<Shell>, endpoint: Endpoint, call: Call) -> HttpResponse {
    match endpoint {
        Endpoint::Health => return empty(StatusCode::OK),
        Endpoint::Version => return json(StatusCode::OK, &Version::ours()),
        Endpoint::Flags => return json(StatusCode::OK, &Flags::of(&shell)),
        Endpoint::Redirect => return to_leader(&shell, &call),
        Endpoint::MetricsSnapshot => return json(StatusCode::OK, &crate::metrics::snapshot(&shell).await),
        Endpoint::Metrics => return crate::metrics::prometheus(&shell).await,
        Endpoint::FilesBrowse => return browse(&call),
        Endpoint::FilesDebug => return json(StatusCode::OK, &Nothing {}),
        Endpoint::SystemStats => return json(StatusCode::OK, &system_stats()),
        _ => {}
    }
    let (led, books) = match shell.books().await {
        Ok(found) => found,
        Err(elsewhere) => return elsewhere.response(&path_and_query(&call)),
    };
    match endpoint {
        Endpoint::State => state::state(shell.clone(), led, books).response().await,
        Endpoint::StateSummary => {
            let hostname = led.master.hostname.to_string();
            summary(hostname, shell.config.cluster.clone(), books).response().await
        }
        Endpoint::Agents => agents_in_full(books, text_of(&call, "slave_id")).response().await,
        Endpoint::Frameworks => state::frameworks(books, text_of(&call, "framework_id")).response().await,
        Endpoint::Registry => registry(led, books).response().await,
        Endpoint::MaintenanceSchedule => bytes(StatusCode::OK, JSON, maintenance::schedule(&books).to_json()),
        Endpoint::MaintenanceStatus => bytes(StatusCode::OK, JSON, maintenance::status(&books).to_json()),
        Endpoint::Tasks => match Selection::read(&call) {
            Ok(selection) => state::tasks(books, move |books| selection.tasks(books)).response().await,
            Err(message) => text(StatusCode::BAD_REQUEST, message),
        },
        _ => roles(books).response().await,
    }
}

/// An object without fields.
#[derive(Serialize)]
struct Nothing {}

/// Source: Mesos' text and codes.
fn browse(call: &Call) -> HttpResponse {
    match call.query().get("path") {
        None => text(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query.\n"),
        Some(path) if operator::is_folder(path) => json(StatusCode::OK, &[(); 0]),
        Some(_) => empty(StatusCode::NOT_FOUND),
    }
}

/// The machine by the names of this page, which are not quite those of the metrics.
fn system_stats() -> BTreeMap<String, f64> {
    let named = |(name, value): (&str, f64)| match name.strip_prefix("load_") {
        Some(span) => (format!("avg_load_{span}"), value),
        None => (name.to_owned(), value),
    };
    chapada_listener::machine_stats().into_iter().map(named).collect()
}

/// The path and query that were asked for.
pub(crate) fn path_and_query(call: &Call) -> String {
    match call.raw_query.as_str() {
        "" => call.path.clone(),
        query => format!("{}?{query}", call.path),
    }
}

/// `/redirect` leads to the leader; `/redirect/state` to its state.
fn to_leader(shell: &Shell, call: &Call) -> HttpResponse {
    let rest = call.path.split_once("/redirect").map_or("", |(_, rest)| rest).trim_end_matches('/');
    let rest = rest.strip_prefix(".json").unwrap_or(rest);
    match (shell.reading(), shell.leader.borrow().as_ref()) {
        (Ok(led), _) => redirect(&format!("//{}{rest}", authority(&led.master.hostname, led.master.port))),
        (Err(_), Some(leader)) => redirect(&format!("//{}{rest}", leader.authority())),
        (Err(nobody @ (Elsewhere::Nobody(_) | Elsewhere::Unable(_))), None) => {
            text(StatusCode::SERVICE_UNAVAILABLE, nobody.sentence())
        }
        (Err(_), None) => text(StatusCode::SERVICE_UNAVAILABLE, "No leader elected"),
    }
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    build_date: &'static str,
    build_time: f64,
    build_user: &'static str,
    chapada_version: &'static str,
}

impl Version {
    fn ours() -> Self {
        Self {
            version: API_VERSION,
            build_date: "",
            build_time: 0.0,
            build_user: "",
            chapada_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

#[derive(Serialize)]
struct Flags {
    flags: std::collections::BTreeMap<String, String>,
}

impl Flags {
    fn of(shell: &Shell) -> Self {
        Self { flags: shell.config.flags().into_iter().collect() }
    }
}

fn text_of(call: &Call, name: &str) -> Option<String> {
    call.query().get(name).map(str::to_owned)
}

/// How many tasks `/tasks` shows when nobody says. Source: Mesos.
const DEFAULT_LIMIT: i64 = 100;

/// The tasks that `limit`, `offset`, `order`, `framework_id` and `task_id` select.
struct Selection {
    /// All when absent.
    limit: Option<usize>,
    offset: usize,
    oldest_first: bool,
    framework: Option<String>,
    task: Option<String>,
}

impl Selection {
    fn read(call: &Call) -> Result<Self, String> {
        let query = call.query();
        let number = |name: &str, default: i64| match query.get(name) {
            Some(text) => text.parse().map_err(|_| format!("'{name}' must be a whole number, not '{text}'")),
            None => Ok(default),
        };
        let (limit, offset) = (number("limit", DEFAULT_LIMIT)?, number("offset", 0)?);
        Ok(Self {
            // A negative limit means all.
            limit: usize::try_from(limit).ok(),
            offset: usize::try_from(offset).unwrap_or(0),
            oldest_first: query.get("order") == Some("asc"),
            framework: text_of(call, "framework_id"),
            task: text_of(call, "task_id"),
        })
    }

    fn tasks(&self, books: &Snapshot) -> Vec<Arc<Task>> {
        let is = |wanted: &Option<String>, id: &str| wanted.as_deref().is_none_or(|wanted| wanted == id);
        let mut tasks: Vec<_> = books::all_tasks(books)
            .filter(|one| is(&self.framework, one.framework.as_str()))
            .filter(|one| is(&self.task, one.description.id.as_str()))
            .cloned()
            .collect();
        tasks.sort_by_key(|task| task.launched);
        if !self.oldest_first {
            tasks.reverse();
        }
        tasks.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX)).collect()
    }
}
