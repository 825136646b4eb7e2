//! The processes: a core each, and what the shell around it does.

mod agent;
mod framework;
mod machine;
mod master;
mod operators;
mod program;

pub(crate) use agent::{AgentNode, KILL_GRACE, volume_id};
pub(crate) use framework::FrameworkNode;
#[cfg(test)]
pub(crate) use machine::Tenant;
pub(crate) use machine::{Container, LONG_LOG};
pub(crate) use master::{Held, MasterNode, caller};
pub(crate) use program::Act;
