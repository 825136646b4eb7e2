//! `/v2/apps` and everything below.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_listener::{Call, HttpResponse};
use chapada_services_core::{AppId, AppState, Command, PathId, Refusal, Reply, Timestamp, Update, Which};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, error, ok, refusal, unavailable};
use super::pages;
use super::path::{Target, target};
use super::selector::Selector;
use super::walk::{self, Place};
use super::{Api, params, tasks, why};
use crate::render;
use crate::render::Assembly;
use crate::render::apps::{Embed, Shown};
use crate::render::tasks::Tasks;
use crate::secrets;
use crate::seen::Seen;

/// How many definitions are looked up between two turns of others.
const ANNOUNCED_AT_ONCE: usize = 100;

fn no_app(id: &str) -> HttpResponse {
    error(StatusCode::NOT_FOUND, format!("App '{id}' does not exist"))
}

fn known(id: Result<AppId, String>) -> Result<AppId, HttpResponse> {
    id.map_err(|path| no_app(&path))
}

fn wrong_method() -> HttpResponse {
    error(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here")
}

pub(crate) async fn get(api: Arc<Api>, call: Call) -> Answer {
    let embed = params::embed(&call.query(), Embed::default());
    match target(call.param("path")) {
        Target::Apps => list(&api, &call, embed).await,
        Target::App(id) => {
            let embed = params::embed(&call.query(), Embed::SINGLE);
            let app = shown(&api, known(id)?, move |state| Shown::of(state, embed)).await?;
            ok(&json!({"app": app}))
        }
        Target::Below(group) => {
            let embed = params::embed(&call.query(), Embed::SINGLE);
            is_group(&api, &group).await?;
            let shown = move |state: &AppState| is_below(state, &group).then(|| Shown::of(state, embed));
            ok(&json!({"*": walk::all(&api.services, shown).await.map_err(unavailable)?}))
        }
        Target::Tasks(id) => {
            let tasks = shown(&api, known(id)?, |_| Tasks::default()).await?;
            ok(&json!({"tasks": tasks}))
        }
        Target::TasksBelow(group) => {
            let tasks = move |state: &AppState| is_below(state, &group).then(Tasks::default);
            let tasks = walk::all(&api.services, tasks).await.map_err(unavailable)?;
            ok(&json!({"tasks": tasks.concat()}))
        }
        Target::Versions(id) => {
            let newest_first =
                |state: &AppState| state.versions.keys().rev().copied().collect::<Vec<Timestamp>>();
            let versions = of_app(&api, known(id)?, newest_first).await?;
            ok(&json!({"versions": versions}))
        }
        Target::Version(id, version) => one_version(&api, known(id)?, &version).await,
        Target::Why(id) => {
            let id = known(id)?;
            let missing = no_app(id.as_str());
            why::of(&api, id, || missing).await
        }
        Target::Task(..) | Target::Restart(_) | Target::Plan(_) | Target::PlanOfAll => Err(wrong_method()),
    }
}

async fn is_group(api: &Api, group: &str) -> Result<(), HttpResponse> {
    let missing = || error(StatusCode::NOT_FOUND, format!("Group '{group}' does not exist"));
    let path: PathId = group.parse().map_err(|_| missing())?;
    let there = api.services.read(move |services, _| services.has_group(&path)).await.map_err(unavailable)?;
    if there { Ok(()) } else { Err(missing()) }
}

async fn list(api: &Api, call: &Call, embed: Embed) -> Answer {
    let query = call.query();
    let lower = |name: &str| query.get(name).map(str::to_lowercase);
    let (cmd, id) = (lower("cmd"), lower("id"));
    let selector = match query.get("label").filter(|text| !text.trim().is_empty()) {
        None => None,
        Some(text) => Some(Selector::parse(text).map_err(|why| answer::invalid("/label", &why.to_string()))?),
    };
    let wanted = Arc::new(move |state: &AppState| {
        let app = &state.app.definition;
        let has = |text: &str, part: &Option<String>| {
            part.as_ref().is_none_or(|part| text.to_lowercase().contains(part))
        };
        has(app.cmd.as_deref().unwrap_or_default(), &cmd)
            && has(app.id.as_str(), &id)
            && selector.as_ref().is_none_or(|selector| selector.matches(&app.labels))
    });
    let after = match query.get("after").filter(|after| !after.is_empty()) {
        None => None,
        Some(after) => {
            let after = after.parse().map_err(|_| answer::invalid("/after", "must be the id of an app"))?;
            Some(Place::After(after))
        }
    };
    let begin = move |state: &AppState| (is_app(state) && wanted(state)).then(|| Shown::of(state, embed));
    let turn =
        move |seen: &Seen<'_>, from: Option<Place<Shown>>, most: usize| walk::turn(seen, from, most, &begin);
    pages::list(&api.services, "apps", pages::limit(&query)?, after, turn).await
}

async fn one_version(api: &Api, id: AppId, version: &str) -> Answer {
    let missing = format!("App '{id}' does not exist in version {version}");
    let missing = move || error(StatusCode::NOT_FOUND, missing);
    let Ok(version) = version.parse::<Timestamp>() else { return Err(missing()) };
    let found =
        of_app(api, id, move |state| state.versions.get(&version).map(render::apps::definition)).await?;
    ok(&found.ok_or_else(missing)?)
}

fn is_app(state: &AppState) -> bool {
    !state.deleting && !state.app.is_pod()
}

fn is_below(state: &AppState, group: &str) -> bool {
    is_app(state) && state.app.definition.id.is_below(group)
}

async fn shown<A: Assembly>(
    api: &Api,
    id: AppId,
    begin: impl Fn(&AppState) -> A + Clone + Send + 'static,
) -> Result<A::Out, HttpResponse> {
    let missing = no_app(id.as_str());
    let begin = move |state: &AppState| is_app(state).then(|| begin(state));
    walk::one(&api.services, id, begin).await.map_err(unavailable)?.ok_or(missing)
}

async fn of_app<T: Send + 'static>(
    api: &Api,
    id: AppId,
    render: impl FnOnce(&AppState) -> T + Send + 'static,
) -> Result<T, HttpResponse> {
    let missing = no_app(id.as_str());
    let found = api.services.read(move |services, _| services.app(&id).map(render)).await;
    found.map_err(unavailable)?.ok_or(missing)
}

