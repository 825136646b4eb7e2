//! Fuzzing: for everything that reads bytes from outside, and for the cores behind it, one plain function of bytes that
//! must neither panic nor leave the books wrong.
//!
//! - [`TARGETS`]: the functions, each with its seeds;
//! - [`mutation`]: what is made of a seed, the same for the same number;
//! - [`corpus`]: seeds from recordings of a real Mesos, and every input that ever broke something;
//! - [`round`]: runs a function over seeds and what is made of them, on stable.
#![forbid(unsafe_code)]

pub mod corpus;
pub mod mutation;
pub mod round;
mod targets;
mod worlds;

pub use targets::{TARGETS, Target, target};
