//! Resources and attributes as operators write them on a command line.

use std::collections::BTreeSet;

use crate::{
    Attribute, AttributeValue, Attributes, InvalidRole, Milli, Range, Ranges, Reservation, Resource,
    ResourceError, ResourceValue, Resources, Role, Text,
};

/// What is wrong with a text, and with which part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A part is not a name, a colon and a value.
    #[error("'{0}' is not of the form name:value")]
    NotAPair(String),
    /// The value is not a number, ranges like [31000-32000] or a set like {{a,b}}.
    #[error("the value of '{0}' is none of a number, ranges like [31000-32000] and a set like {{a,b}}")]
    BadValue(String),
    /// The role in the parentheses is none.
    #[error("the role in '{part}' is not valid")]
    BadRole {
        /// The part it is in.
        part: String,
        /// What is wrong with it.
        #[source]
        source: InvalidRole,
    },
    /// A resource is there twice in a way that cannot be added up.
    #[error("a resource is given twice")]
    Twice(#[source] ResourceError),
}

impl std::str::FromStr for Resources {
    type Err = ParseError;

    /// Reads `cpus:4;mem:1024;ports:[31000-32000];disk(role):2048`. The amounts of `mem` and `disk` are MiB.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut list = Vec::new();
        for part in parts(text) {
            let (name, value) = pair(part)?;
            let (name, role) = split_role(name, part)?;
            let mut resource = Resource::new(name, resource_value(value, part)?);
            if let Some(role) = role.filter(|role| !role.is_star()) {
                resource.reservations.push(Reservation::fixed(role));
            }
            list.push(resource);
        }
        Resources::from_list(list).map_err(ParseError::Twice)
    }
}

impl Attribute {
    /// Reads `rack:a1;level:10;zones:{a,b}`. What looks like no number, ranges or set is text.
    ///
    /// # Errors
    /// [`ParseError::NotAPair`] for a part without a name or a colon.
    pub fn parse_list(text: &str) -> Result<Attributes, ParseError> {
        parts(text)
            .map(|part| {
                let (name, value) = pair(part)?;
                Ok(Attribute { name: name.into(), value: attribute_value(value) })
            })
            .collect()
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty())
}

fn pair(part: &str) -> Result<(&str, &str), ParseError> {
    match part.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim(), value.trim()))
        }
        Some(_) | None => Err(ParseError::NotAPair(part.to_owned())),
    }
}

fn split_role<'a>(name: &'a str, part: &str) -> Result<(&'a str, Option<Role>), ParseError> {
    let Some((name, rest)) = name.split_once('(') else { return Ok((name, None)) };
    let role = rest.trim_end().strip_suffix(')').ok_or_else(|| ParseError::NotAPair(part.to_owned()))?;
    let role =
        Role::new(role.trim()).map_err(|source| ParseError::BadRole { part: part.to_owned(), source })?;
    match name.trim() {
        "" => Err(ParseError::NotAPair(part.to_owned())),
        name => Ok((name, Some(role))),
    }
}

fn resource_value(value: &str, part: &str) -> Result<ResourceValue, ParseError> {
    let parsed = match attribute_value(value) {
        AttributeValue::Scalar(milli) => Some(ResourceValue::Scalar(milli)),
        AttributeValue::Ranges(ranges) => Some(ResourceValue::Ranges(ranges)),
        AttributeValue::Set(set) => Some(ResourceValue::Set(set)),
        AttributeValue::Text(_) => None,
    };
    parsed.ok_or_else(|| ParseError::BadValue(part.to_owned()))
}

fn attribute_value(value: &str) -> AttributeValue {
    let text = || AttributeValue::Text(value.into());
    if let Some(inner) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return ranges(inner).map_or_else(text, AttributeValue::Ranges);
    }
    if let Some(inner) = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let names: BTreeSet<Text> =
            inner.split(',').map(str::trim).filter(|n| !n.is_empty()).map(Text::from).collect();
        return AttributeValue::Set(names);
    }
    let number = value.parse::<f64>().ok().and_then(Milli::from_f64);
    number.map_or_else(text, AttributeValue::Scalar)
}

fn ranges(inner: &str) -> Option<Ranges> {
    let one = |range: &str| {
        let (begin, end) = range.split_once('-')?;
        let (begin, end) = (begin.trim().parse().ok()?, end.trim().parse().ok()?);
        (begin <= end).then_some(Range { begin, end })
    };
    inner.split(',').map(str::trim).filter(|range| !range.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_operators_write() {
        let resources: Resources =
            "cpus:4; mem(*):1024;ports:[31000-32000, 80-80];disk(ops/db):0.5;d:{a, b}".parse().unwrap();
        assert_eq!(resources.cpus(), Milli(4_000));
        assert_eq!(resources.ports().next(), Some(80));
        let disk = resources.iter().find(|r| &*r.name == "disk").unwrap();
        assert_eq!(disk.reserved_role().unwrap().as_str(), "ops/db");
        assert_eq!(disk.value, ResourceValue::Scalar(Milli(500)));
        assert_eq!("cpus:1;cpus:2".parse::<Resources>().unwrap().cpus(), Milli(3_000));
        assert!("".parse::<Resources>().unwrap().is_empty());
    }

    #[test]
    fn names_the_part_that_is_wrong() {
        let message = |text: &str| text.parse::<Resources>().unwrap_err().to_string();
        assert_eq!(message("cpus"), "'cpus' is not of the form name:value");
        assert!(message("cpus:-1").contains("'cpus:-1'"));
        assert!(message("cpus:many").contains("'cpus:many'"));
        assert!(message("ports:[5-1]").contains("ports"));
        assert!(message("disk(a//b):1").contains("role"));
        assert_eq!(message("ports:[1-5];ports:[4-6]"), "a resource is given twice");
        assert!(message("cpus(ops:1").contains("name:value"));
    }

    #[test]
    fn attributes_may_be_text() {
        let list = Attribute::parse_list("rack:a1;level:10;n:[1-2];url:http://x:80/").unwrap();
        assert_eq!(list[0].value, AttributeValue::Text("a1".into()));
        assert_eq!(list[1].value, AttributeValue::Scalar(Milli(10_000)));
        assert_eq!(list[3].value, AttributeValue::Text("http://x:80/".into()));
        assert!(Attribute::parse_list(":x").is_err());
    }
}
