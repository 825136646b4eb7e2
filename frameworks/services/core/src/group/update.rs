//! A change of a group as its client wrote it.

use serde_json::{Map, Value};

use super::PathId;
use crate::definition::FieldError;
use crate::definition::reader::{Errors, Fields};
use crate::event::GroupChange;
use crate::timestamp::Timestamp;

/// The most dependencies of one group or app.
pub(crate) const MAX_DEPENDENCIES: usize = 100;

const NOT_WITHIN: &str = "can be asked for a whole group only, not within another change";

/// What shall be done to a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GroupUpdate {
    /// What is named replaces what is there, what is not stays.
    Replace(Replacement),
    /// Every app below has its number of instances multiplied, rounded up.
    ScaleBy(f64),
    /// Everything below returns to what it was at that version.
    Version(Timestamp),
}

/// What of a group is replaced.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Replacement {
    /// The apps right in it.
    pub(crate) apps: Option<Vec<AppOfGroup>>,
    /// The groups right below it.
    pub(crate) groups: Option<Vec<(PathId, Replacement)>>,
    /// What everything in it depends on.
    pub(crate) dependencies: Option<Vec<PathId>>,
    /// Whether its name is the role of new apps.
    pub(crate) enforce_role: Option<bool>,
}

/// An app within a change of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AppOfGroup {
    /// Its path, resolved.
    pub(crate) id: PathId,
    /// Its whole definition.
    pub(crate) fields: Map<String, Value>,
    /// Where it stands in what the client wrote.
    pub(crate) at: String,
}

impl GroupUpdate {
    /// Reads a change of the group that the client addressed as `addressed`, which the `id` in it may make more precise.
    ///
    /// # Errors
    /// Every field of a wrong type, or with a wrong meaning.
    pub(crate) fn read(addressed: &PathId, object: &Map<String, Value>) -> Result<(PathId, Self), Errors> {
        let mut errors = Errors::new();
        let fields = Fields::root(object);
        let group = target(&fields, addressed, &mut errors);
        let update = read_update(&fields, &group, &mut errors);
        match update.filter(|_| errors.is_empty()) {
            Some(update) => Ok((group, update)),
            None => Err(errors),
        }
    }
}

impl GroupChange {
    /// The group that is changed when a client addresses it to `addressed`: the `id` in it may name any other. Whoever asks what a
    /// client may do must ask it of this one. An `id` that is none is refused when the change is carried out.
    pub fn target(&self, addressed: &PathId) -> PathId {
        match self {
            Self::Create(object) | Self::Put(object) => {
                target(&Fields::root(object), addressed, &mut Errors::new())
            }
            Self::EnforceRole(_) | Self::Delete => addressed.clone(),
        }
    }
}

fn target(fields: &Fields<'_>, addressed: &PathId, errors: &mut Errors) -> PathId {
    own_id(fields, addressed, errors).unwrap_or_else(|| addressed.clone())
}

fn own_id(fields: &Fields<'_>, parent: &PathId, errors: &mut Errors) -> Option<PathId> {
    let text = fields.text("id", errors)?;
    parent.resolve(&text).map_err(|why| errors.push(FieldError::new(fields.path("id"), why.to_string()))).ok()
}

fn read_update(fields: &Fields<'_>, group: &PathId, errors: &mut Errors) -> Option<GroupUpdate> {
    for alone in ["scaleBy", "version"] {
        if fields.get(alone).is_some() && fields.names().any(|name| name != "id" && name != alone) {
            let error = format!("The '{alone}' field may only be combined with the 'id' field.");
            errors.push(FieldError::new(fields.path(alone), error));
            return None;
        }
    }
    if fields.get("scaleBy").is_some() {
        let factor = fields.number("scaleBy", errors)?;
        if !(0.0..=1e6).contains(&factor) {
            errors.push(FieldError::new(fields.path("scaleBy"), "is not between 0 and 1000000"));
        }
        return Some(GroupUpdate::ScaleBy(factor));
    }
    if let Some(version) = fields.text("version", errors) {
        let version = version.parse().map_err(|_| {
            errors.push(FieldError::new(fields.path("version"), "error.expected: a timestamp"));
        });
        return version.ok().map(GroupUpdate::Version);
    }
    Some(GroupUpdate::Replace(read_replacement(fields, group, errors)))
}

