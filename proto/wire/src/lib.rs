//! The API messages and how they cross a connection: protobuf and JSON bodies, RecordIO streams, gRPC services,
//! and the conversions between wire messages and the model.
//!
//! - [`v1`]: the messages, one Rust module for each package below `chapada.v1`;
//! - [`link`]: the protocol between agent and master;
//! - [`explain`]: the allocator's reasons;
//! - [`Json`], [`decode_binary`]: bodies, with the check of required fields; [`Media`]: the two forms by their media types;
//! - [`convert`]: wire messages into the model and back;
//! - [`recordio`]: records on a byte stream;
//! - [`secrets`]: where the values of secrets are, and how they are taken out;
//! - [`DESCRIPTORS`]: what the `.proto` files say.

#![forbid(unsafe_code)]

pub mod convert;
mod decode;
mod generated;
mod grpc;
mod json;
mod media;
pub mod recordio;
pub mod secrets;

pub use decode::{DecodeError, check_required, decode_binary};
pub use generated::chapada::v1;
pub use json::{Json, JsonFields};
pub use media::{Media, Unreadable};

/// The link between an agent and the leading master (package `chapada.link.v1`).
pub mod link {
    pub use crate::generated::chapada::link::v1::*;
}

/// Why a framework is offered an agent, or is not (package `chapada.explain.v1`).
pub mod explain {
    pub use crate::generated::chapada::explain::v1::*;
}

/// The compiled `.proto` files as an encoded `google.protobuf.FileDescriptorSet`, with `required` as written there.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
