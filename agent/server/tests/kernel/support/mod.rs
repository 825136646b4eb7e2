//! A scripted master, and agents as tasks of the test or as processes of their own. Needs root and cgroups.

mod agent;
mod executor;
mod master;

pub(crate) use agent::{AgentProcess, InProcess, TestAgent, run_if_asked};
pub(crate) use executor::Speaker;
pub(crate) use master::{Link, ScriptedMaster, command_task, id_of, state_of};

use std::time::Duration;

/// Nothing here takes longer on a machine that does something else besides.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, and says what was waited for when it does not.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
