//! GROW_VOLUME: makes a persistent volume larger by disk of the same kind.

use chapada_model::{Conversion, DiskKind, Resource, ResourceValue, Resources};

use super::Ground;

pub(super) fn check(
    ground: &Ground<'_>,
    volume: &Resource,
    addition: &Resource,
) -> Result<Conversion, String> {
    let volume = one(ground, "GROW_VOLUME.volume", volume)?;
    let addition = one(ground, "GROW_VOLUME.addition", addition)?;
    check_resizable("GROW_VOLUME", &volume)?;
    let (ResourceValue::Scalar(size), ResourceValue::Scalar(more)) = (&volume.value, &addition.value) else {
        return Err("GROW_VOLUME.addition must be an amount of disk".to_owned());
    };
    if volume.without_volume() != (Resource { value: volume.value.clone(), ..addition.clone() }) {
        return Err(format!("Volume {volume} cannot grow by {addition}, which is disk of another kind"));
    }
    let sum = size.checked_add(*more).ok_or("GROW_VOLUME makes the volume too large to count")?;
    let grown = Resource { value: ResourceValue::Scalar(sum), ..volume.clone() };
    let consumed = list([volume, addition])?;
    Ok(Conversion { consumed, converted: list([grown])? })
}

/// The resource, allocated to nobody in form.
pub(super) fn one(ground: &Ground<'_>, what: &str, resource: &Resource) -> Result<Resource, String> {
    let plain = ground.plain(what, &list([resource.clone()])?)?;
    plain.iter().next().cloned().ok_or_else(|| format!("{what} is nothing"))
}

pub(super) fn list(resources: impl IntoIterator<Item = Resource>) -> Result<Resources, String> {
    Resources::from_list(resources).map_err(|error| error.to_string())
}

/// Only volumes on the agent's own disk or in a directory can change their size, and none that several tasks share.
pub(super) fn check_resizable(what: &str, volume: &Resource) -> Result<(), String> {
    let Some(disk) = volume.disk.as_ref().filter(|_| volume.is_volume()) else {
        return Err(format!("{what}.volume {volume} is not a persistent volume"));
    };
    if volume.shared {
        return Err(format!("{what}.volume {volume} is shared and cannot change its size"));
    }
    match disk.source.as_ref().map(|source| source.kind) {
        None | Some(DiskKind::Path) => Ok(()),
        Some(DiskKind::Mount | DiskKind::Block | DiskKind::Raw) => {
            Err(format!("{what}.volume {volume} is a whole device and cannot change its size"))
        }
    }
}
