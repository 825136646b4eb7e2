//! Decisions of a framework, as plain functions: does this offer fit and if not why, when to ask again, how long to
//! wait, which life of a task an update speaks of.
//!
//! Start at [`fits`]. Nothing here reads a clock, draws a random number or talks to anyone: those are arguments.
#![forbid(unsafe_code)]

mod backoff;
mod intent;
mod matching;
mod offer;
mod reconcile;
mod request;

pub use backoff::Backoff;
pub use intent::{Intent, IntentChange, Intents, NotAnIncarnation, Phase, TaskName};
pub use matching::{Mismatch, Placement, WhyNot, fits};
pub use offer::Offer;
pub use reconcile::{MAX_UNREACHABLE, Reconciliation, ReconciliationConfig, Round};
pub use request::{Constraint, PortWish, Request};
