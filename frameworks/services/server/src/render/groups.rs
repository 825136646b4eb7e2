//! Groups: apps and pods by the folders of their paths.

use std::collections::BTreeMap;

use chapada_services_core::{AppId, AppState, Group, Instance, PathId, Timestamp};
use serde_json::{Value, json};

use super::{Assembly, apps};
use crate::seen::Seen;

/// What of a group is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Embed {
    groups: bool,
    apps: bool,
    pods: bool,
    counts: bool,
    deployments: bool,
    /// What is added to each app.
    app: apps::Embed,
}

impl Default for Embed {
    /// The whole tree, definitions only.
    fn default() -> Self {
        Self { groups: true, apps: true, pods: true, ..Self::NOTHING }
    }
}

impl Embed {
    /// The group's own fields.
    pub(crate) const NOTHING: Self = Self {
        groups: false,
        apps: false,
        pods: false,
        counts: false,
        deployments: false,
        app: apps::Embed { tasks: false, last_task_failure: false, task_stats: None, readiness: false },
    };

    /// Adds what a value of `embed` names.
    pub(crate) fn add(&mut self, value: &str) {
        match value {
            "group.groups" => self.groups = true,
            "group.apps" => self.apps = true,
            "group.pods" => self.pods = true,
            "group.apps.counts" => self.counts = true,
            "group.apps.deployments" => self.deployments = true,
            other => {
                self.deployments |= other == "group.apps.tasks";
                self.app.add(other);
            }
        }
    }
}

/// A group and what is in it, while it is put together.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    below: BTreeMap<String, Folder>,
    apps: Vec<Value>,
    pods: Vec<Value>,
    said: Group,
}

impl Folder {
    fn at<'a>(&mut self, segments: impl Iterator<Item = &'a str>, version: Timestamp) -> &mut Self {
        self.said.version = self.said.version.max(version);
        let mut folder = self;
        for segment in segments {
            folder = folder.below.entry(segment.to_owned()).or_default();
            folder.said.version = folder.said.version.max(version);
        }
        folder
    }

    /// Puts an app or pod where its path says, beginning at the group `root`.
    pub(crate) fn put(&mut self, root: &PathId, id: &AppId, version: Timestamp, pod: bool, json: Value) {
        let group = PathId::group_of(id);
        let folder = self.at(segments_below(root, &group), version);
        match pod {
            true => folder.pods.push(json),
            false => folder.apps.push(json),
        }
    }

    /// Notes what a group says by itself.
    pub(crate) fn say(&mut self, root: &PathId, path: &PathId, group: &Group) {
        let folder = self.at(segments_below(root, path), group.version);
        folder.said.dependencies.clone_from(&group.dependencies);
        folder.said.enforce_role = group.enforce_role;
    }

    /// The group of this path with what is embedded; `version` when nothing in it has one.
    pub(crate) fn json(self, path: &PathId, version: Timestamp, embed: Embed) -> Value {
        let Self { below, apps, pods, said } = self;
        let version = if path.is_root() { version } else { said.version };
        let mut json = json!({"id": path, "dependencies": said.dependencies, "version": version});
        // Clients that are older than it refuse the key, so it is there only where it holds.
        if path.is_top_level() && said.enforce_role {
            json["enforceRole"] = json!(true);
        }
        if embed.apps {
            json["apps"] = json!(apps);
        }
        if embed.pods {
            json["pods"] = json!(pods);
        }
        if embed.groups {
            let below = below
                .into_iter()
                .filter_map(|(name, folder)| Some(folder.json(&path.resolve(&name).ok()?, version, embed)));
            json["groups"] = below.collect();
        }
        json
    }
}

/// The segments of `path` that are below `root`.
fn segments_below<'a>(root: &PathId, path: &'a PathId) -> impl Iterator<Item = &'a str> + use<'a> {
    let above = root.as_str().trim_start_matches('/');
    let rest = path.as_str().trim_start_matches('/').strip_prefix(above).unwrap_or_default();
    rest.split('/').filter(|segment| !segment.is_empty())
}

