//! Decides which framework is offered what, and says why the others are not. Knows nothing of connections, messages or
//! clocks. Start at [`Allocator`], then [`Policy`].
#![forbid(unsafe_code)]

mod agent;
mod allocator;
mod amounts;
mod bits;
mod charges;
mod clients;
mod constraints;
mod drf;
mod eligible;
mod explain;
mod filter;
mod framework;
mod in_use;
mod pack;
mod plan;
mod policy;
mod quota;
mod random;
mod role;
mod sharing;
mod slots;
mod tally;
mod tree;
mod why;

pub use agent::AgentInput;
pub use allocator::Allocator;
pub use amounts::{Amounts, NameSlot};
pub use constraints::{
    Constraint, Constraints, Expressions, InvalidConstraint, MAX_CONSTRAINTS, Predicate, Subject,
};
pub use drf::{DominantShare, Drf};
pub use explain::Explanation;
pub use filter::{LEAST_REFUSAL, Refusal};
pub use framework::FrameworkInput;
pub use pack::{Pack, PackedShare};
pub use plan::{Plan, PlannedOffer};
pub use policy::{Client, Policy, PolicyName, UnknownPolicy};
pub use quota::Quota;
pub use random::{Lottery, RandomOrder};
pub use slots::{AgentSlot, ClientSlot, FrameworkSlot, RoleSlot};
pub use tree::{Occasion, RoleTree, Score, Standing};
pub use why::{Why, WhyKind};
