//! Spans and points in time, and what is made of them.

use std::time::Duration;

use chapada_model as model;

use super::InvalidField;
use crate::v1;

/// A span of time that may be there, of the field of this name.
///
/// # Errors
/// It has no length, or a negative one.
pub fn duration_from_wire(
    field: &str,
    wire: Option<&v1::DurationInfo>,
) -> Result<Option<Duration>, InvalidField> {
    let Some(wire) = wire else { return Ok(None) };
    let nanoseconds =
        wire.nanoseconds.ok_or_else(|| InvalidField::missing(format!("{field}.nanoseconds")))?;
    let nanoseconds = u64::try_from(nanoseconds)
        .map_err(|_| InvalidField::new(format!("{field}.nanoseconds"), "must not be negative"))?;
    Ok(Some(Duration::from_nanos(nanoseconds)))
}

/// A span of time; at most 292 years.
#[must_use]
pub fn duration_to_wire(duration: Duration) -> v1::DurationInfo {
    v1::DurationInfo { nanoseconds: Some(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)) }
}

/// A point in time; none after the year 2262.
#[must_use]
pub fn wall_to_wire(wall: model::Wall) -> v1::TimeInfo {
    v1::TimeInfo { nanoseconds: Some(i64::try_from(wall.0).unwrap_or(i64::MAX)) }
}

/// A point in time; before 1970 counts as 1970.
#[must_use]
pub fn wall_from_wire(wire: &v1::TimeInfo) -> Option<model::Wall> {
    wire.nanoseconds.map(|nanoseconds| model::Wall(u64::try_from(nanoseconds).unwrap_or(0)))
}

impl From<&v1::Filters> for model::Filters {
    fn from(filters: &v1::Filters) -> Self {
        Self::from_seconds(filters.refuse_seconds)
    }
}

impl From<&model::Filters> for v1::Filters {
    fn from(filters: &model::Filters) -> Self {
        Self { refuse_seconds: Some(filters.refuse.as_secs_f64()) }
    }
}

impl TryFrom<&v1::KillPolicy> for model::KillPolicy {
    type Error = InvalidField;

    fn try_from(policy: &v1::KillPolicy) -> Result<Self, InvalidField> {
        Ok(Self { grace_period: duration_from_wire("grace_period", policy.grace_period.as_ref())? })
    }
}

impl From<&model::KillPolicy> for v1::KillPolicy {
    fn from(policy: &model::KillPolicy) -> Self {
        Self { grace_period: policy.grace_period.map(duration_to_wire) }
    }
}