/// An app or pod of a group, for its [`Folder`].
#[derive(Debug)]
pub(crate) enum Member {
    App(apps::Shown, Embed),
    Pod(Value),
    /// Nothing of it is embedded, but its group is there for it.
    Hidden,
}

impl Member {
    pub(crate) fn of(state: &AppState, embed: Embed) -> Self {
        match (state.app.is_pod(), embed.apps) {
            (true, _) if embed.pods => Self::Pod(apps::definition(&state.app)),
            (false, true) => Self::App(apps::Shown::of(state, embed.app), embed),
            _ => Self::Hidden,
        }
    }
}

impl Assembly for Member {
    type Out = (AppId, Timestamp, bool, Value);

    fn wants_instances(&self) -> bool {
        matches!(self, Self::App(shown, _) if shown.wants_instances())
    }

    fn add(&mut self, state: &AppState, instance: &Instance) {
        if let Self::App(shown, _) = self {
            shown.add(state, instance);
        }
    }

    fn done(self, state: &AppState) -> Self::Out {
        let json = match self {
            Self::App(shown, embed) => {
                let mut json = shown.done(state);
                if let Some(object) = json.as_object_mut() {
                    let keep = |name: &String| match name.as_str() {
                        "deployments" => embed.deployments,
                        "tasksStaged" | "tasksRunning" | "tasksHealthy" | "tasksUnhealthy" => embed.counts,
                        _ => true,
                    };
                    object.retain(|name, _| keep(name));
                }
                json
            }
            Self::Pod(json) => json,
            Self::Hidden => Value::Null,
        };
        (state.app.definition.id.clone(), state.app.version, state.app.is_pod(), json)
    }
}

/// A group with these members, as it is.
pub(crate) fn present(
    services: &Seen,
    group: &PathId,
    members: Vec<(AppId, Timestamp, bool, Value)>,
    embed: Embed,
) -> Value {
    let mut folder = Folder::default();
    for (id, version, pod, json) in members {
        folder.put(group, &id, version, pod, json);
    }
    for (path, said) in services.groups().filter(|(path, _)| group.is_or_holds(path)) {
        folder.say(group, path, said);
    }
    folder.json(group, services.version(), embed)
}

/// The root with everything right in it, whatever the paths say: a plan's side as events carry it.
pub(crate) fn root(apps: Vec<Value>, version: Timestamp) -> Value {
    json!({"id": "/", "dependencies": [], "version": version, "apps": apps, "groups": [], "pods": []})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(root: &PathId) -> Folder {
        let mut folder = Folder::default();
        for id in ["/a", "/b/c", "/b/d/e"] {
            let id: AppId = id.parse().unwrap();
            if root.holds(&id) {
                folder.put(root, &id, Timestamp::default(), false, json!(id));
            }
        }
        folder
    }

    #[test]
    fn apps_stand_in_the_groups_of_their_paths() {
        let root = PathId::root();
        let mut all = folder(&root);
        let said = Group { enforce_role: true, ..Group::default() };
        all.say(&root, &"/x".parse().unwrap(), &said);
        let all = all.json(&root, Timestamp::default(), Embed::default());
        assert_eq!(all["apps"], json!(["/a"]));
        assert_eq!(all["groups"][0]["id"], "/b");
        assert_eq!(all["groups"][0]["apps"], json!(["/b/c"]));
        assert_eq!(all["groups"][0]["groups"][0]["apps"], json!(["/b/d/e"]));
        assert_eq!((&all["groups"][1]["id"], &all["groups"][1]["enforceRole"]), (&json!("/x"), &json!(true)));
        assert_eq!((all.get("enforceRole"), all["groups"][0]["groups"][0].get("enforceRole")), (None, None));
        let one: PathId = "/b/d".parse().unwrap();
        assert_eq!(
            folder(&one).json(&one, Timestamp::default(), Embed::default())["apps"],
            json!(["/b/d/e"])
        );
    }

    #[test]
    fn what_is_not_embedded_is_left_out() {
        let root = PathId::root();
        let bare = folder(&root).json(&root, Timestamp::default(), Embed::NOTHING);
        assert_eq!(bare, json!({"id": "/", "dependencies": [], "version": "1970-01-01T00:00:00.000Z"}));
    }
}