fn read_replacement(fields: &Fields<'_>, group: &PathId, errors: &mut Errors) -> Replacement {
    if fields.says_something("pods") {
        let error = "pods are not changed through their groups; use /v2/pods";
        errors.push(FieldError::new(fields.path("pods"), error));
    }
    let enforce_role = fields.flag("enforceRole", errors);
    if enforce_role.is_some() && !group.is_top_level() {
        let error = "can be set on a top-level group only";
        errors.push(FieldError::new(fields.path("enforceRole"), error));
    }
    Replacement {
        apps: read_apps(fields, group, errors),
        groups: read_groups(fields, group, errors),
        dependencies: dependencies(fields, group, errors),
        enforce_role,
    }
}

fn read_apps(fields: &Fields<'_>, group: &PathId, errors: &mut Errors) -> Option<Vec<AppOfGroup>> {
    let mut apps: Vec<AppOfGroup> = Vec::new();
    for app in fields.objects("apps", errors)? {
        if app.get("id").is_none() {
            errors.push(FieldError::new(app.path("id"), "error.path.missing"));
        }
        let Some(id) = own_id(&app, group, errors) else { continue };
        if id.parent().as_ref() != Some(group) {
            let error = format!("must be right in the group {group}");
            errors.push(FieldError::new(app.path("id"), error));
        } else if apps.iter().any(|other| other.id == id) {
            errors.push(FieldError::new(app.path("id"), "must be unique"));
        }
        apps.push(AppOfGroup { id, fields: app.object_itself().clone(), at: app.at().to_owned() });
    }
    Some(apps)
}

fn read_groups(
    fields: &Fields<'_>,
    group: &PathId,
    errors: &mut Errors,
) -> Option<Vec<(PathId, Replacement)>> {
    let mut groups: Vec<(PathId, Replacement)> = Vec::new();
    for below in fields.objects("groups", errors)? {
        if below.get("id").is_none() {
            errors.push(FieldError::new(below.path("id"), "error.path.missing"));
        }
        let Some(id) = own_id(&below, group, errors) else { continue };
        if id.parent().as_ref() != Some(group) {
            let error = format!("must be right below the group {group}");
            errors.push(FieldError::new(below.path("id"), error));
            continue;
        }
        if groups.iter().any(|(other, _)| *other == id) {
            errors.push(FieldError::new(below.path("id"), "must be unique"));
        }
        match read_update(&below, &id, errors) {
            Some(GroupUpdate::Replace(replacement)) => groups.push((id, replacement)),
            Some(GroupUpdate::ScaleBy(_)) => errors.push(FieldError::new(below.path("scaleBy"), NOT_WITHIN)),
            Some(GroupUpdate::Version(_)) => errors.push(FieldError::new(below.path("version"), NOT_WITHIN)),
            None => {}
        }
    }
    Some(groups)
}

/// The field of that name of an app or a group at `here`, each path resolved.
pub(crate) fn dependencies(fields: &Fields<'_>, here: &PathId, errors: &mut Errors) -> Option<Vec<PathId>> {
    let texts = fields.texts("dependencies", errors)?;
    if texts.len() > MAX_DEPENDENCIES {
        let error = format!("must not be more than {MAX_DEPENDENCIES}");
        errors.push(FieldError::new(fields.path("dependencies"), error));
        return None;
    }
    let mut found = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match here.resolve(text) {
            Ok(path) if found.contains(&path) => {}
            Ok(path) => found.push(path),
            Err(why) => {
                let path = format!("{}({index})", fields.path("dependencies"));
                errors.push(FieldError::new(path, why.to_string()));
            }
        }
    }
    Some(found)
}
