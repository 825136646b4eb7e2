//! Which path answers what.

use std::sync::Arc;

use chapada_listener::{Action, Call, HttpResponse, Query, Routes, json, text};
use chapada_master_core::Snapshot;
use http::StatusCode;
use serde_json::Value;

use super::ask::{Kind, List};
use super::explain;
use super::files::{self, FileAccess};
use super::overview::overview;
use super::page::{item, page};
use super::watch::{self, Watched};
use crate::pieces;
use crate::plain::path_and_query;
use crate::shell::{Led, Shell};

const TASK_FILES: [(&str, FileAccess); 4] = [
    ("/query/v1/tasks/{framework}/{task}/files/browse", FileAccess::Browse),
    ("/query/v1/tasks/{framework}/{task}/files/read", FileAccess::Read),
    ("/query/v1/tasks/{framework}/{task}/files/download", FileAccess::Download),
    ("/query/v1/tasks/{framework}/{task}/files/follow", FileAccess::Follow),
];

/// Adds the routes of this API.
pub(crate) fn routes(mut routes: Routes, shell: &Arc<Shell>) -> Routes {
    let read = |answer: fn(&Shell, &Led, &Snapshot, &Call) -> HttpResponse| {
        let shell = shell.clone();
        move |call: Call| {
            let shell = shell.clone();
            async move {
                let (led, books) = match shell.books().await {
                    Ok(found) => found,
                    Err(elsewhere) => return elsewhere.response(&path_and_query(&call)),
                };
                // A list may be of many tasks, all of which are looked at: not where others wait.
                let written = pieces::write(move || answer(&shell, &led, &books, &call)).await;
                written.unwrap_or_else(|_| {
                    text(StatusCode::INTERNAL_SERVER_ERROR, pieces::NotWritten.to_string())
                })
            }
        }
    };
    routes = routes
        .get(
            "/query/v1/overview",
            Action::ViewCluster,
            read(|shell, led, books, _| ok(&overview(shell, led, books))),
        )
        .get("/query/v1/{list}", Action::ViewCluster, read(|_, _, books, call| listed(books, call)))
        .get(
            "/query/v1/agents/{id}",
            Action::ViewCluster,
            read(|_, _, books, call| single(books, call, Kind::Agents)),
        )
        .get(
            "/query/v1/drains/{id}",
            Action::ViewCluster,
            read(|_, _, books, call| single(books, call, Kind::Drains)),
        )
        .get(
            "/query/v1/frameworks/{id}",
            Action::ViewCluster,
            read(|_, _, books, call| single(books, call, Kind::Frameworks)),
        )
        .get(
            "/query/v1/tasks/{framework}/{id}",
            Action::ViewCluster,
            read(|_, _, books, call| single(books, call, Kind::Tasks)),
        );
    let watching = shell.clone();
    routes = routes.get("/query/v1/watch", Action::ViewEvents, move |call| {
        let shell = watching.clone();
        async move { watched(&shell, &call) }
    });
    let explaining = shell.clone();
    routes = routes.get("/allocator/explain", Action::ViewCluster, move |call| {
        explain::handle(explaining.clone(), call)
    });
    for (pattern, access) in TASK_FILES {
        let shell = shell.clone();
        routes = routes
            .get(pattern, Action::AccessSandbox, move |call| files::handle(shell.clone(), access, call));
    }
    routes
}

fn ok(value: &Value) -> HttpResponse {
    json(StatusCode::OK, value)
}

fn bad(message: String) -> HttpResponse {
    text(StatusCode::BAD_REQUEST, message)
}

fn listed(books: &Snapshot, call: &Call) -> HttpResponse {
    let Some(kind) = Kind::from_name(call.param("list")) else {
        return text(StatusCode::NOT_FOUND, format!("there is no list '{}'", call.param("list")));
    };
    match List::from_query(&call.query()) {
        Ok(list) => ok(&page(books, kind, &list).json()),
        Err(message) => bad(message),
    }
}

fn single(books: &Snapshot, call: &Call, kind: Kind) -> HttpResponse {
    match item(books, kind, call.param("framework"), call.param("id")) {
        Some(found) => ok(&found),
        None => text(StatusCode::NOT_FOUND, format!("there is no '{}'", call.param("id"))),
    }
}

fn watched(shell: &Arc<Shell>, call: &Call) -> HttpResponse {
    match (shell.reading(), what(&call.query())) {
        (Ok(led), Ok(what)) => watch::open(shell.clone(), led, what),
        (Ok(_), Err(message)) => bad(message),
        (Err(elsewhere), _) => elsewhere.response(&path_and_query(call)),
    }
}

/// What a watcher is shown first, from these books; the overview needs more than books and is `null` here.
///
/// # Errors
/// A sentence that names the parameter.
pub(crate) fn answer_once(books: &Snapshot, query: &Query) -> Result<Value, String> {
    Ok(match what(query)? {
        Watched::Overview => Value::Null,
        Watched::List(kind, list) => page(books, kind, &list).json(),
        Watched::One { kind, framework, id } => item(books, kind, &framework, &id).unwrap_or_default(),
    })
}

fn what(query: &Query) -> Result<Watched, String> {
    let of = query.get("of").unwrap_or_default();
    if of == "overview" {
        return Ok(Watched::Overview);
    }
    if let Some(kind) = Kind::from_name(of) {
        return Ok(Watched::List(kind, List::from_query(query)?));
    }
    let kind = match of {
        "task" => Kind::Tasks,
        "agent" => Kind::Agents,
        "drain" => Kind::Drains,
        "framework" => Kind::Frameworks,
        "" => return Err("'of' must say what to watch".to_owned()),
        other => return Err(format!("there is nothing to watch of '{other}'")),
    };
    let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
    Ok(Watched::One { kind, framework: text("framework"), id: text("id") })
}
