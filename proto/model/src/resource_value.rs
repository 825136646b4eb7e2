//! How much of a resource: a number, ranges or a set, each with its arithmetic.

use std::collections::BTreeSet;

use crate::{Milli, Ranges, Text};

/// How much of a resource there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum ResourceValue {
    /// An amount in thousandths: CPUs, MiB of memory, MiB of disk.
    Scalar(Milli),
    /// Numbers, each of which is a thing of its own: ports.
    Ranges(Ranges),
    /// Named things.
    Set(BTreeSet<Text>),
}

impl ResourceValue {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(milli) => milli.is_zero(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }

    /// Whether both are numbers, or both ranges, or both sets.
    pub fn same_shape(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Both together; `None` when the shapes differ, the sum is too large or something would be there twice.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a.checked_add(*b).map(Self::Scalar),
            (Self::Ranges(a), Self::Ranges(b)) => a.checked_add(b).map(Self::Ranges),
            (Self::Set(a), Self::Set(b)) => {
                a.is_disjoint(b).then(|| Self::Set(a.union(b).cloned().collect()))
            }
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => None,
        }
    }

    /// What is left without `other`; `None` when the shapes differ or `other` has something that is not here.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a.checked_sub(*b).map(Self::Scalar),
            (Self::Ranges(a), Self::Ranges(b)) => a.checked_sub(b).map(Self::Ranges),
            (Self::Set(a), Self::Set(b)) => {
                b.is_subset(a).then(|| Self::Set(a.difference(b).cloned().collect()))
            }
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => None,
        }
    }

    /// What is in both; nothing of this shape when the shapes differ.
    pub fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(*a.min(b)),
            (Self::Ranges(a), Self::Ranges(b)) => Self::Ranges(a.intersection(b)),
            (Self::Set(a), Self::Set(b)) => Self::Set(a.intersection(b).cloned().collect()),
            (Self::Scalar(_), _) => Self::Scalar(Milli::ZERO),
            (Self::Ranges(_), _) => Self::Ranges(Ranges::default()),
            (Self::Set(_), _) => Self::Set(BTreeSet::new()),
        }
    }

    /// Whether `other` can be taken out of this.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains(b),
            (Self::Set(a), Self::Set(b)) => b.is_subset(a),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => false,
        }
    }
}

impl std::fmt::Display for ResourceValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scalar(milli) => milli.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(set) => {
                let names: Vec<&str> = set.iter().map(|name| &**name).collect();
                write!(f, "{{{}}}", names.join(", "))
            }
        }
    }
}