pub(crate) async fn post(api: Arc<Api>, call: Call) -> Answer {
    let force = params::flag(&call.query(), "force", false);
    match target(call.param("path")) {
        Target::Apps => {
            let definition: Map<String, Value> = api.bodies.read(&call).await?;
            let given = Value::Object(definition.clone());
            let reply = run(&api, Command::Create { definition, force }).await?;
            let shown = match &reply {
                Reply::Created { app, .. } => render::apps::definition(app),
                _ => given,
            };
            announce(&api, &call, shown);
            Ok(answer::reply(reply))
        }
        Target::Restart(id) => {
            let reply = run(&api, Command::Restart { app: known(id)?, force }).await?;
            Ok(answer::reply(reply))
        }
        Target::App(id) => {
            known(id)?;
            Err(wrong_method())
        }
        Target::Plan(_) | Target::PlanOfAll => plan(&api, &call, force).await,
        _ => Err(wrong_method()),
    }
}

/// What a PUT of the same body to the same app, or list of apps, would do.
async fn plan(api: &Api, call: &Call, force: bool) -> Answer {
    let mode = Mode { partial: params::flag(&call.query(), "partialUpdate", true), create: true };
    let updates = match target(call.param("path")) {
        Target::Plan(id) => vec![update(id, api.bodies.read(call).await?, mode)?],
        _ => bulk(api.bodies.read(call).await?, mode)?,
    };
    why::plan(api, updates, force).await
}

pub(crate) async fn put(api: Arc<Api>, call: Call) -> Answer {
    let partial = params::flag(&call.query(), "partialUpdate", true);
    change(&api, &call, Mode { partial, create: true }).await
}

pub(crate) async fn patch(api: Arc<Api>, call: Call) -> Answer {
    change(&api, &call, Mode { partial: true, create: false }).await
}

/// How a change is meant.
#[derive(Clone, Copy)]
struct Mode {
    partial: bool,
    create: bool,
}

async fn change(api: &Api, call: &Call, mode: Mode) -> Answer {
    let force = params::flag(&call.query(), "force", false);
    let (updates, bulk) = match target(call.param("path")) {
        Target::Apps => (bulk(api.bodies.read(call).await?, mode)?, true),
        Target::App(id) => (vec![update(id, api.bodies.read(call).await?, mode)?], false),
        _ => return Err(wrong_method()),
    };
    let ids: BTreeSet<AppId> = updates.iter().map(|update| update.app.clone()).collect();
    let reply = run(api, Command::Update { updates, force }).await?;
    if let Reply::Deployed { version, .. } = &reply {
        announce_accepted(api, call, ids, *version).await?;
    }
    let mut response = answer::reply(reply);
    if bulk {
        *response.status_mut() = StatusCode::OK;
    }
    Ok(response)
}

