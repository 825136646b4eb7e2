//! How often the driver tries to subscribe, in virtual time; and a master that will not serve yet.

mod support;

use std::time::Duration;

use chapada_sdk::wire;
use chapada_sdk::wire::scheduler::{Event as WireEvent, event};
use chapada_sdk::{Driver, Event, Events, FrameworkConfig, Knock, Link, connect};
use support::scripted_master::ScriptedMaster;
use support::{config, soon};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The driver's defaults, behind a door that the test keeps.
fn behind_a_door() -> (Driver, Events, mpsc::Receiver<Knock>) {
    let (door, knocks) = mpsc::channel(1);
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    let config = FrameworkConfig { link: Link::Door(door), ..FrameworkConfig::new("a-test", nowhere) };
    let (driver, events) = connect(config, None);
    (driver, events, knocks)
}

async fn welcome(knock: &Knock) {
    let subscribed = event::Subscribed {
        framework_id: Some(wire::FrameworkId { value: Some("f1".to_owned()) }),
        heartbeat_interval_seconds: Some(15.0),
        master_info: None,
    };
    let mut event = WireEvent { subscribed: Some(subscribed), ..WireEvent::default() };
    event.set_type(event::Type::Subscribed);
    knock.events.send(Ok(event)).await.expect("it listens");
}

/// How long so many attempts take, each of which is ended as `end` does it.
async fn time_of(attempts: u32, knocks: &mut mpsc::Receiver<Knock>, end: impl AsyncFn(Knock)) -> Duration {
    let began = Instant::now();
    for _ in 0..attempts {
        end(soon("an attempt", knocks.recv()).await.expect("it tries for ever")).await;
    }
    began.elapsed()
}

/// Waits of up to 0.1, 0.2, … and soon 15 s, of which half is waited on average; without growth thirty are 3 s at most.
const GROWN: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn a_master_that_will_not_serve_yet_is_asked_ever_less_often() {
    let (_driver, _events, mut knocks) = behind_a_door();
    let recovering = async |knock: Knock| {
        drop(knock.events.send(Err("Master has not finished recovery".to_owned())).await);
    };
    let took = time_of(30, &mut knocks, recovering).await;
    assert!(took > GROWN, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_breaks_at_once_counts_as_a_failure_and_one_that_lasts_does_not() {
    let (_driver, mut events, mut knocks) = behind_a_door();
    let hearing = tokio::spawn(async move { while events.next().await.is_some() {} });
    let took = time_of(30, &mut knocks, async |knock| welcome(&knock).await).await;
    assert!(took > GROWN, "{took:?}");
    let lasting = soon("one that lasts", knocks.recv()).await.unwrap();
    welcome(&lasting).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    drop(lasting);
    let took = time_of(1, &mut knocks, async |_| {}).await;
    assert!(took <= Duration::from_millis(100), "as after the first: {took:?}");
    hearing.abort();
}

#[tokio::test]
async fn a_master_that_answers_503_is_asked_again_until_it_serves() {
    let mut master = ScriptedMaster::serving_after(3).await;
    let (driver, mut events) = connect(config(&master), None);
    let (_subscription, call) = master.subscribed("f1", 15.0).await;
    assert_eq!(call.framework_id, None);
    assert!(matches!(soon("subscribed", events.next()).await, Some(Ok(Event::Subscribed(_)))));
    assert!(driver.is_connected());
    assert_eq!(master.refused(), 3);
}
