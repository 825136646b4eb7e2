//! Records of operations as bytes.

use std::sync::Arc;

use chapada_agent_core::Record;
use chapada_model::{OperationStatus, Resources};
use chapada_wire::convert::{
    ReservationFormat, operation_status_from_wire, resources_from_wire, resources_to_wire,
};
use chapada_wire::v1;

/// What operations have made by now.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MadeEntry {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<v1::Resource>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OperationEntry {
    #[prost(message, optional, tag = "1")]
    made: Option<MadeEntry>,
    #[prost(string, tag = "2")]
    key: String,
    /// Empty when an operator asked for it.
    #[prost(string, tag = "3")]
    framework: String,
    #[prost(message, optional, tag = "4")]
    status: Option<v1::OperationStatus>,
}

pub(crate) fn made_entry(made: &Resources) -> MadeEntry {
    MadeEntry { resources: resources_to_wire(made, ReservationFormat::Stacked) }
}

pub(crate) fn made_of(entry: &MadeEntry) -> Option<Resources> {
    resources_from_wire("made", &entry.resources).ok()
}

pub(crate) fn operation_entry(made: &Resources, status: &OperationStatus) -> OperationEntry {
    OperationEntry {
        made: Some(made_entry(made)),
        key: status.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        framework: status.framework.as_ref().map(ToString::to_string).unwrap_or_default(),
        status: Some(status.into()),
    }
}

pub(crate) fn operation_of(entry: &OperationEntry) -> Option<Record> {
    let key = entry.key.parse().ok()?;
    let framework = match entry.framework.as_str() {
        "" => None,
        framework => Some(framework.parse().ok()?),
    };
    let status = operation_status_from_wire(key, framework, entry.status.as_ref()?).ok()?;
    Some(Record::Operation { made: made_of(entry.made.as_ref()?)?, status: Arc::new(status) })
}
