//! How often the driver tries to subscribe, in virtual time; a master that will not serve yet, and one that does not answer.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use chapada_sdk::wire;
use chapada_sdk::wire::scheduler::{Event as WireEvent, event};
use chapada_sdk::{Driver, Event, Events, FrameworkConfig, Knock, Link, connect};
use support::scripted_master::ScriptedMaster;
use support::{config, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
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

/// The next connection that begins with these bytes; others are closed.
async fn next_that_says(listener: &TcpListener, wanted: &[u8; 3]) -> TcpStream {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut begins = [0; 3];
        if stream.read_exact(&mut begins).await.is_ok() && begins == *wanted {
            return stream;
        }
    }
}

/// Something that is asked who leads; and that names whom it is told to.
async fn names(leader: watch::Receiver<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let mut asked = next_that_says(&listener, b"GET").await;
            let leader = *leader.borrow();
            let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: //{leader}\r\n\r\n");
            asked.write_all(answer.as_bytes()).await.expect("it listens");
            asked.shutdown().await.expect("it listens");
            // Closing with some of the request unread would lose the answer.
            drop(asked.read_to_end(&mut Vec::new()).await);
        }
    });
    at
}

#[tokio::test]
async fn a_leader_that_does_not_answer_is_left_as_soon_as_another_leads() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut next = ScriptedMaster::start().await;
    let leads = watch::Sender::new(silent.local_addr().expect("bound"));
    let (one, other) = (names(leads.subscribe()).await, names(leads.subscribe()).await);
    let masters = format!("{one},{other}").parse().expect("addresses");
    let (_driver, mut events) = connect(FrameworkConfig { master: masters, ..config(&next) }, None);
    let _unanswered = soon("it subscribes", next_that_says(&silent, b"PRI")).await;
    let changed = Instant::now();
    leads.send_replace(next.address());
    let _subscription = next.subscribed("f1", 15.0).await;
    let took = changed.elapsed();
    // The first would have been given up after 15 s.
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert!(matches!(soon("subscribed", events.next()).await, Some(Ok(Event::Subscribed(_)))));
}
