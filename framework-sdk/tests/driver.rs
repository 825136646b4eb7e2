//! The driver against a scripted master: what it sends when, and how it comes back.

mod support;

use chapada_sdk::model::{AgentId, Filters, OfferId, TaskId, TaskState, TaskStatus};
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::wire::scheduler::event::{InverseOffers, RescindInverseOffer, Type as EventType};
use chapada_sdk::wire::{self, TaskState as Wire};
use chapada_sdk::{
    Acknowledge, CallError, CancellationToken, Coordination, Driver, Event, Offer, OpenedStore, RunError,
    Scheduler, SchedulerError, Schema, Store, connect, run,
};
use support::scripted_master::ScriptedMaster;
use support::{config, soon};

/// Declines everything, knows one task, and fails on the update FAILED.
struct Quiet;

impl Scheduler for Quiet {
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        vec![("t1".parse().expect("an id"), None)]
    }

    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        Ok(driver.decline(offers.into_iter().map(|offer| offer.id), Filters::default()).await?)
    }

    async fn update(&mut self, _: &Driver, status: TaskStatus) -> Result<(), SchedulerError> {
        match status.state {
            TaskState::Failed => Err("the disk is full".into()),
            _ => Ok(()),
        }
    }
}

/// Shows that it hears of it by a call that it makes only then.
struct Leaver;

impl Scheduler for Leaver {
    async fn offers(&mut self, _: &Driver, _: Vec<Offer>) -> Result<(), SchedulerError> {
        Ok(())
    }

    async fn update(&mut self, _: &Driver, _: TaskStatus) -> Result<(), SchedulerError> {
        Ok(())
    }

    async fn inverse_offer_rescinded(
        &mut self,
        driver: &Driver,
        offer: OfferId,
    ) -> Result<(), SchedulerError> {
        assert_eq!(offer.as_str(), "i2");
        Ok(driver.suppress().await?)
    }
}

#[tokio::test]
async fn agrees_to_leave_unless_told_otherwise_and_hears_that_it_need_not() {
    let mut master = ScriptedMaster::start().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config(&master), None, Leaver, stop.clone()));
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    let id = |id: &str| Some(wire::OfferId { value: Some(id.to_owned()) });
    let asked = wire::InverseOffer { id: id("i1"), ..wire::InverseOffer::default() };
    let asked = InverseOffers { inverse_offers: vec![asked] };
    subscription.send(EventType::InverseOffers, |event| event.inverse_offers = Some(asked)).await;
    let accepted = subscription.wait_for(Type::AcceptInverseOffers).await.accept_inverse_offers.unwrap();
    assert_eq!(accepted.inverse_offer_ids[0].value(), "i1");
    let rescinded = RescindInverseOffer { inverse_offer_id: id("i2") };
    subscription
        .send(EventType::RescindInverseOffer, |event| event.rescind_inverse_offer = Some(rescinded))
        .await;
    subscription.wait_for(Type::Suppress).await;
    stop.cancel();
    soon("the end", running).await.unwrap().unwrap();
}

