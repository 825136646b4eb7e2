//! Operations on what is offered, for [`Driver::accept`](crate::Driver::accept): those before others in a list are done first.

use chapada_model::Resources;
use chapada_wire::convert::{ReservationFormat, resources_to_wire};
use chapada_wire::v1;
use v1::offer::Operation;
use v1::offer::operation::{Create, Destroy, Reserve, Type, Unreserve};

fn wire(resources: &Resources) -> Vec<v1::Resource> {
    resources_to_wire(resources, ReservationFormat::Stacked)
}

fn operation(kind: Type, fill: impl FnOnce(&mut Operation)) -> Operation {
    let mut operation = Operation::default();
    operation.set_type(kind);
    fill(&mut operation);
    operation
}

/// Keeps these: what is offered without the last of their reservations gets it.
pub fn reserve(resources: &Resources) -> Operation {
    let reserve = Reserve { resources: wire(resources), ..Default::default() };
    operation(Type::Reserve, |operation| operation.reserve = Some(reserve))
}

/// Keeps these no longer: they lose the last of their reservations. Volumes among them must be destroyed first.
pub fn unreserve(resources: &Resources) -> Operation {
    let unreserve = Unreserve { resources: wire(resources) };
    operation(Type::Unreserve, |operation| operation.unreserve = Some(unreserve))
}

/// Makes these volumes of reserved disks.
pub fn create(volumes: &Resources) -> Operation {
    let create = Create { volumes: wire(volumes) };
    operation(Type::Create, |operation| operation.create = Some(create))
}

/// Destroys these volumes and **all that is in them**.
pub fn destroy(volumes: &Resources) -> Operation {
    let destroy = Destroy { volumes: wire(volumes) };
    operation(Type::Destroy, |operation| operation.destroy = Some(destroy))
}
