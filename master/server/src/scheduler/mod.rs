//! The scheduler API: the same calls and events over HTTP and gRPC.
//!
//! - `http`: `POST /api/v1/scheduler` with its order of checks;
//! - `grpc`: `chapada.v1.scheduler.SchedulerService`;
//! - `parse`: a call off the wire into what the books take;
//! - `shape`: the rules for what the books do not look at;
//! - `event`: what the books say into events on the wire;
//! - `subscription`: a stream of events, with heartbeats, from SUBSCRIBE to its end.

mod constraints;
mod event;
mod grpc;
mod http;
mod operations;
mod parse;
#[cfg(test)]
mod rules;
mod shape;
mod subscription;

pub(crate) use self::constraints::constraints_said;
pub(crate) use self::event::{Writer, offer};
pub(crate) use self::grpc::SchedulerGrpc;
pub(crate) use self::http::{handle, principal, wrong_method};
pub(crate) use self::parse::{Parsed, parse};
