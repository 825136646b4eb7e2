//! Runs a scheduler in a unit test, against a simulated master with simulated agents, in virtual time, and names the rules that it
//! breaks. Start at [`TestKit`].
#![forbid(unsafe_code)]

mod agent;
mod call;
mod door;
mod fault;
mod kit;
mod rule;
mod world;

pub use fault::{Arrival, Fault};
pub use kit::{SimulatedTask, TestKit};
pub use rule::{Broken, Rule};

/// The README's code is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
