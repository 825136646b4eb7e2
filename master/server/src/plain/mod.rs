//! The endpoints that tools poll with a plain GET: `/state`, `/slaves`, `/tasks` and their like, in Mesos' JSON.

mod agents;
mod body;
mod endpoints;
mod frameworks;
mod resources;
mod roles;
mod state;
mod tasks;

pub(crate) use endpoints::{ENDPOINTS, Endpoint, answer, path_and_query};
pub(crate) use resources::attributes;
