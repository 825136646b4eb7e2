//! Changes of groups: one deployment over all apps that they touch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use chapada_model::Now;
use serde_json::{Map, Value};

use super::commands::invalid;
use super::ports::GivenPorts;
use super::{AppState, Services};
use crate::definition::{AppDefinition, FieldError, MAX_INSTANCES};
use crate::deployment::{Change, Deployment};
use crate::event::{GroupChange, Published, Refusal, Reply};
use crate::group::{AppOfGroup, Group, GroupUpdate, PathId, Replacement};
use crate::id::{AppId, DeploymentId, Seed};
use crate::timestamp::Timestamp;

/// What a change of a group would do.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupPlan {
    /// The group that is changed.
    pub group: PathId,
    /// The deployment that would bring it about. Its id is nobody's.
    pub deployment: Deployment,
}

/// A change of the tree that is being put together. Nothing is changed by it.
pub(super) struct Draft<'a> {
    services: &'a Services,
    version: Timestamp,
    /// Each app it touches.
    pub(super) changes: BTreeMap<AppId, Change>,
    /// Each group with a record that it touches; `None` for none any more.
    pub(super) groups: BTreeMap<PathId, Option<Group>>,
    /// Service ports given to apps of this change.
    ports: GivenPorts,
}

/// A change of the tree, checked.
struct Prepared {
    group: PathId,
    created: bool,
    changes: BTreeMap<AppId, Change>,
    groups: BTreeMap<PathId, Option<Group>>,
}

impl Services {
    pub(super) fn change_group(
        &mut self,
        now: Now,
        addressed: PathId,
        change: GroupChange,
        force: bool,
    ) -> Result<Reply, Refusal> {
        let version = self.next_version(now);
        let group = change.target(&addressed);
        let outcome = self.prepare(&addressed, change, version).and_then(|prepared| {
            let Prepared { group, created, changes, groups } = prepared;
            let deployment = self.deploy_tree(version, changes, groups, &group, force)?;
            Ok(Reply::GroupDeployed { deployment, version, created: created.then_some(group) })
        });
        if let Err(why) = &outcome {
            let reason = why.to_string();
            self.publish(Published::GroupFailed { group, version, reason });
        }
        outcome
    }

    /// What a PUT of a group would do.
    ///
    /// # Errors
    /// As the change itself, deployments in the way apart.
    pub fn plan_group(
        &self,
        now: Now,
        group: &PathId,
        fields: Map<String, Value>,
    ) -> Result<GroupPlan, Refusal> {
        let version = Timestamp::from(now.wall).max(self.version.next());
        let prepared = self.prepare(group, GroupChange::Put(fields), version)?;
        let Prepared { group, changes, groups, .. } = prepared;
        let layers = self.layers(&changes, &groups)?;
        let id = DeploymentId(Seed::new(0, 0).uuid());
        Ok(GroupPlan { group, deployment: Deployment::plan(id, version, changes, &layers) })
    }

    fn prepare(
        &self,
        addressed: &PathId,
        change: GroupChange,
        version: Timestamp,
    ) -> Result<Prepared, Refusal> {
        let mut draft = Draft::new(self, version);
        let (group, created) = match change {
            GroupChange::Create(fields) => {
                let (group, update) = GroupUpdate::read(addressed, &fields).map_err(Refusal::Invalid)?;
                if self.has_group(&group) {
                    return Err(Refusal::GroupExists(group));
                }
                match update {
                    GroupUpdate::Replace(replacement) => draft.replace(&group, replacement)?,
                    GroupUpdate::ScaleBy(_) | GroupUpdate::Version(_) => return Err(Refusal::NoGroup(group)),
                }
                (group, true)
            }
            GroupChange::Put(fields) => {
                let (group, update) = GroupUpdate::read(addressed, &fields).map_err(Refusal::Invalid)?;
                let there = self.has_group(&group);
                match update {
                    GroupUpdate::Replace(replacement) => draft.replace(&group, replacement)?,
                    _ if !there => return Err(Refusal::NoGroup(group)),
                    GroupUpdate::ScaleBy(factor) => draft.scale(&group, factor)?,
                    GroupUpdate::Version(version) => draft.roll_back(&group, version)?,
                }
                (group, !there)
            }
            GroupChange::EnforceRole(enforce) => {
                if !addressed.is_top_level() {
                    return Err(invalid("/enforceRole", "can be set on a top-level group only"));
                }
                self.existing_group(addressed)?;
                draft.note(addressed, None, Some(enforce));
                (addressed.clone(), false)
            }
            GroupChange::Delete => {
                self.existing_group(addressed)?;
                draft.remove(addressed);
                (addressed.clone(), false)
            }
        };
        draft.check_paths()?;
        let Draft { changes, groups, .. } = draft;
        Ok(Prepared { group, created, changes, groups })
    }

