//! Labels.

use chapada_model as model;

use super::InvalidField;
use super::error::{each, text};
use crate::v1;

pub(super) fn from_wire(field: &str, labels: Option<&v1::Labels>) -> Result<model::Labels, InvalidField> {
    let Some(labels) = labels else { return Ok(Vec::new()) };
    each("labels", &labels.labels, |label| {
        let key = label.key.as_deref().ok_or_else(|| InvalidField::missing("key"))?;
        Ok(model::Label { key: key.into(), value: text(label.value.as_ref()) })
    })
    .map_err(|error| error.within(field))
}

/// Nothing when there are none.
pub(super) fn to_wire(labels: &[model::Label]) -> Option<v1::Labels> {
    let label = |label: &model::Label| v1::Label {
        key: Some(label.key.to_string()),
        value: label.value.as_ref().map(ToString::to_string),
    };
    (!labels.is_empty()).then(|| v1::Labels { labels: labels.iter().map(label).collect() })
}
