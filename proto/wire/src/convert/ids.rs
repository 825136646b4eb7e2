//! Ids.

use chapada_model as model;

use super::InvalidField;
use crate::v1;

macro_rules! id {
    ($($wire:ident = $model:ident),+ $(,)?) => {$(
        impl TryFrom<&v1::$wire> for model::$model {
            type Error = InvalidField;

            fn try_from(id: &v1::$wire) -> Result<Self, InvalidField> {
                let value = id.value.as_deref().ok_or_else(|| InvalidField::missing("value"))?;
                Self::new(value).map_err(|error| InvalidField::new("value", error))
            }
        }

        impl From<&model::$model> for v1::$wire {
            fn from(id: &model::$model) -> Self {
                Self { value: Some(id.as_str().to_owned()), ..Self::default() }
            }
        }
    )+};
}

id!(
    FrameworkId = FrameworkId,
    OfferId = OfferId,
    AgentId = AgentId,
    TaskId = TaskId,
    ExecutorId = ExecutorId,
    ContainerId = ContainerId,
    OperationId = OperationId,
);
