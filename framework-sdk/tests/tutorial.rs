//! The tutorial's scheduler, from the file that the tutorial shows, against a scripted master.

mod support;

#[path = "../examples/hello.rs"]
#[expect(dead_code, reason = "its main function is for people")]
mod hello;

use chapada_sdk::wire::TaskState;
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::{CancellationToken, run};
use support::scripted_master::{ScriptedMaster, launched};
use support::{config, soon};

#[test]
fn the_tutorial_shows_the_example_as_it_is() {
    let tutorial = include_str!("../README.md");
    assert!(tutorial.contains(include_str!("../examples/hello.rs")), "copy examples/hello.rs into README.md");
}

#[tokio::test]
async fn hello_runs_once_and_tries_again_what_never_started() {
    let mut master = ScriptedMaster::start().await;
    let hello = hello::Hello::new("echo hello");
    let running = tokio::spawn(run(config(&master), None, hello, CancellationToken::new()));
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.offer("o1").await;
    let accept = subscription.expect(Type::Accept).await;
    let tasks = launched(&accept);
    assert_eq!(tasks[0].task_id.as_ref().unwrap().value(), "hello.1");
    assert_eq!(tasks[0].command.as_ref().unwrap().value(), "echo hello");
    assert_eq!(accept.accept.unwrap().offer_ids[0].value(), "o1");
    subscription.update("hello.1", TaskState::TaskDropped).await;
    subscription.expect(Type::Revive).await;
    subscription.expect(Type::Acknowledge).await;
    subscription.offer("o2").await;
    let tasks = launched(&subscription.expect(Type::Accept).await);
    assert_eq!(tasks[0].task_id.as_ref().unwrap().value(), "hello.2");
    subscription.offer("o3").await;
    let declined = subscription.expect(Type::Decline).await.decline.unwrap();
    assert_eq!(declined.filters.unwrap().refuse_seconds(), 3600.0);
    subscription.update("hello.1", TaskState::TaskRunning).await;
    let killed = subscription.expect(Type::Kill).await.kill.unwrap();
    assert_eq!(killed.task_id.unwrap().value(), "hello.1", "a stray is ended");
    subscription.expect(Type::Acknowledge).await;
    subscription.update("hello.2", TaskState::TaskRunning).await;
    subscription.expect(Type::Acknowledge).await;
    subscription.update("hello.2", TaskState::TaskFinished).await;
    subscription.expect(Type::Teardown).await;
    drop(subscription);
    soon("the end of the run", running).await.unwrap().unwrap();
}
