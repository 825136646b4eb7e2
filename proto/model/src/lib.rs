//! The words every other crate speaks: ids, time, resources, tasks, agents and frameworks, as plain immutable values.
//!
//! Nothing here reads a clock, talks to anyone or knows how a message is encoded. Start at [`Resources`], the
//! arithmetic everything rests on, then at [`TaskDescription`] and [`TaskStatus`].
#![forbid(unsafe_code)]

mod agent;
mod attribute;
mod capability;
mod disk;
mod error;
mod executor;
mod filters;
mod framework;
mod ids;
mod keys;
mod label;
mod machine;
mod made;
mod master;
mod milli;
mod numbered;
mod operation;
mod parse;
mod payload;
mod quantities;
mod ranges;
mod reason;
mod reservation;
mod resource;
mod resource_value;
mod resources;
mod role;
mod status;
mod task;
mod task_state;
mod time;

pub use agent::{AgentDescription, Domain};
pub use attribute::{Attribute, AttributeValue, Attributes};
pub use capability::{AgentCapability, FrameworkCapability};
pub use disk::{Disk, DiskKind, DiskSource, DiskVolume, Persistence};
pub use error::chain;
pub use executor::{ExecutorDescription, ExecutorKind};
pub use filters::{DEFAULT_REFUSAL, Filters, KillPolicy, MAX_REFUSAL};
pub use framework::{FrameworkDescription, MAX_FAILOVER_TIMEOUT};
pub use ids::{
    AgentId, ContainerId, ExecutorId, FrameworkId, InvalidId, MAX_ID_BYTES, OfferId, OperationId,
    OperationKey, TaskId,
};
pub use keys::{ExecutorKey, TaskKey, UpdateUuid};
pub use label::{Label, Labels};
pub use machine::{InvalidMachine, MachineId, Unavailability};
pub use master::MasterDescription;
pub use milli::Milli;
pub use numbered::UnknownNumber;
pub use operation::{Conversion, OperationKind, OperationState, OperationStatus};
pub use parse::ParseError;
pub use payload::Payload;
pub use quantities::Quantities;
pub use ranges::{Range, Ranges};
pub use reason::{Reason, Source};
pub use reservation::{Reservation, ReservationKind};
pub use resource::{Resource, resource_name};
pub use resource_value::ResourceValue;
pub use resources::{ResourceError, Resources};
pub use role::{InvalidRole, Role};
pub use status::TaskStatus;
pub use task::{Limit, TaskDescription};
pub use task_state::TaskState;
pub use time::{Mono, Now, Wall};

/// Text that is shared and never changed: names, messages, host names.
pub type Text = std::sync::Arc<str>;
