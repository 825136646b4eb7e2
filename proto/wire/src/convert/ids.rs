//! Ids.

use chapada_model as model;

use super::InvalidField;
use crate::v1;

macro_rules! id {
    ($($name:ident),+ $(,)?) => {$(
        inward!($name);

        impl From<&model::$name> for v1::$name {
            fn from(id: &model::$name) -> Self {
                Self { value: Some(id.as_str().to_owned()) }
            }
        }
    )+};
}

macro_rules! inward {
    ($name:ident) => {
        impl TryFrom<&v1::$name> for model::$name {
            type Error = InvalidField;

            fn try_from(id: &v1::$name) -> Result<Self, InvalidField> {
                let value = id.value.as_deref().ok_or_else(|| InvalidField::missing("value"))?;
                Self::new(value).map_err(|error| InvalidField::new("value", error))
            }
        }
    };
}

id!(FrameworkId, OfferId, AgentId, TaskId, ExecutorId, OperationId);
inward!(ContainerId);

/// Of a container that is nested in no other.
impl From<&model::ContainerId> for v1::ContainerId {
    fn from(id: &model::ContainerId) -> Self {
        Self { value: Some(id.as_str().to_owned()), parent: None }
    }
}
