//! An agent is replaced by one of another version, and back. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use chapada_shim::{RecoveredState, recover};
use chapada_wire::v1::TaskState;

use crate::support::*;

/// The test program of another build: the first and the last agent are of it then. Without it all are of this build.
const OTHER_BUILD: &str = "CHAPADA_OTHER_BUILD";
/// Where the version stands in the log.
const VERSION: std::ops::Range<usize> = 8..12;

fn other_build() -> PathBuf {
    std::env::var_os(OTHER_BUILD).map_or_else(|| std::env::current_exe().unwrap(), PathBuf::from)
}

/// The first process of each container that runs.
fn processes(agent: &TestAgent) -> BTreeSet<i32> {
    let pid = |state| if let RecoveredState::Running { pid } = state { pid } else { None };
    recover(&agent.runtime_dir()).unwrap().into_iter().filter_map(|found| pid(found.state)).collect()
}

/// Runs a task that stays.
async fn run(link: &mut Link, task: &str) {
    link.launch(command_task(task, "exec sleep 1000")).await;
    link.until(task, TaskState::TaskRunning).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_13_an_agent_is_upgraded_and_downgraded_beside_its_tasks() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let former = AgentProcess::start_build(&agent, &other_build());
    let mut link = master.welcome(1).await;
    run(&mut link, "by-former").await;
    let first = processes(&agent);
    former.kill();

    let upgraded = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["by-former"]);
    run(&mut link, "by-upgraded").await;
    let both = processes(&agent);
    assert!(first.len() == 1 && both.len() == 2 && both.is_superset(&first), "{first:?} {both:?}");
    upgraded.kill();

    let downgraded = AgentProcess::start_build(&agent, &other_build());
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["by-former", "by-upgraded"]);
    assert_eq!(processes(&agent), both, "nothing was started again");
    // Shims of either build hear an agent of either.
    for task in ["by-upgraded", "by-former"] {
        link.kill(task).await;
        link.until(task, TaskState::TaskKilled).await;
    }
    drop(downgraded);
}

/// An agent ends by itself over this log, says so in these words, and leaves the log and the tasks as they are.
async fn ends_with_a_word_and_touches_nothing(
    agent: &TestAgent,
    log: &[u8],
    words: &[&str],
    tasks: &BTreeSet<i32>,
) {
    let mut process = AgentProcess::start(agent);
    eventually("it ends by itself", || process.has_ended()).await;
    let said = agent.complaints();
    for word in words {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert_eq!(fs::read(agent.config.work_dir.join("agent.log")).unwrap(), log);
    assert_eq!(processes(agent), *tasks, "the tasks run on");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_13_an_agent_that_is_too_old_for_the_log_says_so_and_touches_nothing() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    run(&mut link, "t").await;
    let before = processes(&agent);
    first.kill();
    let path = agent.config.work_dir.join("agent.log");
    let sound = fs::read(&path).unwrap();
    let next = u32::from_le_bytes(sound[VERSION].try_into().unwrap()) + 1;
    let mut later = sound.clone();
    later[VERSION].copy_from_slice(&next.to_le_bytes());
    fs::write(&path, &later).unwrap();

    let words = [path.to_str().unwrap(), &format!("format {next}"), "run the newer version that wrote it"];
    ends_with_a_word_and_touches_nothing(&agent, &later, &words, &before).await;

    // The remedy.
    fs::write(&path, sound).unwrap();
    let newer = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["t"]);
    assert_eq!(processes(&agent), before);
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    drop(newer);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_35_a_log_whose_tail_is_torn_is_read_up_to_it_and_the_tasks_are_adopted() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    run(&mut link, "t").await;
    let before = processes(&agent);
    first.kill();
    let path = agent.config.work_dir.join("agent.log");
    let sound = fs::read(&path).unwrap();
    // What a machine leaves that lost its power in the middle of a write: the beginning of a record.
    let frame = sound.len() - sound.windows(4).rev().position(|bytes| bytes == b"FRM1").unwrap() - 4;
    let torn = [&sound[..], &sound[frame..frame + (sound.len() - frame) / 2]].concat();
    fs::write(&path, torn).unwrap();

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["t"]);
    assert_eq!(processes(&agent), before, "it was adopted");
    run(&mut link, "another").await;
    second.kill();
    let third = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(
        link.held.keys().collect::<Vec<_>>(),
        ["another", "t"],
        "and the log goes on where it was sound"
    );
    for task in ["t", "another"] {
        link.kill(task).await;
        link.until(task, TaskState::TaskKilled).await;
    }
    drop(third);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_35_a_log_that_is_damaged_in_the_middle_is_refused_with_what_to_do_and_nothing_is_touched() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    run(&mut link, "t").await;
    run(&mut link, "u").await;
    let before = processes(&agent);
    first.kill();
    let path = agent.config.work_dir.join("agent.log");
    let sound = fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    let middle = sound.len() / 2;
    damaged[middle] ^= 0x40;
    fs::write(&path, &damaged).unwrap();

    let words = [path.to_str().unwrap(), "damaged", "restore"];
    ends_with_a_word_and_touches_nothing(&agent, &damaged, &words, &before).await;

    // The remedy.
    fs::write(&path, sound).unwrap();
    let third = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["t", "u"]);
    assert_eq!(processes(&agent), before);
    for task in ["t", "u"] {
        link.kill(task).await;
        link.until(task, TaskState::TaskKilled).await;
    }
    drop(third);
}
