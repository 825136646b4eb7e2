//! Resources and attributes as the plain endpoints write them.

use std::collections::BTreeMap;

use chapada_model::{Attribute, AttributeValue, Milli, Ranges, Resource, ResourceValue, Resources};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::object::{quantity, text};

/// A number or text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Plain {
    Number(f64),
    Text(String),
}

/// What is always written, in the order of names.
const ALWAYS: [&str; 4] = ["cpus", "disk", "gpus", "mem"];

/// Amounts by name: cpus, disk, gpus and mem always, ranges and sets as text. One of nothing but those four, as most are,
/// takes no memory of its own.
#[derive(Debug, Default)]
pub(super) struct Amounts<'a> {
    always: [Milli; ALWAYS.len()],
    others: BTreeMap<&'a str, Other>,
}

#[derive(Debug)]
enum Other {
    Scalar(Milli),
    Ranges(Ranges),
    Text(String),
}

impl<'a> Amounts<'a> {
    fn add(&mut self, resource: &'a Resource) {
        let name: &str = &resource.name;
        match &resource.value {
            ResourceValue::Scalar(amount) => {
                let sum = match ALWAYS.iter().position(|known| *known == name) {
                    Some(index) => &mut self.always[index],
                    None => match self.others.entry(name).or_insert(Other::Scalar(Milli::ZERO)) {
                        Other::Scalar(sum) => sum,
                        // Of two shapes under one name, the first is shown.
                        Other::Ranges(_) | Other::Text(_) => return,
                    },
                };
                *sum = sum.checked_add(*amount).unwrap_or(*sum);
            }
            ResourceValue::Ranges(more) => {
                if let Other::Ranges(sum) =
                    self.others.entry(name).or_insert(Other::Ranges(Ranges::default()))
                {
                    *sum = Ranges::new(sum.iter().chain(more.iter()));
                }
            }
            ResourceValue::Set(_) => drop(self.others.insert(name, Other::Text(resource.value.to_string()))),
        }
    }
}

impl Amounts<'_> {
    /// Appends them, as [`Serialize`] has them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (key, amount) in ["{\"cpus\":", ",\"disk\":", ",\"gpus\":", ",\"mem\":"].iter().zip(self.always) {
            out.extend_from_slice(key.as_bytes());
            quantity(out, amount);
        }
        for (name, other) in &self.others {
            out.push(b',');
            text(out, name);
            out.push(b':');
            match other {
                Other::Scalar(amount) => quantity(out, *amount),
                Other::Ranges(ranges) => text(out, &ranges.to_string()),
                Other::Text(sets) => text(out, sets),
            }
        }
        out.push(b'}');
    }
}

impl Serialize for Amounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, amount) in ALWAYS.iter().zip(self.always) {
            map.serialize_entry(name, &amount.to_f64())?;
        }
        for (name, other) in &self.others {
            match other {
                Other::Scalar(amount) => map.serialize_entry(name, &amount.to_f64())?,
                Other::Ranges(ranges) => map.serialize_entry(name, &ranges.to_string())?,
                Other::Text(text) => map.serialize_entry(name, text)?,
            }
        }
        map.end()
    }
}

/// All amounts together.
pub(super) fn resources<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Amounts<'a> {
    let mut amounts = Amounts::default();
    resources.into_iter().for_each(|resource| amounts.add(resource));
    amounts
}

/// What is kept for roles, by role.
pub(super) fn reserved(total: &Resources) -> BTreeMap<String, Amounts<'_>> {
    let roles = total.iter().filter_map(Resource::reserved_role).collect::<std::collections::BTreeSet<_>>();
    let of = |role| resources(total.iter().filter(|resource| resource.reserved_role() == Some(role)));
    roles.into_iter().map(|role| (role.to_string(), of(role))).collect()
}

/// What is kept for nobody.
pub(super) fn unreserved(total: &Resources) -> Amounts<'_> {
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

#[cfg(test)]
mod tests {
    use chapada_model::Resources;

    use super::*;

    #[test]
    fn amounts_are_written_as_they_are_serialised() {
        let text = "cpus:0.1;mem:32;ports:[31000-31001,31005-31005];bugs:{a,b};foo:1.5";
        let parsed: Resources = text.parse().unwrap();
        for shown in [resources(&parsed), resources(&Resources::EMPTY)] {
            let mut ours = Vec::new();
            shown.write(&mut ours);
            assert_eq!(String::from_utf8(ours).unwrap(), serde_json::to_string(&shown).unwrap());
        }
    }
}
