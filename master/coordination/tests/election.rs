//! Electing and detecting over a real ZooKeeper.

mod support;

use chapada_coordination::{
    Coordination, DetectError, Detector, LeaderInfo, Leadership, LostReason, MasterAddress, SessionError,
    ZkOptions,
};
use chapada_harness::zookeeper::Ensemble;
use support::{SESSION, STEADY, coordination, info, leader_is, plain_client, soon, until, zk_address};
use zookeeper_client::{Acls, CreateMode};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_lead_in_the_order_of_their_coming_and_clients_find_each() {
    let ensemble = Ensemble::single();
    let here = coordination(&ensemble, "/cluster");
    let mut detector = here.detect();
    assert_eq!(detector.leader(), None);

    let mut first = here.campaign(info("first"));
    soon("first leads", first.wait_until_leading()).await.unwrap();
    leader_is(&mut detector, "first").await;
    let mut second = here.campaign(info("second"));
    let client = plain_client(&ensemble).await;
    let names = soon("second is in line", async {
        loop {
            let names = client.list_children("/cluster").await.unwrap();
            if names.len() == 2 {
                return names;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(matches!(second.state(), Leadership::Contending));

    let smallest = names.iter().min().unwrap();
    assert_eq!(smallest, "json.info_0000000000");
    let (data, stat) = client.get_data(&format!("/cluster/{smallest}")).await.unwrap();
    assert_eq!(LeaderInfo::from_json(&data), Ok(info("first")));
    assert_ne!(stat.ephemeral_owner, 0);

    first.resign().await;
    soon("second leads", second.wait_until_leading()).await.unwrap();
    leader_is(&mut detector, "second").await;
    second.resign().await;
    soon("nobody leads", async {
        while detector.leader().is_some() {
            detector.changed().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_suspends_at_once_and_its_term_goes_on_after_a_short_break() {
    let mut ensemble = Ensemble::single();
    let mut campaign = coordination(&ensemble, "/cluster").campaign(info("only"));
    soon("leads", campaign.wait_until_leading()).await.unwrap();
    ensemble.server(0).kill();
    until("suspended", &mut campaign, |state| matches!(state, Leadership::Suspended)).await;
    ensemble.server(0).restart();
    until("leads on", &mut campaign, |state| matches!(state, Leadership::Leading(_))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_leader_has_lost_and_is_not_detected() {
    let mut ensemble = Ensemble::single();
    let here =
        Coordination::zookeeper(zk_address(&ensemble, "/cluster"), ZkOptions { session_timeout: SESSION });
    let mut campaign = here.campaign(info("only"));
    let mut detector = here.detect();
    soon("leads", campaign.wait_until_leading()).await.unwrap();
    leader_is(&mut detector, "only").await;
    ensemble.server(0).pause();
    let lost = until("lost", &mut campaign, |state| matches!(state, Leadership::Lost(_))).await;
    assert!(matches!(lost, Leadership::Lost(LostReason::SessionExpired)), "{lost:?}");
    soon("not detected", async {
        while detector.leader().is_some() {
            detector.changed().await;
        }
    })
    .await;
    ensemble.server(0).resume();
    let _next = here.campaign(info("next"));
    leader_is(&mut detector, "next").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_leader_s_znode_by_hand_deposes_it() {
    let ensemble = Ensemble::single();
    let mut campaign = coordination(&ensemble, "/cluster").campaign(info("only"));
    soon("leads", campaign.wait_until_leading()).await.unwrap();
    let client = plain_client(&ensemble).await;
    client.delete("/cluster/json.info_0000000000", None).await.unwrap();
    let lost = until("lost", &mut campaign, |state| matches!(state, Leadership::Lost(_))).await;
    assert!(matches!(lost, Leadership::Lost(LostReason::Deposed(_))), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_zookeeper_is_said_with_its_address_to_those_who_look_and_to_those_who_run() {
    let address: MasterAddress = "zk://me:secret@127.0.0.1:1/cluster".parse().unwrap();
    let options = ZkOptions { session_timeout: SESSION };
    let detector = Detector::start(&address, options.clone());
    let problem = soon("the problem", detector.problems().wait_for(Option::is_some)).await.unwrap().clone();
    let problem = problem.unwrap();
    assert!(matches!(&*problem, DetectError::Session(SessionError::Unreachable { .. })), "{problem:?}");
    let MasterAddress::ZooKeeper(address) = address else { panic!("{address}") };
    let campaign = Coordination::zookeeper(address, options).campaign(info("nobody"));
    let of_campaign =
        soon("its problem", campaign.problems().wait_for(Option::is_some)).await.unwrap().clone();
    for said in [problem.to_string(), of_campaign.unwrap().to_string()] {
        assert!(said.contains("zk://127.0.0.1:1/cluster"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_leads_when_the_server_of_the_leader_s_session_and_the_quorum_s_leader_die() {
    let mut ensemble = Ensemble::three();
    let here = coordination(&ensemble, "/cluster");
    let mut first = here.campaign(info("first"));
    soon("first leads", first.wait_until_leading()).await.unwrap();
    let quorum_leader = ensemble.leader().expect("three servers serve only with a leader");
    ensemble.server(quorum_leader).kill();
    // Whether it had to suspend depends on the server it was connected to; in the end it leads, or another does.
    let mut second = here.campaign(info("second"));
    soon("somebody leads", async {
        tokio::select! {
            led = second.wait_until_leading() => drop(led),
            () = async {
                let mut detector = here.detect();
                leader_is(&mut detector, "first").await;
            } => {}
        }
    })
    .await;
    drop(first);
    soon("second leads", second.wait_until_leading()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_keep_others_from_the_election_who_learn_why() {
    let ensemble = Ensemble::single();
    let with = |user: &str| {
        let address = format!("zk://{user}@{}/cluster", ensemble.connect_string()).parse().unwrap();
        Coordination::zookeeper(address, ZkOptions { session_timeout: STEADY })
    };
    let mut campaign = with("me:secret").campaign(info("mine"));
    soon("leads", campaign.wait_until_leading()).await.unwrap();
    assert!(campaign.problems().borrow().is_none());
    let client = plain_client(&ensemble).await;
    let by_hand = client.delete("/cluster/json.info_0000000000", None).await;
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let intruding = client.create("/cluster/json.info_/", b"", &options).await;
    assert!(by_hand.is_err() && intruding.is_err(), "{by_hand:?} {intruding:?}");
    assert!(client.create("/cluster/other", b"", &options).await.is_err());
    let intruder = with("me:guessed").campaign(info("theirs"));
    let mut problems = intruder.problems();
    let problem = soon("why it does not run", problems.wait_for(Option::is_some)).await.unwrap().clone();
    let problem = problem.unwrap();
    assert!(matches!(&*problem, SessionError::Denied { .. }), "{problem:?}");
    assert!(problem.to_string().contains("check user:password"), "{problem}");
    let mut detector = coordination(&ensemble, "/cluster").detect();
    leader_is(&mut detector, "mine").await;
}
