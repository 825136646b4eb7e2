//! Decides which framework is offered what, and says why the others are not. Knows nothing of connections, messages or
//! clocks. Start at [`Allocator`], then [`Policy`].
#![forbid(unsafe_code)]

mod agent;
mod allocator;
mod charges;
mod clients;
mod drf;
mod eligible;
mod explain;
mod filter;
mod framework;
mod plan;
mod policy;
mod slots;
mod why;

pub use allocator::Allocator;
pub use drf::Drf;
pub use filter::{LEAST_REFUSAL, Refusal};
pub use framework::FrameworkInput;
pub use plan::{Plan, PlannedOffer};
pub use policy::{Client, Policy};
pub use slots::{AgentSlot, FrameworkSlot, RoleSlot};
pub use why::{Why, WhyKind};
