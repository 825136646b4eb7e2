//! Frameworks that come and go, never answer, or refuse everything.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::honest::{Framework, subscription};
use crate::raw::{Connection, post};
use crate::victim::Victim;

/// Subscriptions that vanish: at a thousand a second, some seconds of them.
const VANISHING: usize = 2_000;

/// As fast as one client can. Half of them vanish before they are answered.
#[test]
fn ticket_8623_a_framework_that_subscribes_and_vanishes() {
    let victim = Victim::start();
    let body = subscription("ghost", &["ghost"]).to_string();
    let request = post("/api/v1/scheduler", "application/json", "", body.as_bytes());
    let begin = Instant::now();
    for number in 0..VANISHING {
        let mut connection = Connection::open(victim.address());
        assert!(connection.send(&request), "subscription {number} is taken");
        if number.is_multiple_of(2) {
            assert_eq!(connection.head().map(|(status, _)| status), Some(200), "subscription {number}");
        }
    }
    println!("{VANISHING} subscriptions in {:?}", begin.elapsed());
    victim.is_well("after thousands of frameworks that vanished");
}

/// Each of a hundred takes what it is offered and says nothing more. Its offers come back when their time is over, and each
/// has had its turn before the honest one has waited long.
#[test]
fn a_hundred_frameworks_that_never_answer_offers() {
    let victim = Victim::with_offers_for("100ms");
    let mut hoarders: Vec<Framework> = (0..100)
        .map(|n| Framework::subscribe(victim.address(), &format!("hoarder-{n}"), &["hoarders"]))
        .collect();
    hoarders[0].stream.until("OFFERS");
    hoarders[0].stream.until("RESCIND");
    victim.is_well("among frameworks that never answer");
}

/// Twenty that decline at once and want to be asked again at once, and revive besides.
#[test]
fn frameworks_that_decline_everything() {
    let victim = Victim::start();
    let (over, declined) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (over, declined) = (&over, &declined);
    let frameworks: Vec<Framework> =
        (0..20).map(|n| Framework::subscribe(victim.address(), &format!("no-{n}"), &["decliners"])).collect();
    std::thread::scope(|scope| {
        for mut framework in frameworks {
            scope.spawn(move || {
                while let Some(event) = framework.stream.event() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let offers = event["offers"]["offers"].as_array().cloned().unwrap_or_default();
                    let ids: Vec<&Value> = offers.iter().map(|offer| &offer["id"]).collect();
                    if !ids.is_empty() {
                        let body = json!({"offer_ids": ids, "filters": {"refuse_seconds": 0}});
                        framework.call("DECLINE", &body);
                        framework.call("REVIVE", &Value::Null);
                        declined.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let begin = Instant::now();
        victim.is_well("among frameworks that decline everything");
        while declined.load(Ordering::Relaxed) < 100 {
            victim.is_well("among frameworks that go on to decline everything");
        }
        over.store(true, Ordering::Relaxed);
        println!("{} declines in {:?}", declined.load(Ordering::Relaxed), begin.elapsed());
        // Streams end with the master at the latest; a last offer lets each see that it is over.
        victim.is_well("afterwards");
    });
}
