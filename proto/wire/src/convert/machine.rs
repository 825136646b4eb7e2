//! Machines and when they will be away.

use std::time::Duration;

use chapada_model::{MachineId, Unavailability, Wall};

use super::{InvalidField, duration_to_wire, wall_to_wire};
use crate::v1;

impl TryFrom<&v1::MachineId> for MachineId {
    type Error = InvalidField;

    fn try_from(machine: &v1::MachineId) -> Result<Self, InvalidField> {
        MachineId::new(machine.hostname(), machine.ip()).map_err(|why| InvalidField::new("machine", why))
    }
}

impl From<&MachineId> for v1::MachineId {
    fn from(machine: &MachineId) -> Self {
        Self {
            hostname: machine.hostname().map(|hostname| hostname.to_string()),
            ip: machine.ip().map(|ip| ip.to_string()),
        }
    }
}

impl TryFrom<&v1::Unavailability> for Unavailability {
    type Error = InvalidField;

    fn try_from(wire: &v1::Unavailability) -> Result<Self, InvalidField> {
        let nanoseconds = |field: &str, said: Option<i64>| {
            let said = said.ok_or_else(|| InvalidField::missing(field))?;
            u64::try_from(said)
                .map_err(|_| InvalidField::new(field, format!("is negative: {said}; say 0 or more")))
        };
        let start = wire.start.as_ref().ok_or_else(|| InvalidField::missing("start"))?;
        let start = Wall(nanoseconds("start.nanoseconds", start.nanoseconds)?);
        let duration = wire.duration.as_ref();
        let duration =
            duration.map(|span| nanoseconds("duration.nanoseconds", span.nanoseconds)).transpose()?;
        Ok(Self { start, duration: duration.map(Duration::from_nanos) })
    }
}

impl From<&Unavailability> for v1::Unavailability {
    fn from(times: &Unavailability) -> Self {
        Self { start: Some(wall_to_wire(times.start)), duration: times.duration.map(duration_to_wire) }
    }
}
