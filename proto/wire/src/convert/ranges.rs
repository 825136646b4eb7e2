//! Ranges and sets, of resources and attributes alike.

use std::collections::BTreeSet;

use chapada_model as model;

use super::InvalidField;
use super::error::each;
use crate::v1::value;

/// Ranges whose ends are both there and in order.
pub(super) fn ranges(field: &str, wire: Option<&value::Ranges>) -> Result<model::Ranges, InvalidField> {
    let wire = wire.ok_or_else(|| InvalidField::missing(field))?;
    let list = each("range", &wire.range, |range| {
        let begin = range.begin.ok_or_else(|| InvalidField::missing("begin"))?;
        let end = range.end.ok_or_else(|| InvalidField::missing("end"))?;
        if begin > end {
            return Err(InvalidField::new("begin", format_args!("{begin} is after the end, {end}")));
        }
        Ok(model::Range { begin, end })
    })
    .map_err(|error| error.within(field))?;
    Ok(model::Ranges::new(list))
}

pub(super) fn ranges_to_wire(ranges: &model::Ranges) -> value::Ranges {
    let range = |range: model::Range| value::Range { begin: Some(range.begin), end: Some(range.end) };
    value::Ranges { range: ranges.iter().map(range).collect() }
}

pub(super) fn set(field: &str, wire: Option<&value::Set>) -> Result<BTreeSet<model::Text>, InvalidField> {
    let wire = wire.ok_or_else(|| InvalidField::missing(field))?;
    Ok(wire.item.iter().map(|item| item.as_str().into()).collect())
}

pub(super) fn set_to_wire(set: &BTreeSet<model::Text>) -> value::Set {
    value::Set { item: set.iter().map(ToString::to_string).collect() }
}

/// An amount that can be counted in thousandths.
pub(super) fn scalar(field: &str, wire: Option<&value::Scalar>) -> Result<model::Milli, InvalidField> {
    let value = wire
        .and_then(|scalar| scalar.value)
        .ok_or_else(|| InvalidField::missing(format!("{field}.value")))?;
    model::Milli::from_f64(value).ok_or_else(|| {
        InvalidField::new(
            format!("{field}.value"),
            format_args!("{value} is not an amount from 0 to 2^53/1000"),
        )
    })
}

pub(super) fn scalar_to_wire(milli: model::Milli) -> value::Scalar {
    value::Scalar { value: Some(milli.to_f64()) }
}
