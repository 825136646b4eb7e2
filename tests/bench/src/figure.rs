//! One measured number.

use std::fmt;

use serde::Serialize;

/// Its name starts with the row of the table it belongs to: `P23.rate`.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What was run: how many of what.
    pub(crate) shape: String,
}

impl Figure {
    pub(crate) fn new(name: &str, value: f64, unit: &'static str, shape: &str) -> Self {
        Self { name: name.to_owned(), value, unit, shape: shape.to_owned() }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:.2} {}", self.name, self.value, self.unit)
    }
}

/// The value below which this part of them lies; the values may come in any order.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = ((values.len() as f64 * part).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(index).copied().unwrap_or(f64::NAN)
}