    /// Whether there is such a group: made, or with something in it.
    pub fn has_group(&self, group: &PathId) -> bool {
        let prefix = group.prefix();
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let mut specs = self.apps.range::<str, _>(from).take_while(|(id, _)| group.holds(id));
        let mut groups = self.groups.range::<str, _>(from).take_while(|(path, _)| group.is_or_holds(path));
        group.is_root()
            || self.groups.contains_key(group)
            || specs.any(|(_, state)| !state.deleting)
            || groups.next().is_some()
    }

    fn existing_group(&self, group: &PathId) -> Result<(), Refusal> {
        if self.has_group(group) { Ok(()) } else { Err(Refusal::NoGroup(group.clone())) }
    }

    /// The groups with records of their own.
    pub fn groups(&self) -> impl Iterator<Item = (&PathId, &Group)> {
        self.groups.iter()
    }

    /// The apps and pods below a group that clients see.
    pub fn specs_below(&self, group: &PathId) -> impl Iterator<Item = &AppState> {
        let (prefix, group) = (group.prefix(), group.clone());
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let below = self.apps.range::<str, _>(from).take_while(move |(id, _)| group.holds(id));
        below.map(|(_, state)| state).filter(|state| !state.deleting)
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(services: &'a Services, version: Timestamp) -> Self {
        let (changes, groups) = (BTreeMap::new(), BTreeMap::new());
        let ports = GivenPorts::none_of(&services.settings.service_ports);
        Self { services, version, changes, groups, ports }
    }

    fn replace(&mut self, group: &PathId, replacement: Replacement) -> Result<(), Refusal> {
        let Replacement { apps, groups, dependencies, enforce_role } = replacement;
        let in_the_way = group.and_above().find_map(|path| self.services.spec(&path.app()?));
        if let Some(state) = in_the_way {
            return Err(Refusal::Exists { kind: state.app.kind(), id: state.app.definition.id.clone() });
        }
        self.note(group, dependencies, enforce_role);
        if let Some(apps) = apps {
            let named: BTreeSet<AppId> = apps.iter().filter_map(|app| app.id.app()).collect();
            let direct = self.services.specs_below(group).filter(|state| {
                let id = &state.app.definition.id;
                PathId::group_of(id) == *group && !state.app.is_pod() && !named.contains(id)
            });
            for state in direct {
                self.changes.insert(state.app.definition.id.clone(), vanishing(state));
            }
            for app in apps {
                self.app(app)?;
            }
        }
        if let Some(groups) = groups {
            let named: BTreeSet<&PathId> = groups.iter().map(|(path, _)| path).collect();
            for below in self.right_below(group).iter().filter(|below| !named.contains(below)) {
                self.remove(below);
            }
            for (path, replacement) in groups {
                self.replace(&path, replacement)?;
            }
        }
        Ok(())
    }

    /// Notes what a group says; what is `None` stays.
    fn note(&mut self, group: &PathId, dependencies: Option<Vec<PathId>>, enforce_role: Option<bool>) {
        let present = self.services.groups.get(group);
        let enforced = present.map(|group| group.enforce_role);
        let is_new = group.is_top_level() && !self.services.has_group(group);
        let default = is_new && self.services.settings.new_group_enforce_role;
        let after = Group {
            dependencies: dependencies
                .or_else(|| present.map(|group| group.dependencies.clone()))
                .unwrap_or_default(),
            enforce_role: enforce_role.or(enforced).unwrap_or(default),
            version: self.version,
        };
        let same = present.is_some_and(|present| {
            (&present.dependencies, present.enforce_role) == (&after.dependencies, after.enforce_role)
        });
        let says_nothing = group.is_root() && after.dependencies.is_empty() && present.is_none();
        if !same && !says_nothing {
            self.groups.insert(group.clone(), Some(after));
        }
    }

    /// One app of a group, as a whole definition.
    fn app(&mut self, app: AppOfGroup) -> Result<(), Refusal> {
        let AppOfGroup { id, mut fields, at } = app;
        fields.insert("id".to_owned(), Value::String(id.to_string()));
        let prefixed = |refusal| match refusal {
            Refusal::Invalid(errors) => Refusal::Invalid(prefix(&at, errors)),
            Refusal::WrongType(errors) => Refusal::WrongType(prefix(&at, errors)),
            other => other,
        };
        let enforced = id.top_level().and_then(|name| {
            let group = PathId::root().resolve(name).ok()?;
            Some(self.groups.get(&group)?.as_ref()?.enforce_role)
        });
        let definition = self.services.definition_in(&fields, enforced).map_err(prefixed)?;
        let id = definition.id.clone();
        let change =
            self.services.change_among(definition, self.version, &mut self.ports).map_err(prefixed)?;
        self.changes.insert(id, change);
        Ok(())
    }

    /// The groups right below one, however they exist.
    fn right_below(&self, group: &PathId) -> BTreeSet<PathId> {
        let specs = self.services.specs_below(group).map(|state| PathId::group_of(&state.app.definition.id));
        let made = self.services.groups.keys().filter(|path| group.is_or_holds(path)).cloned();
        let child = |path: PathId| path.and_above().find(|above| above.parent().as_ref() == Some(group));
        specs.chain(made).filter_map(child).collect()
    }

    /// Takes a group away, with everything below.
    fn remove(&mut self, group: &PathId) {
        for state in self.services.specs_below(group) {
            self.changes.insert(state.app.definition.id.clone(), vanishing(state));
        }
        for path in self.services.groups.keys().filter(|path| group.is_or_holds(path)) {
            self.groups.insert(path.clone(), None);
        }
    }

    fn scale(&mut self, group: &PathId, factor: f64) -> Result<(), Refusal> {
        for state in self.services.specs_below(group).filter(|state| !state.app.is_pod()) {
            let mut definition = AppDefinition::clone(&state.app.definition);
            let instances = (f64::from(definition.instances) * factor).ceil();
            if instances > f64::from(MAX_INSTANCES) {
                let error = format!("{} would have more than {MAX_INSTANCES} instances", definition.id);
                return Err(invalid("/scaleBy", error));
            }
            definition.instances = instances as u32;
            let id = definition.id.clone();
            let change = self.services.change_among(definition, self.version, &mut self.ports)?;
            self.changes.insert(id, change);
        }
        Ok(())
    }

    fn roll_back(&mut self, group: &PathId, version: Timestamp) -> Result<(), Refusal> {
        let Some(then) = self.services.group_at(group, version) else {
            return Err(invalid("/version", format!("Group {group} not available in version {version}")));
        };
        self.remove(group);
        for (id, app) in then.apps {
            let change = self.services.change_among(
                AppDefinition::clone(&app.definition),
                self.version,
                &mut self.ports,
            )?;
            self.changes.insert(id, change);
        }
        for (path, then) in then.groups {
            let present = self.services.groups.get(&path);
            let same = present.is_some_and(|present| {
                (&present.dependencies, present.enforce_role) == (&then.dependencies, then.enforce_role)
            });
            match same {
                true => self.groups.remove(&path),
                false => self.groups.insert(path, Some(Group { version: self.version, ..then })),
            };
        }
        self.changes.retain(|_, change| change.from != change.to);
        Ok(())
    }

    /// An app is no group, and nothing is below it.
    fn check_paths(&self) -> Result<(), Refusal> {
        let kept = |id: &AppId| self.changes.get(id).is_some_and(|change| change.to.is_some());
        for (id, _) in self.changes.iter().filter(|(_, change)| change.to.is_some()) {
            let path = PathId::from(id);
            let above = path.and_above().skip(1).filter_map(|path| path.app()).find(kept);
            let group = self.groups.get(&path).is_some_and(Option::is_some);
            if let Some(other) = above.or_else(|| group.then(|| id.clone())) {
                let error = format!("{id} and {other}: an app and a group may not share a path");
                return Err(invalid("/", error));
            }
        }
        Ok(())
    }
}

fn vanishing(state: &AppState) -> Change {
    Change { from: Some(state.app.clone()), to: None }
}

fn prefix(at: &str, errors: Vec<FieldError>) -> Vec<FieldError> {
    let moved = |error: FieldError| FieldError {
        path: if error.path == "/" { at.to_owned() } else { format!("{at}{}", error.path) },
        ..error
    };
    errors.into_iter().map(moved).collect()
}
