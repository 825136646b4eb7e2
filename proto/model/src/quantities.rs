//! Amounts by name, without regard to who they are kept for: what shares, quota and minimums are counted in.

use std::collections::BTreeMap;

use crate::{Milli, ResourceValue, Resources, Text};

/// Amounts by name. A name that is not there counts as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quantities(pub BTreeMap<Text, Milli>);

impl Quantities {
    /// How much of a name.
    pub fn get(&self, name: &str) -> Milli {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Puts an amount to a name. Stops at the largest amount.
    pub fn add(&mut self, name: &Text, amount: Milli) {
        let entry = self.0.entry(name.clone()).or_default();
        *entry = Milli(entry.0.saturating_add(amount.0));
    }

    /// Whether there is as much of every name as in `other`.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, amount)| self.get(name) >= *amount)
    }

    /// Each name with its amount.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, Milli)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    /// Whether no name has an amount.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(|amount| amount.is_zero())
    }
}

impl std::fmt::Display for Quantities {
    /// Source: Mesos writes amounts so in its answers, `cpus:2; mem:64`, and `{}` for none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (index, (name, amount)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name}:{amount}")?;
        }
        Ok(())
    }
}

impl From<&Resources> for Quantities {
    /// The amounts only: ranges and sets do not count toward a share.
    fn from(resources: &Resources) -> Self {
        let mut sum = Self::default();
        for resource in resources {
            match &resource.value {
                ResourceValue::Scalar(amount) => sum.add(&resource.name, *amount),
                ResourceValue::Ranges(_) | ResourceValue::Set(_) => {}
            }
        }
        sum
    }
}

impl<N: Into<Text>> FromIterator<(N, Milli)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (N, Milli)>>(pairs: I) -> Self {
        let mut sum = Self::default();
        for (name, amount) in pairs {
            sum.add(&name.into(), amount);
        }
        sum
    }
}