fn update(id: Result<AppId, String>, fields: Map<String, Value>, mode: Mode) -> Result<Update, HttpResponse> {
    let app = match (id, mode.create) {
        (Ok(id), _) => id,
        (Err(path), false) => return Err(no_app(&path)),
        (Err(path), true) => return Err(answer::invalid("/id", &invalid_id(&path))),
    };
    Ok(Update { app, fields, partial: mode.partial, create: mode.create })
}

fn invalid_id(path: &str) -> String {
    path.parse::<AppId>().err().map(|error| error.to_string()).unwrap_or_default()
}

fn bulk(list: Vec<Map<String, Value>>, mode: Mode) -> Result<Vec<Update>, HttpResponse> {
    let mut updates = Vec::new();
    for (index, fields) in list.into_iter().enumerate() {
        let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
        let app = id.parse().map_err(|error: chapada_services_core::InvalidAppId| {
            answer::invalid(&format!("({index})/id"), &error.to_string())
        })?;
        updates.push(Update { app, fields, partial: mode.partial, create: mode.create });
    }
    Ok(updates)
}

pub(crate) async fn delete(api: Arc<Api>, call: Call) -> Answer {
    let query = call.query();
    match target(call.param("path")) {
        Target::App(id) => {
            let force = params::flag(&query, "force", true);
            Ok(answer::reply(run(&api, Command::Delete { app: known(id)?, force }).await?))
        }
        Target::Tasks(id) => {
            let host = query.get("host").filter(|host| *host != "*").map(str::to_owned);
            tasks::kill(&api, &query, Which::Of { app: known(id)?, host }, "tasks").await
        }
        Target::Task(id, task) => {
            tasks::kill(&api, &query, Which::One { app: known(id)?, task }, "task").await
        }
        _ => Err(wrong_method()),
    }
}

/// Carries out a command.
pub(crate) async fn run(api: &Api, command: Command) -> Result<Reply, HttpResponse> {
    check_secrets(api, &command).await?;
    api.services.command(command).await.map_err(unavailable)?.map_err(|why| refusal(&why))
}

/// Refuses a command that names a secret which its caller may not use or which is not there, in this order: whether there is one
/// is not for everybody to know.
pub(crate) async fn check_secrets(api: &Api, command: &Command) -> Result<(), HttpResponse> {
    let named = secrets::named(command);
    if named.is_empty() {
        return Ok(());
    }
    let asked = command.clone();
    let denied = api.services.read(move |services, _| services.denied(&asked)).await.map_err(unavailable)?;
    if let Some(why) = denied {
        return Err(refusal(&Refusal::Denied(why)));
    }
    match api.secrets.missing(named).await {
        missing if missing.is_empty() => Ok(()),
        missing => Err(refusal(&Refusal::Invalid(missing))),
    }
}

/// Tells of definitions as they became with a version, some at a time: there may be very many.
async fn announce_accepted(
    api: &Api,
    call: &Call,
    ids: BTreeSet<AppId>,
    version: Timestamp,
) -> Result<(), HttpResponse> {
    let ids: Vec<AppId> = ids.into_iter().collect();
    for some in ids.chunks(ANNOUNCED_AT_ONCE) {
        let some = some.to_vec();
        let shown = api.services.read(move |services, _| {
            // What did not change kept its version.
            let accepted = |id: &AppId| {
                let state = services.app(id)?;
                Some(render::apps::definition(state.versions.get(&version).unwrap_or(&state.app)))
            };
            some.iter().filter_map(accepted).collect::<Vec<Value>>()
        });
        shown.await.map_err(unavailable)?.into_iter().for_each(|shown| announce(api, call, shown));
    }
    Ok(())
}

fn announce(api: &Api, call: &Call, definition: Value) {
    let client = call.peer.remote.ip().to_string();
    let id = definition.get("id").and_then(Value::as_str).unwrap_or_else(|| call.param("path"));
    let path = format!("/{}", id.trim_matches('/'));
    let body = json!({"clientIp": client, "uri": call.path, "appDefinition": definition});
    api.hub.announce_about(&path, "api_post_event", body);
}
