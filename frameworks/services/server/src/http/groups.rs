//! `/v2/groups` and everything below.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, Query};
use chapada_services_core::{AppState, Command, GroupChange, PathId, Timestamp};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, error, ok, refusal, unavailable};
use super::{Api, apps, params, walk};
use crate::render;
use crate::render::apps::Shown;
use crate::render::groups::{Embed, Folder, Member};
use crate::seen::Seen;

/// What a path below `/v2/groups` means.
#[derive(Debug, PartialEq)]
enum Target {
    /// The group itself.
    Group(PathId),
    /// The apps below it.
    Apps(PathId),
    /// The versions of the tree it was in.
    Versions(PathId),
    /// It as it was.
    Version(PathId, String),
}

#[cfg(test)]
impl Target {
    /// Where the OpenAPI document has it.
    fn documented(&self) -> &'static str {
        match self {
            Self::Group(group) if *group == PathId::root() => "/v2/groups",
            Self::Group(_) => "/v2/groups/{group}",
            Self::Apps(_) => "/v2/groups/{group}/apps",
            Self::Versions(_) => "/v2/groups/{group}/versions",
            Self::Version(..) => "/v2/groups/{group}/versions/{version}",
        }
    }
}

/// Where the document has what a path below `/v2/groups` means, and all that there is.
#[cfg(test)]
pub(super) fn documented(path: &str) -> (&'static str, Vec<&'static str>) {
    let found = |path: &str| target(path).map_or("", |target| target.documented());
    let all = ["", "g", "g/apps", "g/versions", "g/versions/v"];
    (found(path), all.into_iter().map(found).collect())
}

/// Reads a decoded path; doubled and trailing slashes do not matter.
fn target(path: &str) -> Result<Target, HttpResponse> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let group = |segments: &[&str]| {
        let path = format!("/{}", segments.join("/"));
        let plain = path.parse().ok().filter(|_| !segments.contains(&".."));
        plain.ok_or_else(|| no_group(&path))
    };
    match segments.as_slice() {
        [above @ .., "apps"] => group(above).map(Target::Apps),
        [above @ .., "versions"] => group(above).map(Target::Versions),
        [above @ .., "versions", version] => Ok(Target::Version(group(above)?, (*version).to_owned())),
        segments => group(segments).map(Target::Group),
    }
}

fn no_group(path: &str) -> HttpResponse {
    error(StatusCode::NOT_FOUND, format!("Group '{path}' does not exist"))
}

