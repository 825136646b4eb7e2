//! The services framework: Marathon's REST API and its scheduler, on the SDK and nothing below it.
//!
//! Start at [`run`]. What is decided is decided in `chapada-services-core`; this crate carries events to it and its
//! effects to the master, the store and the clients.
#![forbid(unsafe_code)]

mod access;
mod actor;
mod calls;
mod carry;
mod clock;
mod config;
mod describe;
mod error;
mod figures;
mod handle;
mod http;
mod hub;
mod identity;
mod listen_in;
mod prober;
mod render;
mod run;
mod secrets;
mod seen;
mod standing;
mod store;
#[cfg(test)]
mod tests;
mod turn;

pub use access::AccessError;
pub use chapada_listener::SetLevel;
pub use config::{DEFAULT_PORT, ServicesConfig};
pub use error::Error;
pub use run::run;
