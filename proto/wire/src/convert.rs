//! Wire messages into the model and back.
//!
//! Inward is `TryFrom` on a reference, and the error names the field; outward cannot fail. A description keeps the
//! whole message it was made from as its `details`, so that nothing is lost that the model does not know.

mod agent;
mod attribute;
mod error;
mod executor;
mod extras;
mod framework;
mod ids;
mod labels;
mod limits;
mod machine;
mod master;
mod offer;
mod operation;
mod ranges;
mod reservation;
mod resource;
mod status;
mod task;
mod time;

pub use agent::domain_from_json;
pub use error::InvalidField;
pub use extras::{TaskExtras, check_status, container_status, task_extras};
pub use offer::OfferParts;
pub use operation::{operation_status_from_wire, operation_uuid};
pub use reservation::ReservationFormat;
pub use resource::{resource_to_wire, resources_from_json, resources_from_wire, resources_to_wire};
pub use task::{task_from_bytes, task_record};
pub use time::{duration_from_wire, duration_to_wire, wall_from_wire, wall_to_wire};
