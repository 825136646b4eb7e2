//! The master: the books of `chapada-master-core` behind a port.
//!
//! [`run`] is the daemon; [`Master`] is the same in two steps. Inside, `leadership` runs for leader and starts
//! `core_loop`, the thread that owns the books; `scheduler`, `agent_link` and the read-only APIs translate between it
//! and the wire; `routes` lists every door. [`edge`] is what they translate, without a connection.
#![forbid(unsafe_code)]

mod agent_api;
mod agent_link;
mod books;
mod changes;
mod clock;
mod config;
mod core_loop;
pub mod edge;
mod error;
mod feed;
mod forward;
mod leadership;
mod metrics;
mod operator;
mod pieces;
mod plain;
mod proxy;
mod query;
mod registry;
mod restore;
mod routes;
mod run;
#[cfg(test)]
mod sample;
mod scheduler;
mod shell;
mod step_down;
mod ui;
mod weights;

pub use chapada_listener::SetLevel;
pub use config::{
    DEFAULT_PORT, InvalidMinAllocatable, InvalidRate, MasterConfig, MinAllocatable, NoRemovalLimit,
    RefusedRemovalLimit, RemovalBrake, RemovalRate,
};
pub use error::Error;
pub use restore::{RestoreError, prepare as prepare_restored};
pub use routes::doors;
pub use run::{Master, run};
