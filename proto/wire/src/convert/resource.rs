//! Resources.

use chapada_model::{
    Disk, DiskKind, DiskSource, DiskVolume, Persistence, Resource, ResourceValue, Resources,
};

use super::error::{each, optional, text};
use super::ranges::{ranges, ranges_to_wire, scalar, scalar_to_wire, set, set_to_wire};
use super::reservation::{self, ReservationFormat, parse_role};
use super::{InvalidField, labels};
use crate::decode::DecodeError;
use crate::v1::resource::{AllocationInfo, DiskInfo, RevocableInfo, SharedInfo, disk_info};
use crate::v1::value::Type;
use crate::{Json as _, v1};

/// Reads a list of resources and adds up what is of one kind.
///
/// # Errors
/// [`InvalidField`] for the first that makes no sense, or when one thing is there twice.
pub fn resources_from_wire(field: &str, wire: &[v1::Resource]) -> Result<Resources, InvalidField> {
    let list = each(field, wire, Resource::try_from)?;
    Resources::from_list(list).map_err(|error| InvalidField::new(field, error))
}

/// Reads resources as `--resources` says them in JSON: an array of `Resource` messages. They come in its order, one for each.
///
/// # Errors
/// [`InvalidField`] names the first that makes no sense, as `resources[0].disk.source.type`.
pub fn resources_from_json(json: &str) -> Result<Vec<Resource>, InvalidField> {
    if let Err(error) = serde_json::from_str::<Vec<serde::de::IgnoredAny>>(json) {
        return Err(InvalidField::new("resources", format_args!("is no JSON array of resources: {error}")));
    }
    // A message with such an array, so that the codec says which element is wrong.
    let message = v1::offer::operation::Reserve::from_json(format!("{{\"resources\":{json}}}").as_bytes());
    let wire = message.map_err(|error| match error {
        DecodeError::Json { path, problem } => InvalidField { path, problem },
        DecodeError::Missing { path } => InvalidField::missing(path),
        DecodeError::Binary(error) => InvalidField::new("resources", error),
    })?;
    each("resources", &wire.resources, Resource::try_from)
}

/// Writes a list of resources.
#[must_use]
pub fn resources_to_wire(resources: &Resources, format: ReservationFormat) -> Vec<v1::Resource> {
    resources.iter().map(|resource| resource_to_wire(resource, format)).collect()
}

impl TryFrom<&v1::Resource> for Resource {
    type Error = InvalidField;

    fn try_from(wire: &v1::Resource) -> Result<Self, InvalidField> {
        let name = wire.name.as_deref().ok_or_else(|| InvalidField::missing("name"))?;
        let allocation = wire.allocation_info.as_ref().and_then(|info| info.role.as_deref());
        Ok(Self {
            name: chapada_model::resource_name(name),
            value: value(wire)?,
            reservations: reservation::from_wire(wire)?,
            allocation_role: allocation.map(|role| parse_role("allocation_info.role", role)).transpose()?,
            disk: optional("disk", wire.disk.as_ref())?,
            provider: text(wire.provider_id.as_ref().and_then(|id| id.value.as_ref())),
            revocable: wire.revocable.is_some(),
            shared: wire.shared.is_some(),
        })
    }
}

fn value(wire: &v1::Resource) -> Result<ResourceValue, InvalidField> {
    let kind = wire.r#type.and_then(|number| Type::try_from(number).ok());
    match kind.ok_or_else(|| InvalidField::missing("type"))? {
        Type::Scalar => scalar("scalar", wire.scalar.as_ref()).map(ResourceValue::Scalar),
        Type::Ranges => ranges("ranges", wire.ranges.as_ref()).map(ResourceValue::Ranges),
        Type::Set => set("set", wire.set.as_ref()).map(ResourceValue::Set),
        Type::Text => Err(InvalidField::new("type", "a resource cannot be TEXT")),
    }
}

/// Writes one resource.
#[must_use]
pub fn resource_to_wire(resource: &Resource, format: ReservationFormat) -> v1::Resource {
    let mut wire = v1::Resource {
        name: Some(resource.name.to_string()),
        allocation_info: resource
            .allocation_role
            .as_ref()
            .map(|role| AllocationInfo { role: Some(role.to_string()) }),
        disk: resource.disk.as_ref().map(DiskInfo::from),
        provider_id: resource
            .provider
            .as_ref()
            .map(|id| v1::ResourceProviderId { value: Some(id.to_string()) }),
        revocable: resource.revocable.then_some(RevocableInfo {}),
        shared: resource.shared.then_some(SharedInfo {}),
        ..v1::Resource::default()
    };
    match &resource.value {
        ResourceValue::Scalar(milli) => {
            wire.set_type(Type::Scalar);
            wire.scalar = Some(scalar_to_wire(*milli));
        }
        ResourceValue::Ranges(value) => {
            wire.set_type(Type::Ranges);
            wire.ranges = Some(ranges_to_wire(value));
        }
        ResourceValue::Set(value) => {
            wire.set_type(Type::Set);
            wire.set = Some(set_to_wire(value));
        }
    }
    reservation::to_wire(&resource.reservations, format, &mut wire);
    wire
}

impl TryFrom<&DiskInfo> for Disk {
    type Error = InvalidField;

    fn try_from(disk: &DiskInfo) -> Result<Self, InvalidField> {
        Ok(Self {
            persistence: optional("persistence", disk.persistence.as_ref())?,
            volume: optional("volume", disk.volume.as_ref())?,
            source: optional("source", disk.source.as_ref())?.map(Box::new),
        })
    }
}

