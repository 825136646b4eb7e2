//! Operations on resources off the wire and back, the same for schedulers and operators.

use chapada_master_core::{Change, OfferOperation};
use chapada_model::{Conversion, Milli, OperationKind, Resource, ResourceValue, Resources};
use chapada_wire::convert::{InvalidField, ReservationFormat, resources_from_wire, resources_to_wire};
use chapada_wire::v1;
use chapada_wire::v1::offer::Operation;
use chapada_wire::v1::offer::operation::{
    Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Type, Unreserve,
};

/// Reads an operation that changes resources. `kind` is its type.
///
/// # Errors
/// [`InvalidField`] for the first that makes no sense, and for a type that changes none.
pub(crate) fn read(kind: Type, wire: &Operation) -> Result<Change, InvalidField> {
    let missing = || InvalidField::missing(kind.as_str_name().to_lowercase());
    Ok(match kind {
        Type::Reserve => {
            let reserve = wire.reserve.as_ref().ok_or_else(missing)?;
            Change::Reserve {
                source: resources_from_wire("reserve.source", &reserve.source)?,
                resources: resources_from_wire("reserve.resources", &reserve.resources)?,
            }
        }
        Type::Unreserve => {
            let unreserve = wire.unreserve.as_ref().ok_or_else(missing)?;
            Change::Unreserve { resources: resources_from_wire("unreserve.resources", &unreserve.resources)? }
        }
        Type::Create => {
            let create = wire.create.as_ref().ok_or_else(missing)?;
            Change::Create { volumes: resources_from_wire("create.volumes", &create.volumes)? }
        }
        Type::Destroy => {
            let destroy = wire.destroy.as_ref().ok_or_else(missing)?;
            Change::Destroy { volumes: resources_from_wire("destroy.volumes", &destroy.volumes)? }
        }
        Type::GrowVolume => {
            let grow = wire.grow_volume.as_ref().ok_or_else(missing)?;
            Change::GrowVolume {
                volume: resource("grow_volume.volume", grow.volume.as_ref())?,
                addition: resource("grow_volume.addition", grow.addition.as_ref())?,
            }
        }
        Type::ShrinkVolume => {
            let shrink = wire.shrink_volume.as_ref().ok_or_else(missing)?;
            let amount = shrink.subtract.as_ref().and_then(|scalar| scalar.value);
            let subtract = amount.and_then(Milli::from_f64);
            Change::ShrinkVolume {
                volume: resource("shrink_volume.volume", shrink.volume.as_ref())?,
                subtract: subtract
                    .ok_or_else(|| InvalidField::new("shrink_volume.subtract", "must be an amount in MiB"))?,
            }
        }
        Type::Unknown | Type::Launch | Type::LaunchGroup | Type::CreateDisk | Type::DestroyDisk => {
            return Err(missing());
        }
    })
}

fn resource(field: &str, wire: Option<&v1::Resource>) -> Result<Box<Resource>, InvalidField> {
    let wire = wire.ok_or_else(|| InvalidField::missing(field))?;
    Resource::try_from(wire).map(Box::new).map_err(|error| error.within(field))
}

/// Writes what is known of an operation: its type and resources, or that its type is unknown, when nothing but its
/// agent's word is known.
pub(crate) fn operation_info(operation: &OfferOperation) -> Operation {
    let id = operation.status.operation.as_ref().map(Into::into);
    match (operation.kind, operation.conversion.as_deref()) {
        (Some(kind), Some(conversion)) => Operation { id, ..known(kind, conversion) },
        (None, _) | (_, None) => Operation { r#type: Some(Type::Unknown.into()), id, ..Operation::default() },
    }
}

fn known(kind: OperationKind, Conversion { consumed, converted }: &Conversion) -> Operation {
    let list = |resources: &Resources| resources_to_wire(resources, ReservationFormat::Both);
    let first = |resources: &Resources| list(resources).into_iter().next();
    let volume = || first(&consumed.filter(Resource::is_volume));
    let of = |kind: Type| Operation { r#type: Some(kind.into()), ..Operation::default() };
    match kind {
        OperationKind::Reserve => {
            let on_top = Resources::from_list(converted.iter().map(Resource::unreserved_once));
            let source = if on_top.as_ref() == Ok(consumed) { Vec::new() } else { list(consumed) };
            let reserve = Some(Reserve { source, resources: list(converted) });
            Operation { reserve, ..of(Type::Reserve) }
        }
        OperationKind::Unreserve => {
            let unreserve = Some(Unreserve { resources: list(consumed) });
            Operation { unreserve, ..of(Type::Unreserve) }
        }
        OperationKind::Create => {
            Operation { create: Some(Create { volumes: list(converted) }), ..of(Type::Create) }
        }
        OperationKind::Destroy => {
            Operation { destroy: Some(Destroy { volumes: list(consumed) }), ..of(Type::Destroy) }
        }
        OperationKind::GrowVolume => {
            let addition = first(&consumed.filter(|resource| !resource.is_volume()));
            let grow_volume = Some(GrowVolume { volume: volume(), addition });
            Operation { grow_volume, ..of(Type::GrowVolume) }
        }
        OperationKind::ShrinkVolume => {
            let freed = converted.iter().find(|resource| !resource.is_volume());
            let subtract = freed.and_then(|freed| match &freed.value {
                ResourceValue::Scalar(amount) => Some(v1::value::Scalar { value: Some(amount.to_f64()) }),
                ResourceValue::Ranges(_) | ResourceValue::Set(_) => None,
            });
            let shrink_volume = Some(ShrinkVolume { volume: volume(), subtract });
            Operation { shrink_volume, ..of(Type::ShrinkVolume) }
        }
    }
}
