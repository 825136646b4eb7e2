//! Another process takes the place of this one, or the connection goes while it is at work: what is said, and what is not.

mod support;

use std::time::Duration;

use chapada_sdk::model::{Filters, TaskState, TaskStatus};
use chapada_sdk::wire::TaskState as Wire;
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::wire::scheduler::event::error::Code;
use chapada_sdk::wire::scheduler::event::{self, Type as EventType};
use chapada_sdk::{
    CallError, CancellationToken, Candidate, Coordination, Driver, Event, MemoryStore, Offer, Reconcile,
    Request, RunError, Scheduler, SchedulerError, Schema, TaskBuilder, WriteError, connect, fits, run,
    run_elected,
};
use support::scripted_master::{ScriptedMaster, Subscription, launched};
use support::{config, soon};

/// Declines everything. An update KILLING is handled while the connection goes and comes back.
struct Quiet;

impl Scheduler for Quiet {
    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        Ok(driver.decline(offers.into_iter().map(|offer| offer.id), Filters::default()).await?)
    }

    async fn update(&mut self, driver: &Driver, status: TaskStatus) -> Result<(), SchedulerError> {
        if status.state != TaskState::Killing {
            return Ok(());
        }
        until(|| !driver.is_connected()).await;
        let refused = driver.suppress().await;
        assert_eq!(refused, Err(CallError::Disconnected));
        until(|| driver.is_connected()).await;
        Ok(refused?)
    }
}

async fn until(happened: impl Fn() -> bool) {
    let happening = async {
        while !happened() {
            tokio::task::yield_now().await;
        }
    };
    soon("the connection", happening).await;
}

/// As masters say it: with a code, whatever the words, or in words only.
async fn fail_over(subscription: &Subscription, code: Option<Code>) {
    let message = if code.is_some() { "Its place is taken" } else { "Framework failed over" };
    let error = event::Error { message: Some(message.to_owned()), code: code.map(Into::into) };
    subscription.send(EventType::Error, |event| event.error = Some(error)).await;
}

#[tokio::test]
async fn one_that_runs_alone_ends_when_another_subscribes_as_its_framework() {
    let mut master = ScriptedMaster::start().await;
    for code in [Some(Code::FrameworkFailedOver), None] {
        let running = tokio::spawn(run(config(&master), None, Quiet, CancellationToken::new()));
        let (subscription, _) = master.subscribed("f1", 15.0).await;
        fail_over(&subscription, code).await;
        let error = soon("the end", running).await.unwrap().err().unwrap();
        assert!(matches!(error, RunError::FailedOver) && error.ends_term(), "{error:?}");
        assert!(error.to_string().starts_with("another process has subscribed under this framework's id"));
    }
}

#[tokio::test]
async fn one_that_is_elected_stands_in_line_again_when_another_subscribes_as_its_framework() {
    let mut master = ScriptedMaster::start().await;
    let (stop, config) = (CancellationToken::new(), config(&master));
    let (coordination, stopped) = (Coordination::Memory(MemoryStore::default()), stop.clone());
    let candidate = Candidate::new(Schema { name: "a-test-scheduler", version: 1, grouped: &[] });
    let running =
        tokio::spawn(
            async move { run_elected(&coordination, candidate, config, |_| Ok(Quiet), stopped).await },
        );
    let (subscription, call) = master.subscribed("f1", 15.0).await;
    assert_eq!(call.framework_id, None);
    fail_over(&subscription, Some(Code::FrameworkFailedOver)).await;
    let (_subscription, call) = master.subscribed("f1", 15.0).await;
    assert_eq!(call.framework_id.unwrap().value(), "f1");
    stop.cancel();
    soon("the end", running).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_waits_for_the_connection_does_not_leave_one_that_abandons_it() {
    let mut master = ScriptedMaster::start().await;
    let (driver, mut events) = connect(config(&master), None);
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    soon("subscribed", events.next()).await;
    for _ in 0..100 {
        driver.suppress().await.unwrap();
    }
    driver.abandon();
    assert!(soon("the end", subscription.next()).await.is_none(), "a call has left");
}

#[tokio::test]
async fn an_update_that_was_not_handled_is_not_acknowledged_when_the_connection_is_back() {
    let mut master = ScriptedMaster::start().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config(&master), None, Quiet, stop.clone()));
    let (first, _) = master.subscribed("f1", 15.0).await;
    first.update("t1", Wire::TaskKilling).await;
    drop(first);
    let (mut second, _) = master.subscribed("f1", 15.0).await;
    second.update("t2", Wire::TaskRunning).await;
    let acknowledged = second.expect(Type::Acknowledge).await.acknowledge.unwrap();
    assert_eq!(acknowledged.task_id.unwrap().value(), "t2");
    stop.cancel();
    soon("the end", running).await.unwrap().unwrap();
}

/// Calls, and then finds that its writes are refused.
struct Deposed;

impl Scheduler for Deposed {
    async fn offers(&mut self, driver: &Driver, _: Vec<Offer>) -> Result<(), SchedulerError> {
        for _ in 0..100 {
            driver.suppress().await?;
        }
        Err(WriteError::Deposed.into())
    }

    async fn update(&mut self, _: &Driver, _: TaskStatus) -> Result<(), SchedulerError> {
        Ok(())
    }
}

#[tokio::test]
async fn what_one_has_called_that_finds_itself_deposed_does_not_leave() {
    let mut master = ScriptedMaster::start().await;
    let running = tokio::spawn(run(config(&master), None, Deposed, CancellationToken::new()));
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.offer("o1").await;
    assert!(soon("the end", subscription.next()).await.is_none(), "a call has left");
    let error = soon("the end", running).await.unwrap().err().unwrap();
    assert!(error.ends_term(), "{error:?}");
}

#[tokio::test]
async fn a_launch_of_which_nothing_is_heard_is_asked_about_unless_the_scheduler_asks_itself() {
    let mut master = ScriptedMaster::start().await;
    for (reconcile, asked) in [(Reconcile::Automatically, 1), (Reconcile::Explicitly, 0)] {
        let mut config = config(&master);
        config.reconcile = reconcile;
        config.reconciliation.confirm = Duration::from_millis(20);
        let (driver, mut events) = connect(config, None);
        let (mut subscription, _) = master.next_subscription().await;
        subscription.accept("f1", 15.0).await;
        subscription.offer("o1").await;
        let offer = loop {
            if let Some(Ok(Event::Offers(mut offers))) = soon("an offer", events.next()).await {
                break offers.remove(0);
            }
        };
        let placement = fits(&offer, &Request::new(1.0, 32.0), 0).unwrap();
        let task = TaskBuilder::shell(&"t1".parse().unwrap(), "true").place(&offer, &placement).unwrap();
        driver.launch([offer.id], vec![task], Filters::default()).await.unwrap();
        assert_eq!(driver.unreconciled(), asked);
        assert_eq!(launched(&subscription.wait_for(Type::Accept).await).len(), 1);
        if asked > 0 {
            let asked = subscription.expect(Type::Reconcile).await.reconcile.unwrap().tasks;
            assert_eq!(asked[0].task_id.as_ref().unwrap().value(), "t1");
            assert_eq!(asked[0].agent_id.as_ref().unwrap().value(), "a1");
        }
    }
}
