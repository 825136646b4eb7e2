//! Clients that do not read what they asked for (MESOS-7748).

use std::io::Read;
use std::time::Duration;

use chapada_harness::eventually;
use serde_json::json;

use crate::honest::{Framework, subscription};
use crate::raw::{Connection, Stream, post};
use crate::victim::Victim;

/// A client that is behind is cut off long before this.
const CUT_WITHIN: Duration = Duration::from_secs(60);

/// It asks for ten thousand updates a call, and reads one byte now and then. It is not answered while earlier answers wait, or cut off:
/// 600,000 statuses would be more than the master may grow by.
#[test]
fn a_framework_that_reads_its_stream_byte_by_byte() {
    let victim = Victim::start();
    let framework = Framework::subscribe(victim.address(), "slow", &["slow"]);
    let unknown: Vec<_> =
        (0..10_000).map(|n| json!({"task_id": {"value": format!("unknown-{n}")}})).collect();
    let mut socket = framework.stream.socket();
    let mut cut = false;
    for _ in 0..60 {
        let (status, words) = framework.call("RECONCILE", &json!({"tasks": unknown}));
        cut = cut || status == 403 || status == 400;
        assert!(cut || status == 202, "{status}: {words}");
        drop(socket.read(&mut [0]));
    }
    victim.is_well("beside a framework that does not read");
}

/// Subscribers of the operator's stream that read nothing while the cluster is busy: Mesos' master ran out of memory.
#[test]
fn ticket_7748_slow_subscribers_of_the_operators_stream() {
    let victim = Victim::start();
    let subscribe = json!({"type": "SUBSCRIBE"}).to_string();
    let subscribers: Vec<Connection> = (0..20)
        .map(|_| {
            let mut connection = Connection::open(victim.address());
            connection.send(&post("/api/v1", "application/json", "", subscribe.as_bytes()));
            assert_eq!(connection.head().map(|(status, _)| status), Some(200));
            connection
        })
        .collect();
    let ghost = subscription(&"g".repeat(20_000), &["ghost"]);
    for _ in 0..250 {
        // Each comes and goes, and is told to all subscribers with its long name.
        Stream::open(victim.address(), "/api/v1/scheduler", &ghost).until("SUBSCRIBED");
    }
    victim.is_well("beside subscribers that read nothing");
    let mut fresh = Stream::open(victim.address(), "/api/v1", &json!({"type": "SUBSCRIBE"}));
    fresh.until("SUBSCRIBED");
    fresh.until("TASK_ADDED");
    eventually("those that are behind are cut off", CUT_WITHIN, || {
        let ended = subscribers.iter().filter(|subscriber| subscriber.has_ended()).count();
        if ended == subscribers.len() { Ok(ended) } else { Err(format!("{ended} of {}", subscribers.len())) }
    });
}
