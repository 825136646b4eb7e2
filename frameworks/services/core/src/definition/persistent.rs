//! Volumes that outlive the tasks they show in. An app that has one is resident: each of its instances stays where its volumes
//! are.

use chapada_model::{DiskKind, Milli};
use serde::{Serialize, Serializer};

use super::reader::{Errors, FieldError, Fields};
use super::{AppDefinition, UnreachableStrategy, UpgradeStrategy};

/// A disk of a machine's own, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Persistent {
    /// Which kind of disk.
    pub r#type: DiskType,
    /// How much, in MiB; of a whole disk at least as much.
    #[serde(serialize_with = "super::number")]
    pub size: Milli,
    /// How large a whole disk may be.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional")]
    pub max_size: Option<Milli>,
}

/// Which kind of disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskType {
    /// The one that the agent works on.
    Root,
    /// A directory of another one; it is shared.
    Path,
    /// A disk as a whole.
    Mount,
}

impl DiskType {
    /// As offers say it; `None` for the agent's own.
    pub(crate) fn source(self) -> Option<DiskKind> {
        match self {
            Self::Root => None,
            Self::Path => Some(DiskKind::Path),
            Self::Mount => Some(DiskKind::Mount),
        }
    }
}

fn optional<S: Serializer>(amount: &Option<Milli>, serializer: S) -> Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => super::number(amount, serializer),
        None => serializer.serialize_none(),
    }
}

impl Persistent {
    /// `persistent` of a volume.
    pub(crate) fn read(volume: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Self> {
        let fields = volume.object("persistent", wrong)?;
        for (name, error) in [
            ("profileName", "agents have no profiles of disks"),
            ("constraints", "disks cannot be told apart by their paths; use an attribute of the agent"),
        ] {
            if fields.says_something(name) {
                broken.push(FieldError::new(fields.path(name), error));
            }
        }
        if fields.get("size").is_none() {
            wrong.push(FieldError::new(fields.path("size"), "error.path.missing"));
        }
        let r#type = match fields.text("type", wrong).as_deref() {
            None | Some("root") => DiskType::Root,
            Some("path") => DiskType::Path,
            Some("mount") => DiskType::Mount,
            Some(_) => {
                broken.push(FieldError::new(fields.path("type"), "must be root, path or mount"));
                DiskType::Root
            }
        };
        let (size, max_size) = (fields.amount("size", wrong)?, fields.amount("maxSize", wrong));
        if size.is_zero() {
            broken.push(FieldError::new(fields.path("size"), "must be greater than 0"));
        }
        if max_size.is_some_and(|most| r#type != DiskType::Mount || most <= size) {
            let error = "is for whole disks, and must be greater than size";
            broken.push(FieldError::new(fields.path("maxSize"), error));
        }
        Some(Self { r#type, size, max_size })
    }
}

/// What a resident app means by leaving something out that it does not say.
pub(crate) fn fill_in(app: &mut AppDefinition, says: impl Fn(&str) -> bool) {
    if !says("unreachableStrategy") {
        app.unreachable_strategy = UnreachableStrategy::Disabled;
    }
    if !says("upgradeStrategy") {
        app.upgrade_strategy = UpgradeStrategy { minimum_health_capacity: 0.5, maximum_over_capacity: 0.0 };
    }
}

/// What is wrong with a resident app.
///
/// Source: Marathon's validation of resident apps.
pub(crate) fn rules(app: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    if !app.is_resident() {
        return errors;
    }
    let mut require = |holds: bool, path: &str, error: &str| {
        if !holds {
            errors.push(FieldError::new(path, error));
        }
    };
    let path = "/upgradeStrategy/maximumOverCapacity";
    require(app.upgrade_strategy.maximum_over_capacity == 0.0, path, "must be 0: a volume is in one place");
    let waits = app.unreachable_strategy == UnreachableStrategy::Disabled;
    require(waits, "/unreachableStrategy", "must be disabled: nothing can take the place of a volume");
    let path = "/acceptedResourceRoles";
    let unreserved = app.accepted_resource_roles.iter().all(|role| role == "*");
    require(unreserved, path, "must be [\"*\"]: what is reserved already cannot be reserved for a volume");
    require(app.role != "*", "/role", "persistent volumes are reserved for a role, which cannot be *");
    errors
}

/// What of a resident app cannot become what `to` says: its reservations are as they are.
///
/// Source: Marathon's validation of updates of resident apps.
pub(crate) fn changed(from: &AppDefinition, to: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    let ports = |app: &AppDefinition| app.host_ports().collect::<Vec<_>>();
    for (same, path) in [
        (from.persistent_volumes().eq(to.persistent_volumes()), "/container/volumes"),
        (from.cpus == to.cpus, "/cpus"),
        (from.mem == to.mem, "/mem"),
        (from.disk == to.disk, "/disk"),
        (from.gpus == to.gpus, "/gpus"),
        (from.require_ports == to.require_ports, "/requirePorts"),
        (ports(from) == ports(to), "/portDefinitions"),
        (from.role == to.role, "/role"),
    ] {
        if !same {
            let error = "cannot be changed while there are persistent volumes: they are reserved as they are";
            errors.push(FieldError::new(path, error));
        }
    }
    errors
}
