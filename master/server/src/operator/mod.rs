//! The operator API: `POST /api/v1`, in JSON and protobuf.
//!
//! - `calls`: the order of checks and who answers which call;
//! - `roles`: quotas and weights;
//! - `view`: the books as messages;
//! - `subscribe`: the stream of what changes;
//! - `events`: what it carries.

mod calls;
mod events;
mod roles;
mod subscribe;
mod view;

pub(crate) use calls::handle;
pub(crate) use roles::{carry_out, quota_status, remove_quota, set_quota, update_weights, weight_infos};