#[tokio::test]
async fn comes_back_with_its_id_and_asks_for_its_tasks_until_answered() {
    let mut master = ScriptedMaster::start().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config(&master), None, Quiet, stop.clone()));
    let (mut first, call) = master.subscribed("f1", 15.0).await;
    assert_eq!(call.framework_id, None);
    for _ in 0..3 {
        let asked = first.expect(Type::Reconcile).await.reconcile.unwrap().tasks;
        assert_eq!(asked[0].task_id.as_ref().unwrap().value(), "t1");
    }
    first.update("t1", Wire::TaskRunning).await;
    let acknowledged = first.wait_for(Type::Acknowledge).await;
    assert_eq!(acknowledged.framework_id.unwrap().value(), "f1");
    assert_eq!(acknowledged.acknowledge.unwrap().uuid, Some(vec![7; 16]));
    drop(first);

    let (mut second, call) = master.subscribed("f1", 15.0).await;
    assert_eq!(call.framework_id.unwrap().value(), "f1");
    assert_eq!(call.subscribe.unwrap().framework_info.unwrap().id.unwrap().value(), "f1");
    let asked = second.expect(Type::Reconcile).await.reconcile.unwrap().tasks;
    assert_eq!(asked.len(), 1, "the task is asked for after each subscription");
    second.offer("o1").await;
    let declined = second.wait_for(Type::Decline).await.decline.unwrap();
    assert_eq!(declined.offer_ids[0].value(), "o1");
    stop.cancel();
    soon("the end of the run", running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_silent_master_is_left_after_five_missed_heartbeats() {
    let mut master = ScriptedMaster::start().await;
    let (driver, mut events) = connect(config(&master), None);
    let (silent, _) = master.subscribed("f1", 0.05).await;
    assert!(matches!(soon("subscribed", events.next()).await, Some(Ok(Event::Subscribed(s))) if s.new));
    assert!(matches!(soon("disconnected", events.next()).await, Some(Ok(Event::Disconnected))));
    assert_eq!(driver.suppress().await, Err(CallError::Disconnected));
    let (_again, _) = master.subscribed("f1", 15.0).await;
    assert!(matches!(soon("subscribed", events.next()).await, Some(Ok(Event::Subscribed(s))) if !s.new));
    assert!(driver.is_connected());
    drop(silent);
}

#[tokio::test]
async fn a_master_that_does_not_lead_sends_the_driver_to_the_one_that_does() {
    let mut leader = ScriptedMaster::start().await;
    let follower = ScriptedMaster::sending_to(leader.address()).await;
    let (driver, mut events) = connect(config(&follower), None);
    let (_subscription, _) = leader.subscribed("f1", 15.0).await;
    soon("subscribed", events.next()).await;
    assert!(driver.is_connected());
}

#[tokio::test]
async fn an_update_is_acknowledged_when_handled_and_not_when_the_scheduler_fails() {
    let mut master = ScriptedMaster::start().await;
    let running = tokio::spawn(run(config(&master), None, Quiet, CancellationToken::new()));
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.update("t1", Wire::TaskRunning).await;
    subscription.wait_for(Type::Acknowledge).await;
    subscription.update("t1", Wire::TaskFailed).await;
    let error = soon("the failure", running).await.unwrap().err().unwrap();
    assert_eq!(error.to_string(), "the scheduler failed on update: the disk is full");
    while let Some(call) = soon("the end", subscription.next()).await {
        assert_ne!(call.r#type(), Type::Acknowledge);
    }
}

#[tokio::test]
async fn with_explicit_acknowledgement_the_driver_sends_none() {
    let mut master = ScriptedMaster::start().await;
    let mut config = config(&master);
    config.acknowledge = Acknowledge::Explicitly;
    let (driver, mut events) = connect(config, None);
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.update("t1", Wire::TaskRunning).await;
    subscription.update("t2", Wire::TaskRunning).await;
    let mut updates = Vec::new();
    while updates.len() < 2 {
        if let Some(Ok(Event::Update(status))) = soon("an update", events.next()).await {
            updates.push(status);
        }
    }
    driver.acknowledge(&updates[1]).await.unwrap();
    let call = subscription.expect(Type::Acknowledge).await;
    assert_eq!(call.acknowledge.unwrap().task_id.unwrap().value(), "t2");
    let bare = TaskStatus::new("t3".parse().unwrap(), TaskState::Running);
    assert_eq!(driver.acknowledge(&bare).await, Err(CallError::NothingToAcknowledge));
}

#[tokio::test]
async fn a_refused_framework_ends_with_the_master_s_words() {
    let mut master = ScriptedMaster::start().await;
    let (_driver, mut events) = connect(config(&master), None);
    let (subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.error("Framework has been removed").await;
    soon("subscribed", events.next()).await;
    let Some(Err(error)) = soon("the error", events.next()).await else { panic!("no error") };
    assert!(error.is_removed());
    assert_eq!(error.to_string(), "the master refuses this framework: Framework has been removed");
    assert!(soon("the end", events.next()).await.is_none());
}

#[tokio::test]
async fn teardown_waits_for_the_master_and_stop_and_abort_do_not_tear_down() {
    let mut master = ScriptedMaster::start().await;
    let (driver, mut events) = connect(config(&master), None);
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    soon("subscribed", events.next()).await;
    driver.teardown().await.unwrap();
    subscription.expect(Type::Teardown).await;
    subscription.error("Framework has been removed").await;
    assert!(soon("the end", events.next()).await.is_none());

    let (driver, mut events) = connect(config(&master), None);
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    soon("subscribed", events.next()).await;
    driver.abort("enough");
    subscription.expect_end().await;
    let Some(Err(RunError::Aborted(why))) = soon("the end", events.next()).await else { panic!("no error") };
    assert_eq!(why, "enough");
}

const SCHEMA: Schema = Schema { name: "a-test-scheduler", version: 1, grouped: &[] };

async fn open(file: &std::path::Path) -> (Coordination, chapada_sdk::Campaign, OpenedStore) {
    let coordination = soon("the file to be free", async {
        loop {
            match Coordination::embedded(file) {
                Ok(coordination) => return coordination,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let info = chapada_sdk::LeaderInfo {
        id: "me".to_owned(),
        hostname: "localhost".to_owned(),
        ip: [127, 0, 0, 1].into(),
        port: 1,
        version: "0.1.0".to_owned(),
        capabilities: Vec::new(),
    };
    let mut campaign = coordination.campaign(info);
    let term = campaign.wait_until_leading().await.expect("a file is always led");
    let opened = Store::open(&term, SCHEMA).await.expect("a new store");
    (coordination, campaign, opened)
}

#[tokio::test]
async fn the_id_and_the_scheduler_s_records_survive_its_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let mut master = ScriptedMaster::start().await;
    {
        let (_coordination, campaign, opened) = open(&file).await;
        assert_eq!(opened.framework_id, None);
        let (_driver, mut events) = connect(config(&master), Some(&opened));
        let (_subscription, _) = master.subscribed("f-kept", 15.0).await;
        soon("subscribed", events.next()).await;
        opened.store.put("things", "one", b"1").await.unwrap();
        campaign.resign().await;
    }
    let (_coordination, _campaign, opened) = open(&file).await;
    assert_eq!(opened.framework_id.as_ref().unwrap().as_str(), "f-kept");
    assert_eq!(opened.records.len(), 1, "the driver's own records are not the scheduler's");
    let (_driver, _events) = connect(config(&master), Some(&opened));
    let (_subscription, call) = master.next_subscription().await;
    assert_eq!(call.framework_id.unwrap().value(), "f-kept");
}
