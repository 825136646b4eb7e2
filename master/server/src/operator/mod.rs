//! The operator API: `POST /api/v1`, in JSON and protobuf.
//!
//! - `calls`: the order of checks and who answers which call;
//! - `operate`: reservations, volumes and the end of frameworks; `roles`: quotas and weights;
//! - `edge`: those two as plain functions;
//! - `maintenance`: machines that are away for a while;
//! - `agents`: agents that are taken out of service;
//! - `files`: the files of a master, which has none;
//! - `view`: the books as messages; `state`: those that may be large, an element at a time;
//! - `subscribe`: the stream of what changes;
//! - `events`: what it carries.

pub(crate) mod agents;
mod calls;
mod edge;
mod events;
mod files;
pub(crate) mod maintenance;
mod operate;
mod roles;
mod state;
mod subscribe;
pub(crate) mod view;

pub(crate) use calls::handle;
pub(crate) use edge::read_call;
pub(crate) use files::is_folder;
pub(crate) use operate::{agent_id, carry_out as carry_out_operation, changing, framework_id};
pub(crate) use roles::{carry_out, quota_status, remove_quota, set_quota, update_weights, weight_infos};
