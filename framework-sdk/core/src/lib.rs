//! Decisions of a framework, as plain functions: does this offer fit and if not why, when to ask again, how long to
//! wait, which life of a task an update speaks of.
//!
//! Start at [`fits`]. Nothing here reads a clock, draws a random number or talks to anyone: those are arguments.
#![forbid(unsafe_code)]

mod backoff;
mod change;
mod constraint;
mod delay;
mod disks;
mod funnel;
mod intent;
mod matching;
mod mismatch;
mod nearest;
mod offer;
mod outbox;
mod placed;
mod ports;
mod reconcile;
mod request;

pub use backoff::Backoff;
pub use change::Change;
pub use constraint::{Constraint, Field, InvalidConstraint, Pattern, Place, Rule};
pub use delay::{Delay, DelayRule};
pub use disks::DiskWish;
pub use funnel::{Funnel, FunnelStep};
pub use intent::{Intent, IntentChange, Intents, NotAnIncarnation, Phase, TaskName};
pub use matching::{Placement, explain, fits, place};
pub use mismatch::{Mismatch, MismatchKind, WhyNot};
pub use nearest::{Lacking, Nearest, Search, fill};
pub use offer::Offer;
pub use outbox::Outbox;
pub use placed::{Placed, Tally};
pub use reconcile::{Heard, MAX_ROUND, MAX_UNREACHABLE, Reconciliation, ReconciliationConfig, Round};
pub use request::{PortWish, Request};
