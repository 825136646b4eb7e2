//! Why a message makes no sense although it is well formed.

use std::fmt::Display;

/// A field whose value cannot be what it is meant to be. Shown to the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct InvalidField {
    /// Where, as `resources[0].scalar.value`, from the message that was converted.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl InvalidField {
    /// A field with what is wrong with it.
    pub fn new(path: impl Into<String>, problem: impl Display) -> Self {
        Self { path: path.into(), problem: problem.to_string() }
    }

    /// A field that is missing although it is needed.
    #[must_use]
    pub fn missing(path: impl Into<String>) -> Self {
        Self::new(path, "is required")
    }

    /// The same, seen from the message that holds the one it is about.
    #[must_use]
    pub fn within(self, outer: impl Display) -> Self {
        Self { path: format!("{outer}.{}", self.path), problem: self.problem }
    }
}

/// Converts the element of each index, naming the index in the error.
pub(super) fn each<'a, W, M>(
    field: &str,
    wire: &'a [W],
    convert: impl Fn(&'a W) -> Result<M, InvalidField>,
) -> Result<Vec<M>, InvalidField> {
    let mut all = Vec::with_capacity(wire.len());
    for (index, element) in wire.iter().enumerate() {
        all.push(convert(element).map_err(|error| error.within(format!("{field}[{index}]")))?);
    }
    Ok(all)
}

/// Converts a message that must be there.
pub(super) fn required<'a, W, M: TryFrom<&'a W, Error = InvalidField>>(
    field: &str,
    wire: Option<&'a W>,
) -> Result<M, InvalidField> {
    optional(field, wire)?.ok_or_else(|| InvalidField::missing(field))
}

/// Converts a message that may be there.
pub(super) fn optional<'a, W, M: TryFrom<&'a W, Error = InvalidField>>(
    field: &str,
    wire: Option<&'a W>,
) -> Result<Option<M>, InvalidField> {
    wire.map(|wire| M::try_from(wire).map_err(|error| error.within(field))).transpose()
}

/// Text that may be there.
pub(super) fn text(wire: Option<&String>) -> Option<chapada_model::Text> {
    wire.map(|text| text.as_str().into())
}