fn whole(call: &Call) -> Result<PathId, HttpResponse> {
    match target(call.param("path"))? {
        Target::Group(group) => Ok(group),
        Target::Apps(_) | Target::Versions(_) | Target::Version(..) => {
            Err(error(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here"))
        }
    }
}

pub(crate) async fn get(api: Arc<Api>, call: Call) -> Answer {
    match target(call.param("path"))? {
        Target::Group(group) => {
            let embed = embed(&call.query());
            let missing = no_group(group.as_str());
            let below = group.clone();
            let member = move |state: &AppState| is_below(state, &below).then(|| Member::of(state, embed));
            let members = walk::all(&api.services, member).await.map_err(unavailable)?;
            let read = move |services: &Seen, _| {
                services.has_group(&group).then(|| render::groups::present(services, &group, members, embed))
            };
            ok(&api.services.read(read).await.map_err(unavailable)?.ok_or(missing)?)
        }
        Target::Apps(group) => {
            let embed = params::embed(&call.query(), Default::default());
            let missing = no_group(group.as_str());
            let there = group.clone();
            let there = api.services.read(move |services: &Seen, _| services.has_group(&there)).await;
            if !there.map_err(unavailable)? {
                return Err(missing);
            }
            let shown = move |state: &AppState| {
                let is_app = is_below(state, &group) && !state.app.is_pod();
                is_app.then(|| Shown::of(state, embed))
            };
            ok(&json!({"apps": walk::all(&api.services, shown).await.map_err(unavailable)?}))
        }
        Target::Versions(group) => {
            let missing = no_group(group.as_str());
            let read =
                move |services: &Seen, _| services.has_group(&group).then(|| services.group_versions(&group));
            ok(&json!(api.services.read(read).await.map_err(unavailable)?.ok_or(missing)?))
        }
        Target::Version(group, version) => one_version(&api, group, &version).await,
    }
}

fn is_below(state: &AppState, group: &PathId) -> bool {
    !state.deleting && group.holds(&state.app.definition.id)
}

async fn one_version(api: &Api, group: PathId, version: &str) -> Answer {
    let message = format!("Group '{group}' does not exist in version {version}");
    let missing = move || error(StatusCode::NOT_FOUND, message);
    let Ok(version) = version.parse::<Timestamp>() else { return Err(missing()) };
    let read = move |services: &Seen, _| {
        let snapshot = services.group_at(&group, version)?;
        let mut folder = Folder::default();
        for (id, app) in &snapshot.apps {
            folder.put(&group, id, app.version, app.is_pod(), render::apps::definition(app));
        }
        for (path, said) in &snapshot.groups {
            folder.say(&group, path, said);
        }
        Some(folder.json(&group, version, Embed::default()))
    };
    ok(&api.services.read(read).await.map_err(unavailable)?.ok_or_else(missing)?)
}

/// What is to be embedded; all of the tree when nothing is said.
fn embed(query: &Query) -> Embed {
    let mut values = query.all("embed").peekable();
    if values.peek().is_none() {
        return Embed::default();
    }
    let mut embed = Embed::NOTHING;
    for value in values {
        embed.add(value);
    }
    embed
}

pub(crate) async fn post(api: Arc<Api>, call: Call) -> Answer {
    let group = whole(&call)?;
    let fields: Map<String, Value> = api.bodies.read(&call).await?;
    change(&api, &call, group, GroupChange::Create(fields)).await
}

pub(crate) async fn put(api: Arc<Api>, call: Call) -> Answer {
    if let Target::Version(group, version) = target(call.param("path"))? {
        // The way back of older clients.
        let fields = Map::from_iter([("version".to_owned(), json!(version))]);
        return change(&api, &call, group, GroupChange::Put(fields)).await;
    }
    let group = whole(&call)?;
    let fields: Map<String, Value> = api.bodies.read(&call).await?;
    if !params::flag(&call.query(), "dryRun", false) {
        return change(&api, &call, group, GroupChange::Put(fields)).await;
    }
    let asked =
        Command::Group { group: group.clone(), change: GroupChange::Put(fields.clone()), force: false };
    apps::check_secrets(&api, &asked).await?;
    let plan = api.services.read(move |services, now| services.plan_group(now, &group, fields)).await;
    let plan = plan.map_err(unavailable)?.map_err(|why| refusal(&why))?;
    ok(&json!({"steps": render::deployments::steps(&plan.deployment)}))
}

pub(crate) async fn patch(api: Arc<Api>, call: Call) -> Answer {
    let group = whole(&call)?;
    let fields: Map<String, Value> = api.bodies.read(&call).await?;
    let others: Vec<&String> = fields.keys().filter(|name| *name != "enforceRole").collect();
    if let Some(other) = others.first() {
        return Err(answer::invalid(&format!("/{other}"), "only enforceRole can be changed by PATCH"));
    }
    match fields.get("enforceRole") {
        Some(Value::Bool(enforce)) => change(&api, &call, group, GroupChange::EnforceRole(*enforce)).await,
        Some(_) => Err(answer::invalid("/enforceRole", "error.expected.jsboolean")),
        None => Err(answer::invalid("/enforceRole", "error.path.missing")),
    }
}

pub(crate) async fn delete(api: Arc<Api>, call: Call) -> Answer {
    let group = whole(&call)?;
    change(&api, &call, group, GroupChange::Delete).await
}

async fn change(api: &Api, call: &Call, group: PathId, change: GroupChange) -> Answer {
    let force = params::flag(&call.query(), "force", false);
    Ok(answer::reply(apps::run(api, Command::Group { group, change, force }).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_tell_what_is_meant() {
        let group = || "/prod/db".parse::<PathId>().unwrap();
        for (path, expected) in [
            ("", Target::Group(PathId::root())),
            ("prod//db/", Target::Group(group())),
            ("apps", Target::Apps(PathId::root())),
            ("prod/db/apps", Target::Apps(group())),
            ("prod/db/versions", Target::Versions(group())),
            ("/prod/db/versions/v", Target::Version(group(), "v".to_owned())),
        ] {
            assert_eq!(target(path).ok(), Some(expected), "{path}");
        }
        for path in ["Prod", "a/../b"] {
            assert_eq!(target(path).map_err(|answer| answer.status().as_u16()), Err(404), "{path}");
        }
    }
}
