//! Resources and attributes as the plain endpoints write them.

use std::collections::BTreeMap;

use chapada_model::{Attribute, AttributeValue, Milli, Ranges, Resource, ResourceValue, Resources};
use serde::Serialize;

/// A number or text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Plain {
    Number(f64),
    Text(String),
}

/// All amounts by name; cpus, gpus, mem and disk always, ranges and sets as text.
pub(super) fn resources<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> BTreeMap<String, Plain> {
    let mut scalars: BTreeMap<&str, Milli> =
        ["cpus", "gpus", "mem", "disk"].into_iter().map(|name| (name, Milli::ZERO)).collect();
    let mut ranges: BTreeMap<&str, Ranges> = BTreeMap::new();
    let mut texts = BTreeMap::new();
    for resource in resources {
        match &resource.value {
            ResourceValue::Scalar(amount) => {
                let sum = scalars.entry(&resource.name).or_default();
                *sum = sum.checked_add(*amount).unwrap_or(*sum);
            }
            ResourceValue::Ranges(more) => {
                let sum = ranges.entry(&resource.name).or_default();
                *sum = Ranges::new(sum.iter().chain(more.iter()));
            }
            ResourceValue::Set(_) => {
                drop(texts.insert(resource.name.to_string(), resource.value.to_string()))
            }
        }
    }
    let scalars = scalars.into_iter().map(|(name, amount)| (name.to_owned(), Plain::Number(amount.to_f64())));
    let ranges = ranges.into_iter().map(|(name, ranges)| (name.to_owned(), Plain::Text(ranges.to_string())));
    let texts = texts.into_iter().map(|(name, text)| (name, Plain::Text(text)));
    scalars.chain(ranges).chain(texts).collect()
}

/// What is kept for roles, by role.
pub(super) fn reserved(total: &Resources) -> BTreeMap<String, BTreeMap<String, Plain>> {
    let roles = total.iter().filter_map(Resource::reserved_role).collect::<std::collections::BTreeSet<_>>();
    let of = |role| resources(total.iter().filter(|resource| resource.reserved_role() == Some(role)));
    roles.into_iter().map(|role| (role.to_string(), of(role))).collect()
}

/// What is kept for nobody.
pub(super) fn unreserved(total: &Resources) -> BTreeMap<String, Plain> {
    resources(total.iter().filter(|resource| resource.reserved_role().is_none()))
}

/// Attributes by name: numbers as numbers, everything else as text.
pub(crate) fn attributes(attributes: &[Attribute]) -> BTreeMap<String, Plain> {
    let plain = |value: &AttributeValue| match value {
        AttributeValue::Scalar(number) => Plain::Number(number.to_f64()),
        AttributeValue::Ranges(_) | AttributeValue::Set(_) | AttributeValue::Text(_) => {
            Plain::Text(value.to_string())
        }
    };
    attributes.iter().map(|attribute| (attribute.name.to_string(), plain(&attribute.value))).collect()
}
