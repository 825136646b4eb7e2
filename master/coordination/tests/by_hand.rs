//! What somebody writes or makes by hand among the election's znodes: what belongs to a session is read and mended, what belongs to
//! none is passed over.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapada_coordination::{
    Campaign, Coordination, DetectError, Detector, Leadership, LostReason, SessionError, ZkOptions,
};
use chapada_harness::zookeeper::Ensemble;
use support::{STEADY, coordination, info, leader_is, plain_client, soon, until, zk_address};
use zookeeper_client::{Acl, Acls, Client, CreateMode, Permission};

const FIRST: &str = "/cluster/json.info_0000000000";
const SECOND: &str = "/cluster/json.info_0000000001";
/// Nobody may read it.
static WRITTEN_ALONE: [Acl; 1] = [Acl::new_const(Permission::WRITE, "world", "anyone")];

/// A client whose ephemeral znodes outlast what a busy machine does.
async fn steady_client(ensemble: &Ensemble) -> Client {
    let connector = Client::connector().with_session_timeout(STEADY);
    connector.connect(&ensemble.connect_string()).await.expect("ZooKeeper answers")
}

/// Waits until a znode holds this, and tells whose it is.
async fn holds(client: &Client, path: &str, data: &[u8]) -> i64 {
    soon(&format!("what {path} is to hold"), async {
        loop {
            let (found, stat, watch) = client.get_and_watch_data(path).await.expect("it is there");
            if found == data {
                return stat.ephemeral_owner;
            }
            watch.changed().await;
        }
    })
    .await
}

async fn problem_of(detector: &Detector) -> Arc<DetectError> {
    let mut problems = detector.problems();
    let problem = soon("the problem", problems.wait_for(Option::is_some)).await;
    problem.expect("it is followed").clone().expect("waited for")
}

