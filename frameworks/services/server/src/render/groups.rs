//! Groups: apps by the folders of their paths.

use std::collections::BTreeMap;

use chapada_services_core::{AppId, Timestamp};
use serde_json::{Value, json};

/// A group with everything in it, and nothing below.
pub(crate) fn root(apps: Vec<Value>, version: Timestamp) -> Value {
    json!({"id": "/", "dependencies": [], "version": version, "apps": apps, "groups": [], "pods": []})
}

/// The group `path` (`/` for all) with the groups below it. `None` when no app is below it and it is not the root.
pub(crate) fn tree(path: &str, apps: &BTreeMap<AppId, Value>, version: Timestamp) -> Option<Value> {
    let path = path.trim_matches('/');
    let prefix = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
    let mut own = Vec::new();
    let mut groups: BTreeMap<&str, ()> = BTreeMap::new();
    for (id, app) in apps {
        match id.as_str().strip_prefix(&prefix).map(|rest| rest.split_once('/')) {
            None => {}
            Some(None) => own.push(app.clone()),
            Some(Some((group, _))) => {
                groups.insert(group, ());
            }
        }
    }
    if own.is_empty() && groups.is_empty() && !path.is_empty() {
        return None;
    }
    let below: Vec<Value> =
        groups.keys().filter_map(|group| tree(&format!("{prefix}{group}"), apps, version)).collect();
    let id = format!("/{path}");
    Some(json!({"id": id, "dependencies": [], "version": version, "apps": own, "groups": below, "pods": []}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_stand_in_the_groups_of_their_paths() {
        let apps: BTreeMap<AppId, Value> =
            ["/a", "/b/c", "/b/d/e"].into_iter().map(|id| (id.parse().unwrap(), json!(id))).collect();
        let root = tree("/", &apps, Timestamp::default()).unwrap();
        assert_eq!(root["apps"], json!(["/a"]));
        assert_eq!(root["groups"][0]["id"], "/b");
        assert_eq!(root["groups"][0]["apps"], json!(["/b/c"]));
        assert_eq!(root["groups"][0]["groups"][0]["apps"], json!(["/b/d/e"]));
        assert_eq!(tree("/b/d", &apps, Timestamp::default()).unwrap()["id"], "/b/d");
        assert_eq!(tree("/x", &apps, Timestamp::default()), None);
    }
}