impl From<&Disk> for DiskInfo {
    fn from(disk: &Disk) -> Self {
        Self {
            persistence: disk.persistence.as_ref().map(Into::into),
            volume: disk.volume.as_ref().map(Into::into),
            source: disk.source.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<&disk_info::Persistence> for Persistence {
    type Error = InvalidField;

    fn try_from(persistence: &disk_info::Persistence) -> Result<Self, InvalidField> {
        let id = persistence.id.as_deref().ok_or_else(|| InvalidField::missing("id"))?;
        Ok(Self { id: id.into(), principal: text(persistence.principal.as_ref()) })
    }
}

impl From<&Persistence> for disk_info::Persistence {
    fn from(persistence: &Persistence) -> Self {
        Self {
            id: Some(persistence.id.to_string()),
            principal: persistence.principal.as_ref().map(ToString::to_string),
        }
    }
}

impl TryFrom<&v1::Volume> for DiskVolume {
    type Error = InvalidField;

    fn try_from(volume: &v1::Volume) -> Result<Self, InvalidField> {
        let path = volume.container_path.as_deref().ok_or_else(|| InvalidField::missing("container_path"))?;
        Ok(Self {
            container_path: path.into(),
            host_path: text(volume.host_path.as_ref()),
            read_only: volume.mode() == v1::volume::Mode::Ro,
        })
    }
}

impl From<&DiskVolume> for v1::Volume {
    fn from(volume: &DiskVolume) -> Self {
        let mut wire = Self {
            container_path: Some(volume.container_path.to_string()),
            host_path: volume.host_path.as_ref().map(ToString::to_string),
            ..Self::default()
        };
        wire.set_mode(if volume.read_only { v1::volume::Mode::Ro } else { v1::volume::Mode::Rw });
        wire
    }
}

impl TryFrom<&disk_info::Source> for DiskSource {
    type Error = InvalidField;

    fn try_from(source: &disk_info::Source) -> Result<Self, InvalidField> {
        use disk_info::source::Type;
        let kind = match source.r#type() {
            Type::Path => DiskKind::Path,
            Type::Mount => DiskKind::Mount,
            Type::Block => DiskKind::Block,
            Type::Raw => DiskKind::Raw,
            Type::Unknown => return Err(InvalidField::new("type", "must be PATH, MOUNT, BLOCK or RAW")),
        };
        let path = source.path.as_ref().and_then(|path| path.root.as_ref());
        let mount = source.mount.as_ref().and_then(|mount| mount.root.as_ref());
        Ok(Self {
            kind,
            root: text(path.or(mount)),
            vendor: text(source.vendor.as_ref()),
            id: text(source.id.as_ref()),
            profile: text(source.profile.as_ref()),
            metadata: labels::from_wire("metadata", source.metadata.as_ref())?,
        })
    }
}

impl From<&DiskSource> for disk_info::Source {
    fn from(source: &DiskSource) -> Self {
        use disk_info::source::{Mount, Path, Type};
        let owned = |text: &Option<chapada_model::Text>| text.as_ref().map(ToString::to_string);
        let mut wire = Self {
            vendor: owned(&source.vendor),
            id: owned(&source.id),
            profile: owned(&source.profile),
            metadata: labels::to_wire(&source.metadata),
            ..Self::default()
        };
        match source.kind {
            DiskKind::Path => {
                wire.set_type(Type::Path);
                wire.path = Some(Path { root: owned(&source.root) });
            }
            DiskKind::Mount => {
                wire.set_type(Type::Mount);
                wire.mount = Some(Mount { root: owned(&source.root) });
            }
            DiskKind::Block => wire.set_type(Type::Block),
            DiskKind::Raw => wire.set_type(Type::Raw),
        }
        wire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_in_json_are_read_in_their_order_or_refused_by_the_field() {
        let json = r#"[
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 2.5}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 100},
             "reservations": [{"type": "STATIC", "role": "ops"}],
             "disk": {"source": {"type": "MOUNT", "mount": {"root": "/mnt/a"}}}}]"#;
        let resources = resources_from_json(json).unwrap();
        assert_eq!(resources[0], Resource::scalar("cpus", chapada_model::Milli(2_500)));
        let source = resources[1].disk.as_ref().unwrap().source.as_ref().unwrap();
        assert_eq!((source.kind, source.root.as_deref()), (DiskKind::Mount, Some("/mnt/a")));
        assert_eq!(resources[1].reserved_role().unwrap().as_str(), "ops");
        let cases = [
            ("cpus:1", "resources: is no JSON array"),
            (r#"[{"name": "cpus"}], "x": []"#, "resources: is no JSON array"),
            (r#"[{"name": "cpus"}]"#, "resources[0].type: is required"),
            (r#"[{"name": "cpus", "type": "SCALAR"}]"#, "resources[0].scalar.value: is required"),
            (
                r#"[{"name": "cpus", "type": "SCALAR", "scalar": {"value": []}}]"#,
                "resources[0].scalar.value: ",
            ),
            (
                r#"[{"name": "disk", "type": "SCALAR", "scalar": {"value": 1}, "disk": {"source": {}}}]"#,
                "resources[0].disk.source.type",
            ),
        ];
        for (json, begin) in cases {
            let said = resources_from_json(json).unwrap_err().to_string();
            assert!(said.starts_with(begin), "'{said}' does not start with '{begin}'");
        }
    }
}