async fn in_line(campaign: &Campaign, client: &Client, path: &str) {
    soon("it is in line", async {
        loop {
            let (stat, watch) = client.check_and_watch_stat(path).await.expect("ZooKeeper answers");
            if stat.is_some() {
                return;
            }
            watch.changed().await;
        }
    })
    .await;
    assert!(matches!(campaign.state(), Leadership::Contending));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_in_the_leader_s_znode_is_written_over_by_it_and_it_leads_on() {
    let ensemble = Ensemble::single();
    let here = coordination(&ensemble, "/cluster");
    let mut first = here.campaign(info("first"));
    soon("leads", first.wait_until_leading()).await.expect("alone");
    let mut detector = here.detect();
    leader_is(&mut detector, "first").await;
    let mut state = first.watch();
    state.mark_unchanged();
    let client = plain_client(&ensemble).await;
    let owner = holds(&client, FIRST, &info("first").to_json()).await;
    // Another leader's is no better than rubbish: nobody but its owner says who that is.
    for rubbish in [b"rubbish".to_vec(), Vec::new(), info("another").to_json()] {
        client.set_data(FIRST, &rubbish, None).await.expect("anyone may");
        assert_eq!(holds(&client, FIRST, &info("first").to_json()).await, owner, "it is the same place");
        leader_is(&mut here.detect(), "first").await;
    }
    assert!(!state.has_changed().expect("it runs"), "it led all the time: {:?}", first.state());
    leader_is(&mut detector, "first").await;

    // So it is with one that stands in line, as soon as it leads.
    let mut second = here.campaign(info("second"));
    in_line(&second, &client, SECOND).await;
    client.set_data(SECOND, b"rubbish", None).await.expect("anyone may");
    first.resign().await;
    soon("leads", second.wait_until_leading()).await.expect("the next");
    leader_is(&mut detector, "second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_znode_that_its_leader_may_not_read_any_more_is_given_up_for_another() {
    let ensemble = Ensemble::single();
    tokio::join!(spoilt(&ensemble, "/read", None), spoilt(&ensemble, "/written", Some(b"rubbish")));
}

/// Whoever leads loses the right to read its znode, which is written over or left as it is, and gives it up.
async fn spoilt(ensemble: &Ensemble, path: &str, written: Option<&[u8]>) {
    // A third of it passes before it is noticed: ZooKeeper tells nobody of what they may not read.
    let options = ZkOptions { session_timeout: Duration::from_secs(12) };
    let here = Coordination::zookeeper(zk_address(ensemble, path), options);
    let mut campaign = here.campaign(info("only"));
    soon("leads", campaign.wait_until_leading()).await.expect("alone");
    let (client, znode) = (plain_client(ensemble).await, format!("{path}/json.info_0000000000"));
    client.set_acl(&znode, &WRITTEN_ALONE, None).await.expect("anyone may");
    if let Some(written) = written {
        client.set_data(&znode, written, None).await.expect("anyone may");
    }
    let lost = until("lost", &mut campaign, |state| matches!(state, Leadership::Lost(_))).await;
    let Leadership::Lost(reason @ LostReason::Spoilt { .. }) = lost else { panic!("{lost:?}") };
    assert!(reason.to_string().contains(&znode), "{reason}");
    let mut again = here.campaign(info("again"));
    soon("leads", again.wait_until_leading()).await.expect("alone");
    leader_is(&mut here.detect(), "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_over_the_leader_s_znode_in_a_loop_is_answered_ever_slower() {
    let ensemble = Ensemble::single();
    let here = coordination(&ensemble, "/cluster");
    let mut first = here.campaign(info("first"));
    soon("leads", first.wait_until_leading()).await.expect("alone");
    let mut state = first.watch();
    state.mark_unchanged();
    let (client, begin) = (plain_client(&ensemble).await, Instant::now());
    // Ten answers at once take hundredths of a second. With waits between them that grow from a tenth of a second to one, each any part of
    // that, they take three seconds, and half a second once in a million.
    for _ in 0..10 {
        client.set_data(FIRST, b"rubbish", None).await.expect("anyone may");
        holds(&client, FIRST, &info("first").to_json()).await;
    }
    assert!(begin.elapsed() > Duration::from_millis(500), "{:?}", begin.elapsed());
    assert!(!state.has_changed().expect("it runs"), "it led all the time: {:?}", first.state());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_s_znode_that_says_nothing_is_named_and_who_was_read_from_it_before_is_kept() {
    let ensemble = Ensemble::single();
    let client = steady_client(&ensemble).await;
    client.mkdir("/cluster", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.expect("it is new");
    let its_own = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    client.create(FIRST, b"rubbish", &its_own).await.expect("it is new");
    let mut detector = coordination(&ensemble, "/cluster").detect();
    let problem = problem_of(&detector).await;
    assert!(matches!(&*problem, DetectError::BadLeader { path, .. } if path == FIRST), "{problem:?}");
    assert!(problem.to_string().contains(FIRST), "{problem}");
    assert_eq!(detector.leader(), None);

    client.set_data(FIRST, &info("fresh").to_json(), None).await.expect("its own");
    leader_is(&mut detector, "fresh").await;
    assert!(detector.problem().is_none());
    client.set_data(FIRST, b"rubbish", None).await.expect("its own");
    let problem = problem_of(&detector).await;
    assert!(matches!(&*problem, DetectError::BadLeader { .. }), "{problem:?}");
    assert_eq!(detector.leader(), Some(info("fresh")), "the place is its own still");

    // Another znode is another place, though it has the same name.
    client.delete(FIRST, None).await.expect("its own");
    client.create(FIRST, b"rubbish", &its_own).await.expect("it is gone");
    soon("nobody leads", detector.watch().wait_for(Option::is_none)).await.expect("it is followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_znode_of_no_session_neither_leads_nor_keeps_anybody_from_leading() {
    let ensemble = Ensemble::single();
    let client = plain_client(&ensemble).await;
    let by_hand = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir("/cluster", &by_hand).await.expect("it is new");
    client.create(FIRST, &info("by-hand").to_json(), &by_hand).await.expect("it is new");
    let here = coordination(&ensemble, "/cluster");
    let mut first = here.campaign(info("first"));
    let term = soon("leads", first.wait_until_leading()).await.expect("alone");
    let mut detector = here.detect();
    assert_eq!(soon("somebody", detector.wait_for_leader()).await, info("first"));
    assert!(matches!(term.others_in_line().await, Some(Ok(0))), "it is nobody's");

    // One behind it, and one more by hand between the two.
    client.create("/cluster/json.info_0000000001-", b"rubbish", &by_hand).await.expect("it is new");
    let mut second = here.campaign(info("second"));
    in_line(&second, &client, "/cluster/json.info_0000000003").await;
    assert!(matches!(term.others_in_line().await, Some(Ok(1))));
    // A container goes by itself one day, and is as much nobody's until then.
    let container = CreateMode::Container.with_acls(Acls::anyone_all());
    client.create("/cluster/json.info_", b"rubbish", &container).await.expect("it is new");
    assert_eq!(soon("somebody", here.detect().wait_for_leader()).await, info("first"));
    first.resign().await;
    soon("leads", second.wait_until_leading()).await.expect("the next");
    leader_is(&mut detector, "second").await;
    assert_eq!(client.get_data(FIRST).await.expect("it is left alone").0, info("by-hand").to_json());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_znode_of_no_session_that_nobody_may_read_is_passed_over_by_whoever_looks_for_the_leader() {
    let ensemble = Ensemble::single();
    let client = steady_client(&ensemble).await;
    client.mkdir("/cluster", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.expect("it is new");
    let by_hand = CreateMode::Persistent.with_acls(Acls::new(&WRITTEN_ALONE));
    client.create(FIRST, b"rubbish", &by_hand).await.expect("it is new");
    let here = coordination(&ensemble, "/cluster");
    let mut first = here.campaign(info("first"));
    soon("leads", first.wait_until_leading()).await.expect("alone");
    let mut detector = here.detect();
    leader_is(&mut detector, "first").await;
    assert!(detector.problem().is_none());
    // What comes after it is seen all the same.
    first.resign().await;
    soon("nobody leads", detector.watch().wait_for(Option::is_none)).await.expect("it is followed");

    // One of a session may be the leader's.
    let its_own = CreateMode::Ephemeral.with_acls(Acls::new(&WRITTEN_ALONE));
    client.create(SECOND, b"rubbish", &its_own).await.expect("it is gone");
    let problem = problem_of(&here.detect()).await;
    assert!(matches!(&*problem, DetectError::Session(SessionError::Denied { .. })), "{problem:?}");
}
