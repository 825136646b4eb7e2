//! `--min-allocatable-resources`.

use std::fmt;
use std::str::FromStr;

use chapada_model::{Milli, Quantities, ResourceValue, Resources};

/// What is worth an offer: any one of these. Said as Mesos has it, `cpus:0.01|mem:32`; nothing at all takes everything.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MinAllocatable(Vec<Quantities>);

/// A part of it that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{part}' is no list of amounts such as cpus:0.01;mem:32")]
pub struct InvalidMinAllocatable {
    part: String,
}

impl MinAllocatable {
    pub(crate) fn into_quantities(self) -> Vec<Quantities> {
        self.0
    }
}

/// Source: Mesos.
impl Default for MinAllocatable {
    fn default() -> Self {
        let one = |name: &str, amount| [(name, amount)].into_iter().collect();
        Self(vec![one("cpus", Milli(10)), one("mem", Milli::whole(32))])
    }
}

impl FromStr for MinAllocatable {
    type Err = InvalidMinAllocatable;

    fn from_str(text: &str) -> Result<Self, InvalidMinAllocatable> {
        let amounts = |part: &str| {
            let read = part.parse::<Resources>().ok();
            // Ports and sets have no amount, and what is reserved is not told from what is not.
            let is_plain = |all: &Resources| {
                all.iter()
                    .all(|one| one.reservations.is_empty() && matches!(one.value, ResourceValue::Scalar(_)))
            };
            let amounts = read.filter(is_plain).map(|all| Quantities::from(&all));
            amounts
                .filter(|amounts| !amounts.is_empty())
                .ok_or_else(|| InvalidMinAllocatable { part: part.to_owned() })
        };
        let parts = text.split('|').map(str::trim).filter(|_| !text.trim().is_empty());
        Ok(Self(parts.map(amounts).collect::<Result<_, _>>()?))
    }
}

impl TryFrom<String> for MinAllocatable {
    type Error = InvalidMinAllocatable;
    fn try_from(text: String) -> Result<Self, InvalidMinAllocatable> {
        text.parse()
    }
}

impl From<MinAllocatable> for String {
    fn from(least: MinAllocatable) -> Self {
        least.to_string()
    }
}

impl fmt::Display for MinAllocatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, amounts) in self.0.iter().enumerate() {
            let bar = if index == 0 { "" } else { "|" };
            let parts: Vec<String> =
                amounts.iter().map(|(name, amount)| format!("{name}:{amount}")).collect();
            write!(f, "{bar}{}", parts.join(";"))?;
        }
        Ok(())
    }
}
