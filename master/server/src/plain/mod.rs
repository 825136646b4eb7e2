//! The endpoints that tools poll with a plain GET: `/state`, `/slaves`, `/tasks` and their like, in Mesos' JSON.

mod agents;
mod endpoints;
mod forms;
mod frameworks;
mod lists;
mod maintenance;
mod object;
mod registry;
mod resources;
mod role_settings;
mod roles;
mod state;
mod summary;
mod tasks;

pub(crate) use endpoints::{ENDPOINTS, Endpoint, answer, path_and_query};
pub(crate) use forms::{form_routes, read_form};
pub(crate) use maintenance::maintenance_routes;
pub(crate) use resources::attributes;
pub(crate) use role_settings::{read_role_setting, role_routes};
