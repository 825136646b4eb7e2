//! The versions of the whole tree: what each changed, as references to the versions of its apps, so that a subtree can
//! return to any of them. No record of it is large, however much a change touched.

use std::collections::{BTreeMap, BTreeSet};

use super::Services;
use crate::app::App;
use crate::deployment::Change;
use crate::group::{Group, PathId};
use crate::id::AppId;
use crate::records::{Key, TreeChanges};
use crate::timestamp::Timestamp;

/// About how many bytes of changes stand in one record.
const BYTES_PER_RECORD: usize = 64 * 1024;

/// The versions of the tree and what they need.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What each version changed, in the parts it is stored in.
    pub(super) versions: BTreeMap<Timestamp, Vec<TreeChanges>>,
    /// Definitions of apps that are gone, as long as a version names them.
    pub(super) retired: BTreeMap<AppId, BTreeMap<Timestamp, App>>,
}

/// A part of the tree as it was.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The apps and pods.
    pub apps: BTreeMap<AppId, App>,
    /// The groups that said something.
    pub groups: BTreeMap<PathId, Group>,
}

impl History {
    fn names(&self, app: &AppId, version: Timestamp) -> bool {
        let named = |changes: &TreeChanges| {
            changes.apps.get(app).is_some_and(|(from, to)| [*from, *to].contains(&Some(version)))
        };
        self.versions.values().flatten().any(named)
    }
}

impl Services {
    /// Notes what became of the tree at `version`.
    pub(super) fn record(
        &mut self,
        version: Timestamp,
        changes: &BTreeMap<AppId, Change>,
        groups: &BTreeMap<PathId, Option<Group>>,
    ) {
        let mut parts = vec![TreeChanges::default()];
        let mut bytes = 0;
        let mut room = |parts: &mut Vec<TreeChanges>, more: usize| {
            bytes += more;
            if bytes > BYTES_PER_RECORD {
                bytes = more;
                parts.push(TreeChanges::default());
            }
            parts.len() - 1
        };
        for (app, change) in changes {
            let sides = (version_of(&change.from), version_of(&change.to));
            if sides.0 != sides.1 {
                let part = room(&mut parts, app.as_str().len() + 64);
                parts[part].apps.insert(app.clone(), sides);
            }
        }
        for (path, after) in groups {
            let before = self.groups.get(path).cloned();
            let part = room(&mut parts, path.as_str().len() + size(&before) + size(after));
            parts[part].groups.insert(path.clone(), (before, after.clone()));
        }
        for part in 0..parts.len() {
            self.save(Key::Tree(version, part));
        }
        self.history.versions.insert(version, parts);
        while self.history.versions.len() > self.settings.max_versions
            && let Some((dropped, parts)) = self.history.versions.pop_first()
        {
            self.drop_version(dropped, parts);
        }
    }

    fn drop_version(&mut self, version: Timestamp, parts: Vec<TreeChanges>) {
        for part in 0..parts.len() {
            self.save(Key::Tree(version, part));
        }
        for app in parts.into_iter().flat_map(|part| part.apps.into_keys()) {
            let Some(mut versions) = self.history.retired.remove(&app) else { continue };
            let unnamed: Vec<Timestamp> =
                versions.keys().copied().filter(|version| !self.history.names(&app, *version)).collect();
            for version in unnamed {
                versions.remove(&version);
                self.save(Key::Version(app.clone(), version));
            }
            if !versions.is_empty() {
                self.history.retired.insert(app, versions);
            }
        }
    }

    /// Keeps those definitions of an app that goes away to which the tree may return.
    pub(super) fn retire(&mut self, app: &AppId, versions: BTreeMap<Timestamp, App>) {
        for (version, definition) in versions {
            if self.history.names(app, version) {
                self.history.retired.entry(app.clone()).or_default().insert(version, definition);
            }
            self.save(Key::Version(app.clone(), version));
        }
    }

