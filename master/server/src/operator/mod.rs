//! The operator API: `POST /api/v1`, in JSON and protobuf.
//!
//! - `calls`: the order of checks and who answers which call;
//! - `view`: the books as messages;
//! - `subscribe`: the stream of what changes;
//! - `events`: what it carries.

mod calls;
mod events;
mod subscribe;
mod view;

pub(crate) use calls::handle;
