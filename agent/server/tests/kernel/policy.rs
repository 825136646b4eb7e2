//! What an operator has to allow: without that it is refused, with the remedy.

use crate::support::*;
use chapada_wire::v1::TaskState;

#[tokio::test(flavor = "multi_thread")]
async fn root_of_the_machine_runs_nothing_unless_an_operator_allows_it() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.allow_host_root = false;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    // The framework of these tests runs its tasks as root.
    link.launch(command_task("root", "true")).await;
    let failed = link.until("root", TaskState::TaskFailed).await;
    assert!(failed.message.as_deref().unwrap_or_default().contains("--allow-host-root"), "{failed:?}");
    let mut task = command_task("nobody", "id -u");
    task.command.as_mut().unwrap().user = Some("nobody".to_owned());
    link.launch(task).await;
    link.until("nobody", TaskState::TaskFinished).await;
    let said = std::fs::read_to_string(agent.sandbox("nobody").join("stdout")).unwrap();
    assert_eq!(said, "65534\n");
    running.stop().await;
}