    /// As it was written to the store, in any order.
    pub(super) fn read_history(&mut self, mut records: Vec<(Timestamp, usize, TreeChanges)>) {
        records.sort_by_key(|(version, part, _)| (*version, *part));
        for (version, _, changes) in records {
            self.version = self.version.max(version);
            self.history.versions.entry(version).or_default().push(changes);
        }
    }

    /// A definition that an app has or had.
    pub(super) fn definition_at(&self, app: &AppId, version: Timestamp) -> Option<&App> {
        let living = self.apps.get(app).and_then(|state| state.versions.get(&version));
        living.or_else(|| self.history.retired.get(app)?.get(&version))
    }

    /// The versions of the tree in which the group was there, newest first.
    pub fn group_versions(&self, group: &PathId) -> Vec<Timestamp> {
        let mut apps: BTreeSet<&AppId> =
            self.specs().map(|state| &state.app.definition.id).filter(|app| group.holds(app)).collect();
        let mut groups: BTreeSet<&PathId> =
            self.groups.keys().filter(|path| group.is_or_holds(path)).collect();
        let mut found = Vec::new();
        for (version, parts) in self.history.versions.iter().rev() {
            if group.is_root() || !apps.is_empty() || !groups.is_empty() {
                found.push(*version);
            }
            for (app, (before, _)) in
                parts.iter().flat_map(|part| &part.apps).filter(|(app, _)| group.holds(app))
            {
                set(&mut apps, app, before.is_some());
            }
            for (path, (before, _)) in parts.iter().flat_map(|part| &part.groups) {
                if group.is_or_holds(path) {
                    set(&mut groups, path, before.is_some());
                }
            }
        }
        let there = group.is_root() || !apps.is_empty() || !groups.is_empty();
        if found.is_empty() && self.history.versions.is_empty() && there {
            found.push(self.version);
        }
        found
    }

    /// The group and all below it as it was at a version of the tree; `None` when it was not there, or nobody remembers.
    pub fn group_at(&self, group: &PathId, version: Timestamp) -> Option<Snapshot> {
        if !self.group_versions(group).contains(&version) {
            return None;
        }
        let there = self.specs().filter(|state| group.holds(&state.app.definition.id));
        let mut apps: BTreeMap<&AppId, Timestamp> =
            there.map(|state| (&state.app.definition.id, state.app.version)).collect();
        let mut groups: BTreeMap<&PathId, &Group> =
            self.groups.iter().filter(|(path, _)| group.is_or_holds(path)).collect();
        let newest_first = self.history.versions.iter().rev();
        for part in newest_first.take_while(|(later, _)| **later > version).flat_map(|(_, parts)| parts) {
            for (app, (before, _)) in part.apps.iter().filter(|(app, _)| group.holds(app)) {
                match before {
                    Some(before) => apps.insert(app, *before),
                    None => apps.remove(app),
                };
            }
            for (path, (before, _)) in part.groups.iter().filter(|(path, _)| group.is_or_holds(path)) {
                match before {
                    Some(before) => groups.insert(path, before),
                    None => groups.remove(path),
                };
            }
        }
        let found = apps
            .into_iter()
            .map(|(app, version)| Some((app.clone(), self.definition_at(app, version).cloned()?)));
        let groups = groups.into_iter().map(|(path, group)| (path.clone(), group.clone())).collect();
        Some(Snapshot { apps: found.collect::<Option<_>>()?, groups })
    }
}

fn version_of(app: &Option<App>) -> Option<Timestamp> {
    app.as_ref().map(|app| app.version)
}

fn size(group: &Option<Group>) -> usize {
    let paths = group.iter().flat_map(|group| &group.dependencies);
    64 + paths.map(|path| path.as_str().len() + 3).sum::<usize>()
}

fn set<'a, T: Ord>(items: &mut BTreeSet<&'a T>, item: &'a T, there: bool) {
    match there {
        true => items.insert(item),
        false => items.remove(item),
    };
}
