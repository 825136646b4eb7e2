//! Limits above what a task asked for, and amounts by name.

use std::collections::BTreeMap;

use chapada_model::{Limit, Quantities, Text};

use super::InvalidField;
use super::ranges::{scalar, scalar_to_wire};
use crate::v1::value::Scalar;

pub(super) fn limits(wire: &BTreeMap<String, Scalar>) -> Result<BTreeMap<Text, Limit>, InvalidField> {
    let limit = |(name, value): (&String, &Scalar)| {
        let limit = match value.value {
            Some(value) if value == f64::INFINITY => Limit::Infinite,
            _ => Limit::Amount(scalar(&format!("limits[{name:?}]"), Some(value))?),
        };
        Ok((name.as_str().into(), limit))
    };
    wire.iter().map(limit).collect()
}

pub(super) fn limits_to_wire(limits: &BTreeMap<Text, Limit>) -> BTreeMap<String, Scalar> {
    let limit = |(name, limit): (&Text, &Limit)| {
        let value = match limit {
            Limit::Amount(milli) => scalar_to_wire(*milli),
            Limit::Infinite => Scalar { value: Some(f64::INFINITY) },
        };
        (name.to_string(), value)
    };
    limits.iter().map(limit).collect()
}

pub(super) fn quantities(field: &str, wire: &BTreeMap<String, Scalar>) -> Result<Quantities, InvalidField> {
    let amount = |(name, value): (&String, &Scalar)| {
        Ok((Text::from(name.as_str()), scalar(&format!("{field}[{name:?}]"), Some(value))?))
    };
    wire.iter().map(amount).collect()
}

pub(super) fn quantities_to_wire(quantities: &Quantities) -> BTreeMap<String, Scalar> {
    quantities.iter().map(|(name, amount)| (name.to_string(), scalar_to_wire(amount))).collect()
}
