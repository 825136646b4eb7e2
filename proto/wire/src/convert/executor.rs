//! Executors.

use chapada_model::{ExecutorDescription, ExecutorKind, Payload};
use prost::Message as _;

use super::error::{optional, required, text};
use super::{InvalidField, ReservationFormat, resources_from_wire, resources_to_wire};
use crate::v1;
use crate::v1::executor_info::Type;

impl TryFrom<&v1::ExecutorInfo> for ExecutorDescription {
    type Error = InvalidField;

    fn try_from(info: &v1::ExecutorInfo) -> Result<Self, InvalidField> {
        Ok(Self {
            id: required("executor_id", info.executor_id.as_ref())?,
            framework: optional("framework_id", info.framework_id.as_ref())?,
            kind: match info.r#type() {
                Type::Unknown => ExecutorKind::Unknown,
                Type::Default => ExecutorKind::Default,
                Type::Custom => ExecutorKind::Custom,
            },
            resources: resources_from_wire("resources", &info.resources)?,
            has_command: info.command.is_some(),
            name: text(info.name.as_ref()),
            // The resources are typed as a whole; whom they are allocated to must not make two executors differ.
            details: Payload::from(
                v1::ExecutorInfo { resources: Vec::new(), ..info.clone() }.encode_to_vec(),
            ),
        })
    }
}

/// The message it was made from, with the framework it belongs to.
impl From<&ExecutorDescription> for v1::ExecutorInfo {
    fn from(executor: &ExecutorDescription) -> Self {
        let mut info = if executor.details.is_empty() {
            typed(executor)
        } else {
            Self::decode(executor.details.as_bytes()).unwrap_or_else(|_| typed(executor))
        };
        info.resources = resources_to_wire(&executor.resources, ReservationFormat::Stacked);
        info.framework_id = executor.framework.as_ref().map(Into::into);
        info
    }
}

fn typed(executor: &ExecutorDescription) -> v1::ExecutorInfo {
    let kind = match executor.kind {
        ExecutorKind::Unknown => None,
        ExecutorKind::Default => Some(Type::Default),
        ExecutorKind::Custom => Some(Type::Custom),
    };
    v1::ExecutorInfo {
        r#type: kind.map(Into::into),
        executor_id: Some((&executor.id).into()),
        name: executor.name.as_ref().map(ToString::to_string),
        ..v1::ExecutorInfo::default()
    }
}
