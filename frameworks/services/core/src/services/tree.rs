//! What the tree says of what stands in it: who waits for whom, and which role they are in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Services;
use super::commands::invalid;
use crate::definition::AppDefinition;
use crate::dependency::{self, Tree};
use crate::deployment::Change;
use crate::event::Refusal;
use crate::group::{Group, PathId};
use crate::id::AppId;

/// The tree as it will be after a change.
struct Planned<'a> {
    services: &'a Services,
    changes: &'a BTreeMap<AppId, Change>,
    groups: &'a BTreeMap<PathId, Option<Group>>,
}

impl Tree for Planned<'_> {
    fn spec(&self, id: &AppId) -> Option<&[PathId]> {
        let app = match self.changes.get(id) {
            Some(change) => change.to.as_ref(),
            None => self.services.spec(id).map(|state| &state.app),
        };
        app.map(|app| app.definition.dependencies.as_slice())
    }

    fn group(&self, id: &PathId) -> &[PathId] {
        let group = match self.groups.get(id) {
            Some(group) => group.as_ref(),
            None => self.services.groups.get(id),
        };
        group.map_or(&[], |group| group.dependencies.as_slice())
    }

    fn below(&self, group: &PathId) -> Vec<AppId> {
        let there = self.services.specs_below(group).map(|state| &state.app.definition.id);
        let kept = there.filter(|id| !self.changes.contains_key(*id));
        let changed = self.changes.iter().filter(|(id, change)| change.to.is_some() && group.holds(id));
        kept.chain(changed.map(|(id, _)| id)).cloned().collect()
    }
}

impl Services {
    /// In which layer each of the apps of a change starts.
    ///
    /// # Errors
    /// When apps would wait for each other in a ring.
    pub(super) fn layers(
        &self,
        changes: &BTreeMap<AppId, Change>,
        groups: &BTreeMap<PathId, Option<Group>>,
    ) -> Result<BTreeMap<AppId, usize>, Refusal> {
        let tree = Planned { services: self, changes, groups };
        let kept = changes.iter().filter(|(_, change)| change.to.is_some()).map(|(id, _)| id.clone());
        let mut wanted: Vec<AppId> = kept.collect();
        // What a group newly depends on may close a ring through apps that are not changed themselves.
        for group in groups.keys().filter(|group| !tree.group(group).is_empty()) {
            wanted.extend(tree.below(group));
        }
        dependency::layers(&tree, &wanted).map_err(|cycle| invalid("/dependencies", cycle.to_string()))
    }

    /// A definition as a client wrote it; `enforced` is what the change says of its top-level group, if it says something.
    pub(super) fn definition_in(
        &self,
        fields: &Map<String, Value>,
        enforced: Option<bool>,
    ) -> Result<AppDefinition, Refusal> {
        let role = self.default_role(fields, enforced);
        let definition = AppDefinition::with_defaults(fields, self.settings.defaults(&role))?;
        self.settings.check(&definition)?;
        self.check_role(&definition, enforced)?;
        Ok(definition)
    }

    /// The role of what names none: the one it has, else the first it may have.
    pub(super) fn default_role(&self, fields: &Map<String, Value>, enforced: Option<bool>) -> String {
        let id = fields.get("id").and_then(Value::as_str).and_then(|id| id.parse::<AppId>().ok());
        let Some(id) = id else { return self.role.to_string() };
        match self.spec(&id) {
            Some(state) => state.app.definition.role.clone(),
            None => self.roles_of(&id, enforced).swap_remove(0),
        }
    }

    /// The role is that of this framework or the name of the top-level group; a role it has may stay.
    pub(super) fn check_role(
        &self,
        definition: &AppDefinition,
        enforced: Option<bool>,
    ) -> Result<(), Refusal> {
        let valid = self.roles_of(&definition.id, enforced);
        let existing = self.spec(&definition.id).map(|state| &state.app.definition.role);
        if valid.contains(&definition.role) || existing == Some(&definition.role) {
            return Ok(());
        }
        let valid = valid.join(" or ");
        Err(invalid("/role", format!("must be {valid}, not {}", definition.role)))
    }

    /// The roles that are open to what is new at this place, the default first.
    fn roles_of(&self, id: &AppId, enforced: Option<bool>) -> Vec<String> {
        let (own, group) = (self.role.to_string(), PathId::group_of(id));
        match group.top_level() {
            None => vec![own],
            Some(name) if enforced.unwrap_or_else(|| self.enforces_role(name)) => vec![name.to_owned()],
            Some(name) => vec![own, name.to_owned()],
        }
    }

    /// Whether apps new in a top-level group have its name as their role.
    pub(super) fn enforces_role(&self, group: &str) -> bool {
        let Ok(path) = PathId::root().resolve(group) else { return false };
        match self.groups.get(&path) {
            Some(group) => group.enforce_role,
            None => self.settings.new_group_enforce_role && !self.has_group(&path),
        }
    }

    /// The top-level groups that come to be with the apps of a change, as they must be noted.
    pub(super) fn note_new_groups(
        &self,
        changes: &BTreeMap<AppId, Change>,
        groups: &mut BTreeMap<PathId, Option<Group>>,
        version: crate::timestamp::Timestamp,
    ) {
        if !self.settings.new_group_enforce_role {
            return;
        }
        for id in changes.iter().filter(|(_, change)| change.from.is_none()).map(|(id, _)| id) {
            let group = PathId::group_of(id).and_above().find(PathId::is_top_level);
            if let Some(group) = group.filter(|group| !self.has_group(group) && !groups.contains_key(group)) {
                groups.insert(group, Some(Group { enforce_role: true, version, ..Group::default() }));
            }
        }
    }
}
