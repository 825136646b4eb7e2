//! A scripted master, and agents as tasks of the test or as processes of their own. Needs root and cgroups.

mod agent;
mod executor;
mod machine;
mod master;
mod registry;
mod stream;

pub(crate) use agent::{AgentProcess, InProcess, TestAgent, run_if_asked};
pub(crate) use executor::Speaker;
pub(crate) use machine::on_a_machine;
pub(crate) use master::{Link, ScriptedMaster, command_task, id_of, state_of};
pub(crate) use registry::Registry;
pub(crate) use stream::{Input, Output};

use std::time::Duration;

use chapada_wire::v1;

/// Nothing here takes longer on a machine that does something else besides.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds, and says what was waited for when it does not.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same for what is there then.
pub(crate) async fn eventually_some<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same for what has to be asked for.
pub(crate) async fn eventually_async(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An agent that a master has admitted.
pub(crate) async fn registered() -> (ScriptedMaster, TestAgent, InProcess, Link) {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let running = InProcess::start(&agent);
    let link = master.welcome(1).await;
    (master, agent, running, link)
}

/// One that runs the task `t`, too, which ends only when it is killed.
pub(crate) async fn running_task() -> (ScriptedMaster, TestAgent, InProcess, Link) {
    let (master, agent, running, mut link) = registered().await;
    link.launch(command_task("t", "exec sleep 1000")).await;
    link.until("t", v1::TaskState::TaskRunning).await;
    (master, agent, running, link)
}
