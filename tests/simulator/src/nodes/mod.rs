//! The processes: a core each, and what the shell around it does.

mod agent;
mod framework;
mod machine;
mod master;

pub(crate) use agent::{AgentNode, volume_id};
pub(crate) use framework::FrameworkNode;
pub(crate) use machine::LONG_LOG;
pub(crate) use master::{MasterNode, caller};
