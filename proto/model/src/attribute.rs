//! What an operator says about an agent: its rack, its kind of disk.

use std::collections::BTreeSet;

use crate::{Milli, Ranges, Text};

/// One thing said about an agent. A name may be there more than once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attribute {
    /// What it is about.
    pub name: Text,
    /// What it says.
    pub value: AttributeValue,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AttributeValue {
    /// A number.
    Scalar(Milli),
    /// Ranges of numbers.
    Ranges(Ranges),
    /// Names.
    Set(BTreeSet<Text>),
    /// Anything else.
    Text(Text),
}

/// An agent's attributes in the order they were given.
pub type Attributes = Vec<Attribute>;

impl std::fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scalar(milli) => milli.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(set) => {
                let names: Vec<&str> = set.iter().map(|name| &**name).collect();
                write!(f, "{{{}}}", names.join(", "))
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}
