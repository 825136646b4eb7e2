//! CREATE: makes persistent volumes of reserved disk.

use std::collections::BTreeSet;

use chapada_model::{
    Conversion, Disk, DiskKind, ExecutorId, FrameworkCapability, Resource, ResourceValue, Resources, Role,
    Text,
};

use super::Ground;

pub(super) fn check(ground: &Ground<'_>, volumes: &Resources) -> Result<Conversion, String> {
    let converted = ground.plain("CREATE", volumes)?;
    let mut taken: BTreeSet<(Role, Text)> = ground.agent.total.iter().filter_map(volume_key).collect();
    let mut consumed = Resources::EMPTY;
    for volume in &converted {
        let id = check_volume(ground, volume)?;
        if !volume_key(volume).is_some_and(|key| taken.insert(key)) {
            return Err(format!(
                "Persistence ID '{id}' is taken by another volume of the role on this agent"
            ));
        }
        let plain = Resources::from_list([volume.without_volume()]).map_err(|error| error.to_string())?;
        consumed.add(&plain).map_err(|error| error.to_string())?;
    }
    Ok(Conversion { consumed, converted })
}

/// What names a volume on its agent: the role that it is reserved for, and its id.
fn volume_key(volume: &Resource) -> Option<(Role, Text)> {
    let persistence = volume.disk.as_ref()?.persistence.as_ref()?;
    Some((volume.reserved_role()?.clone(), persistence.id.clone()))
}

/// The id of a volume that may be made.
fn check_volume(ground: &Ground<'_>, volume: &Resource) -> Result<Text, String> {
    let is_disk = &*volume.name == "disk" && matches!(volume.value, ResourceValue::Scalar(_));
    let Some(disk) = volume.disk.as_ref().filter(|_| is_disk) else {
        return Err(format!("Resource {volume} is not a disk with 'disk.persistence'"));
    };
    let Some(persistence) = &disk.persistence else {
        return Err(format!("Resource {volume} has no 'disk.persistence'"));
    };
    // The id becomes the name of a directory, so it must be what executor ids must be.
    ExecutorId::new(&*persistence.id).map_err(|error| format!("Persistence ID is not valid: {error}"))?;
    match (ground.role(), volume.reserved_role()) {
        (Some(role), reserved) if reserved != Some(role) => {
            return Err(format!(
                "Persistent volume {} must be made of disk that is reserved for the offers' role '{role}'",
                persistence.id
            ));
        }
        (None, None) => {
            return Err(format!("Persistent volume {} must be made of reserved disk", persistence.id));
        }
        _ => {}
    }
    if volume.revocable {
        return Err(format!("Persistent volume {} cannot be made of revocable disk", persistence.id));
    }
    if volume.shared && !ground.can(FrameworkCapability::SharedResources) {
        return Err(format!(
            "Persistent volume {} is shared, for which the framework needs the capability SHARED_RESOURCES",
            persistence.id
        ));
    }
    let what = format!("Persistent volume {}", persistence.id);
    ground.check_principal(&what, persistence.principal.as_ref())?;
    check_source(&what, disk)?;
    check_mount(&what, disk)?;
    Ok(persistence.id.clone())
}

fn check_source(what: &str, disk: &Disk) -> Result<(), String> {
    match disk.source.as_ref().map(|source| source.kind) {
        None | Some(DiskKind::Path | DiskKind::Mount) => Ok(()),
        Some(DiskKind::Block | DiskKind::Raw) => {
            Err(format!("{what} cannot be made of a disk with a source of type BLOCK or RAW"))
        }
    }
}

/// Where it shows in a container: one name below the sandbox, to read and write.
fn check_mount(what: &str, disk: &Disk) -> Result<(), String> {
    let Some(volume) = &disk.volume else {
        return Err(format!("{what} has no 'disk.volume'"));
    };
    if volume.read_only {
        return Err(format!("{what}: 'disk.volume.mode' must be RW"));
    }
    if volume.host_path.is_some() {
        return Err(format!("{what}: 'disk.volume.host_path' must not be set"));
    }
    match ExecutorId::new(&*volume.container_path) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{what}: 'disk.volume.container_path' must be one name below the sandbox, not '{}'",
            volume.container_path
        )),
    }
}
