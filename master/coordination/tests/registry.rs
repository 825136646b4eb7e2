//! The registry over a real ZooKeeper.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chapada_coordination::{
    Campaign, Change, Coordination, Leadership, OpenRegistryError, Record, RecordKey, Schema, Term,
    WriteError, ZkOptions,
};
use chapada_harness::zookeeper::Ensemble;
use support::{
    SCHEMA, SESSION, STEADY, build, check_versions, info, keys_of_one_page, plain_client, soon, until,
    zk_address,
};
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

async fn lead(ensemble: &Ensemble, id: &str) -> (Campaign, Term) {
    lead_with(ensemble, id, STEADY).await
}

async fn lead_with(ensemble: &Ensemble, id: &str, session_timeout: Duration) -> (Campaign, Term) {
    let here = Coordination::zookeeper(zk_address(ensemble, "/cluster"), ZkOptions { session_timeout });
    let mut campaign = here.campaign(info(id));
    let term = soon("leads", campaign.wait_until_leading()).await.expect("a candidate that is alone wins");
    (campaign, term)
}

fn record(kind: &str, key: &str, value: &[u8]) -> Record {
    Record { key: RecordKey::new(kind, key), value: value.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_reads_what_the_last_one_wrote_and_has_a_higher_epoch() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!((opened.epoch, opened.records.len()), (1, 0));
    let registry = opened.registry;
    registry.put("agents", "a/1", b"one").await.unwrap();
    registry.put("agents", "a/2", b"two").await.unwrap();
    registry.put("agents", "a/2", b"three").await.unwrap();
    registry.put("frameworks", "f", b"").await.unwrap();
    registry.write(vec![Change::delete("agents", "a/1"), Change::put("agents", "b", b"x")]).await.unwrap();
    registry.delete("agents", "never there").await.unwrap();
    campaign.resign().await;

    let (_campaign, term) = lead(&ensemble, "second").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!(opened.epoch, 2);
    let expected =
        [record("agents", "a/2", b"three"), record("agents", "b", b"x"), record("frameworks", "f", b"")];
    assert_eq!(opened.records, expected);
    let client = plain_client(&ensemble).await;
    let mut children = client.list_children("/cluster").await.unwrap();
    children.sort();
    assert!(children[0].starts_with("json.info_") && children[1] == "registry", "{children:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposed_leader_cannot_write_nor_open() {
    let ensemble = Ensemble::single();
    let (_campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    registry.put("agents", "a", b"kept").await.unwrap();
    let client = plain_client(&ensemble).await;
    client.delete("/cluster/json.info_0000000000", None).await.unwrap();
    // Whether it has noticed by now or not.
    assert_eq!(registry.put("agents", "a", b"lost").await, Err(WriteError::Deposed));
    assert!(matches!(term.open_registry(SCHEMA).await, Err(OpenRegistryError::Deposed)));

    let (_campaign, term) = lead(&ensemble, "second").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!((opened.epoch, opened.records), (2, vec![record("agents", "a", b"kept")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_survive_the_death_of_the_quorum_s_leader() {
    let mut ensemble = Ensemble::three();
    let (campaign, term) = lead(&ensemble, "only").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let writing = tokio::spawn({
        let registry = registry.clone();
        async move {
            for number in 0..400 {
                let key = format!("agent-{}", number % 40);
                registry.put("agents", &key, number.to_string().as_bytes()).await.unwrap();
            }
        }
    });
    let leader = ensemble.leader().expect("three servers serve only with a leader");
    ensemble.server(leader).kill();
    soon("all written", writing).await.unwrap();
    drop(registry);
    campaign.resign().await;
    let (_campaign, term) = lead(&ensemble, "next").await;
    let records = term.open_registry(SCHEMA).await.unwrap().records;
    let mut values: Vec<u32> =
        records.iter().map(|record| String::from_utf8_lossy(&record.value).parse().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, (360..400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_shorter_than_the_session_is_waited_out_and_nothing_is_lost_or_done_twice() {
    let mut ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "only").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let writing = tokio::spawn(async move {
        for number in 0..300 {
            let number = number.to_string();
            // Each also replaces one record: carried out again later, or out of order, it would leave another number.
            let write =
                vec![Change::put("agents", &number, b"x"), Change::put("last", "number", number.as_bytes())];
            registry.write(write).await.unwrap();
        }
    });
    for _ in 0..2 {
        ensemble.server(0).kill();
        ensemble.server(0).restart();
    }
    soon("all written", writing).await.unwrap();
    campaign.resign().await;
    let (_campaign, term) = lead(&ensemble, "next").await;
    let records = term.open_registry(SCHEMA).await.unwrap().records;
    assert_eq!(records.len(), 301);
    assert_eq!(records.last(), Some(&record("last", "number", b"299")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_longer_than_the_session_ends_the_term() {
    let mut ensemble = Ensemble::single();
    let (mut campaign, term) = lead_with(&ensemble, "only", SESSION).await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    ensemble.server(0).kill();
    let write = registry.put("agents", "a", b"x");
    let outcome = soon("the outcome", write).await;
    assert!(matches!(outcome, Err(WriteError::OutcomeUnknown | WriteError::Deposed)), "{outcome:?}");
    until("lost", &mut campaign, |state| matches!(state, Leadership::Lost(_))).await;
    assert_eq!(registry.put("agents", "a", b"x").await, Err(WriteError::Deposed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_records_load_within_a_second_and_no_znode_is_large() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let value = [7_u8; 300];
    for thousand in 0..50 {
        let writes: Vec<_> = (0..1000)
            .map(|number| {
                let registry = registry.clone();
                let key = format!("0b5c-S{}", thousand * 1000 + number);
                tokio::spawn(async move { registry.put("agents", &key, &value).await })
            })
            .collect();
        for write in writes {
            write.await.unwrap().unwrap();
        }
    }
    campaign.resign().await;
    let (_campaign, term) = lead(&ensemble, "second").await;
    let start = Instant::now();
    let records = term.open_registry(SCHEMA).await.unwrap().records;
    let took = start.elapsed();
    assert_eq!(records.len(), 50_000);
    // A debug build on a busy machine; a release build takes a small part of this.
    assert!(took < Duration::from_secs(4), "{took:?}");
    println!("50,000 records loaded in {took:?}");
    let client = plain_client(&ensemble).await;
    let (_, stat) = client.get_data("/cluster/registry/agents/000").await.unwrap();
    assert!(stat.data_length < 50_000, "{stat:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_foreign_and_damaged_registries_are_refused_by_name() {
    let ensemble = Ensemble::single();
    let client = plain_client(&ensemble).await;
    let anyone = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let (_campaign, term) = lead(&ensemble, "only").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    registry.put("agents", "a", b"x").await.unwrap();

    let refusal = async |path: &str, data: &[u8]| {
        let (before, _) = client.get_data(path).await.unwrap();
        client.set_data(path, data, None).await.unwrap();
        let error = term.open_registry(SCHEMA).await.unwrap_err().to_string();
        let (kept, _) = client.get_data(path).await.unwrap();
        assert_eq!(kept, data, "a refused registry is left alone");
        client.set_data(path, &before, None).await.unwrap();
        error
    };
    let error = refusal("/cluster/registry", br#"{"format":"a-test","version":2}"#).await;
    assert!(error.contains("a-test in version 2") && error.contains("newer chapada"), "{error}");
    let error = refusal("/cluster/registry", br#"{"format":"other","version":1}"#).await;
    assert!(error.contains("\"other\", not \"a-test\""), "{error}");
    let error = refusal("/cluster/registry", b"rubbish").await;
    assert!(error.contains("znode /cluster/registry is damaged"), "{error}");
    let error = refusal("/cluster/registry/epoch", b"many").await;
    assert!(error.contains("/cluster/registry/epoch") && error.contains("many"), "{error}");
    let page = client.list_children("/cluster/registry/agents").await.unwrap().pop().unwrap();
    let page = format!("/cluster/registry/agents/{page}");
    let error = refusal(&page, b"chapada-page 9\n").await;
    assert!(error.contains(&page) && error.contains("version 9"), "{error}");
    let error = refusal(&page, b"\0\0").await;
    assert!(error.contains(&page) && error.contains("damaged"), "{error}");
    client.create("/cluster/registry/agents/rubbish", b"", &anyone).await.unwrap();
    let error = term.open_registry(SCHEMA).await.unwrap_err().to_string();
    assert!(error.contains("/cluster/registry/agents/rubbish"), "{error}");
    client.delete("/cluster/registry/agents/rubbish", None).await.unwrap();
    let newer = Schema { version: 3, ..SCHEMA };
    assert_eq!(
        term.open_registry(newer).await.unwrap().version,
        1,
        "an older one is the caller's to migrate"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_changed_by_hand_is_not_overwritten() {
    let ensemble = Ensemble::single();
    let (_campaign, term) = lead(&ensemble, "only").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    registry.put("agents", "a", b"x").await.unwrap();
    let client = plain_client(&ensemble).await;
    let page = client.list_children("/cluster/registry/agents").await.unwrap().pop().unwrap();
    let page = format!("/cluster/registry/agents/{page}");
    client.set_data(&page, b"chapada-page 1\n", None).await.unwrap();
    assert_eq!(registry.put("agents", "a", b"y").await, Err(WriteError::Interfered(format!("znode {page}"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_break_a_limit_are_refused_and_the_others_go_on() {
    let ensemble = Ensemble::single();
    let (_campaign, term) = lead(&ensemble, "only").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let large = vec![0_u8; chapada_coordination::MAX_RECORD_BYTES + 1];
    for (kind, key, value) in
        [("agents", "a", &large[..]), ("agents", "", b""), ("Agents", "a", b""), ("epoch", "a", b"")]
    {
        let outcome = registry.put(kind, key, value).await;
        assert!(matches!(outcome, Err(WriteError::BadRecord { .. })), "{kind} {key}: {outcome:?}");
    }
    let fits = &large[..250_000];
    let many = (0..4).map(|number| Change::put("agents", &number.to_string(), fits)).collect();
    assert!(matches!(registry.write(many).await, Err(WriteError::TooLarge { .. })));
    for number in 0..8 {
        registry.put("agents", &number.to_string(), fits).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_records_whose_keys_share_a_page_fit_all_the_same_and_are_there_for_the_next_leader() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let keys = keys_of_one_page(6);
    let large = vec![0_u8; chapada_coordination::MAX_RECORD_BYTES];
    registry.put("agents", &keys[0], b"small").await.unwrap();
    for key in &keys {
        registry.put("agents", key, &large).await.unwrap();
    }
    // Of those that have no room in the page, one shrinks and one goes.
    registry.put("agents", &keys[4], b"small").await.unwrap();
    registry.delete("agents", &keys[5]).await.unwrap();
    campaign.resign().await;
    for leader in ["second", "third"] {
        let (campaign, term) = lead(&ensemble, leader).await;
        let opened = term.open_registry(SCHEMA).await.unwrap();
        let found = opened.records.iter().map(|record| (record.key.key.as_str(), record.value.len()));
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(key, _)| keys.iter().position(|other| other == key));
        let sizes: Vec<_> = found.iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, [large.len(), large.len(), large.len(), large.len(), 5]);
        opened.registry.put("agents", &keys[1], &large).await.unwrap();
        campaign.resign().await;
    }
}

const GROUPED: Schema = Schema { grouped: &["instance"], ..SCHEMA };

/// Every page of the kind `instance` below the path of [`lead`], with how often it was written and the keys in it.
async fn pages(ensemble: &Ensemble) -> BTreeMap<String, (i32, BTreeSet<String>)> {
    let client = plain_client(ensemble).await;
    let kind = "/cluster/registry/instance";
    let mut found = BTreeMap::new();
    for name in client.list_children(kind).await.expect("the kind has been written") {
        let folder = format!("{kind}/{name}");
        let own = client.list_children(&folder).await.expect("its parent names it");
        let paths = if name.len() > 3 {
            own.iter().map(|page| format!("{folder}/{page}")).collect()
        } else {
            vec![folder]
        };
        for path in paths {
            let (data, stat) = client.get_data(&path).await.expect("its parent names it");
            let records = chapada_coordination::decode_page("instance", &data, &path)
                .expect("it was written as a page");
            found.insert(path, (stat.version, records.into_iter().map(|record| record.key.key).collect()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_has_pages_of_its_own_and_its_changes_rewrite_no_other() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(GROUPED).await.unwrap().registry;
    let many = (0..300)
        .map(|number| Change::put("instance", &format!("prod_web.v2.instance-{number:03}"), &[7; 400]));
    registry.write(many.collect()).await.unwrap();
    let few = (0..10).map(|number| Change::put("instance", &format!("db.instance-{number}"), b"x"));
    registry.write(few.collect()).await.unwrap();
    let before = pages(&ensemble).await;
    let of =
        |name: &str| before.values().filter(|(_, keys)| keys.iter().any(|key| key.starts_with(name))).count();
    assert_eq!((of("prod_web.v2."), of("db."), before.len()), (5, 1, 6), "{before:?}");
    assert!(before.values().all(|(_, keys)| keys.len() <= 64), "{before:?}");

    let change = (0..10).map(|number| Change::put("instance", &format!("db.instance-{number}"), b"y"));
    registry.write(change.collect()).await.unwrap();
    registry.put("instance", "prod_web.v2.instance-300", b"one more").await.unwrap();
    registry.delete("instance", "prod_web.v2.instance-007").await.unwrap();
    let after = pages(&ensemble).await;
    let written: Vec<_> = before.iter().filter(|(page, (version, _))| after[*page].0 != *version).collect();
    assert!(
        (2..=3).contains(&written.len()),
        "one of the small group, at most two of the large: {written:?}"
    );

    campaign.resign().await;
    let (_campaign, term) = lead(&ensemble, "second").await;
    let opened = term.open_registry(GROUPED).await.unwrap();
    assert_eq!(opened.records.len(), 310);
    let rest = opened.records.iter().filter(|record| record.key.key.starts_with("prod_web"));
    opened.registry.write(rest.map(|record| Change::Delete(record.key.clone())).collect()).await.unwrap();
    assert_eq!(pages(&ensemble).await.len(), 1, "pages go with their last record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_build_that_did_not_group_them_are_read_and_join_their_group_when_written() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "older").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let mut model = BTreeMap::new();
    for number in 0..60 {
        let key = format!("app{}.{number}", number % 7);
        registry.put("instance", &key, b"old").await.unwrap();
        model.insert(key, b"old".to_vec());
    }
    campaign.resign().await;
    let mut chance = 1_u64;
    for (round, schema) in [GROUPED, GROUPED, SCHEMA].into_iter().enumerate() {
        let (campaign, term) = lead(&ensemble, &format!("round-{round}")).await;
        let opened = term.open_registry(schema).await.unwrap();
        let found = opened.records.iter().map(|record| (record.key.key.clone(), record.value.to_vec()));
        assert_eq!(found.collect::<Vec<_>>(), model.clone().into_iter().collect::<Vec<_>>(), "round {round}");
        for _ in 0..60 {
            let mut changes = Vec::new();
            for _ in 0..3 {
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let number = (chance >> 33) % 120;
                let key = format!("app{}.{number}", number % 7);
                if (chance >> 50).is_multiple_of(3) {
                    changes.push(Change::delete("instance", &key));
                    model.remove(&key);
                } else {
                    let value = vec![round as u8; ((chance >> 20) % 5_000) as usize];
                    changes.push(Change::put("instance", &key, &value));
                    model.insert(key, value);
                }
            }
            opened.registry.write(changes).await.unwrap();
        }
        let pages = pages(&ensemble).await;
        let mut all: Vec<&String> = pages.values().flat_map(|(_, keys)| keys).collect();
        all.sort();
        assert_eq!(all, model.keys().collect::<Vec<_>>(), "each record is in one page");
        let stands =
            |key: &str| pages.iter().find(|(_, (_, keys))| keys.contains(key)).map(|(path, _)| path.len());
        let moved = model.iter().filter(|(_, value)| value.as_slice() != b"old").map(|(key, _)| stands(key));
        assert!(
            moved.into_iter().all(|length| length > Some("/cluster/registry/instance/1000/".len())),
            "{pages:?}"
        );
        campaign.resign().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_records_of_a_group_leave_its_page_before_it_fits_no_transaction() {
    let ensemble = Ensemble::single();
    let (_campaign, term) = lead(&ensemble, "only").await;
    let registry = term.open_registry(GROUPED).await.unwrap().registry;
    let small = (0..20).map(|number| Change::put("instance", &format!("app.{number}"), b"x"));
    registry.write(small.collect()).await.unwrap();
    for number in 0..20 {
        registry.put("instance", &format!("app.{number}"), &vec![1; 200_000]).await.unwrap();
    }
    let opened = term.open_registry(GROUPED).await.unwrap();
    assert!(opened.records.iter().all(|record| record.value.len() == 200_000));
    assert_eq!(opened.records.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_a_newer_build_and_rubbish_in_one_are_refused_by_name() {
    let ensemble = Ensemble::single();
    let client = plain_client(&ensemble).await;
    let anyone = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let (_campaign, term) = lead(&ensemble, "only").await;
    let registry = term.open_registry(GROUPED).await.unwrap().registry;
    registry.put("instance", "app.1", b"x").await.unwrap();
    let folder = client.list_children("/cluster/registry/instance").await.unwrap().pop().unwrap();
    let folder = format!("/cluster/registry/instance/{folder}");
    let rubbish = format!("{folder}/rubbish.1");
    client.create(&rubbish, b"", &anyone).await.unwrap();
    let error = term.open_registry(GROUPED).await.unwrap_err().to_string();
    assert!(error.contains(&rubbish) && error.contains("damaged"), "{error}");
    client.delete(&rubbish, None).await.unwrap();
    client.set_data(&folder, b"chapada-page 3\n", None).await.unwrap();
    let error = term.open_registry(GROUPED).await.unwrap_err().to_string();
    assert!(error.contains(&folder) && error.contains("version 3"), "{error}");
}

/// Opens the registry as the next leader would.
async fn open_error(ensemble: &Ensemble) -> OpenRegistryError {
    let (campaign, term) = lead(ensemble, "next").await;
    let error = term.open_registry(SCHEMA).await.expect_err("it is damaged");
    campaign.resign().await;
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_deleted_or_made_rubbish_is_refused_and_never_counted_from_1_again() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    registry.put("agents", "a", b"x").await.unwrap();
    drop(registry);
    campaign.resign().await;
    let client = plain_client(&ensemble).await;
    for rubbish in ["", "-1", "nine", "18446744073709551615"] {
        client.set_data("/cluster/registry/epoch", rubbish.as_bytes(), None).await.unwrap();
        let error = open_error(&ensemble).await.to_string();
        assert!(error.contains("/cluster/registry/epoch") && error.contains("registry import"), "{error}");
    }
    client.delete("/cluster/registry/epoch", None).await.unwrap();
    let error = open_error(&ensemble).await.to_string();
    assert!(error.contains("/cluster/registry/epoch") && error.contains("it is gone"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_deleted_by_hand_is_missed_and_not_begun_anew() {
    let ensemble = Ensemble::single();
    for id in ["first", "second"] {
        let (campaign, term) = lead(&ensemble, id).await;
        term.open_registry(SCHEMA).await.unwrap();
        campaign.resign().await;
    }
    let client = plain_client(&ensemble).await;
    for path in ["/cluster/registry/epoch", "/cluster/registry"] {
        client.delete(path, None).await.unwrap();
    }
    let error = open_error(&ensemble).await;
    assert!(matches!(error, OpenRegistryError::Gone { epoch: 2, .. }), "{error}");
    for part in ["/cluster/registry", "epoch 2", "registry import", "empty znode /cluster"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // As the sentence says.
    client.set_data("/cluster", b"", None).await.unwrap();
    let (_campaign, term) = lead(&ensemble, "third").await;
    assert_eq!(term.open_registry(SCHEMA).await.unwrap().epoch, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_deleted_under_a_leader_ends_its_term_and_the_next_one_misses_it() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    registry.put("agents", "a", b"1").await.unwrap();
    registry.put("agents", "b", b"1").await.unwrap();
    let client = plain_client(&ensemble).await;
    let pages = client.list_children("/cluster/registry/agents").await.unwrap();
    assert_eq!(pages.len(), 2);
    for page in &pages {
        client.delete(&format!("/cluster/registry/agents/{page}"), None).await.unwrap();
    }
    let error = registry.put("agents", "a", b"2").await.unwrap_err();
    assert!(matches!(error, WriteError::Interfered(_)), "{error}");
    drop(registry);
    campaign.resign().await;
    let error = open_error(&ensemble).await;
    assert!(matches!(error, OpenRegistryError::Tampered { .. }), "{error}");
    let (word, root) = word(&error);
    client.set_data(&root, word.as_bytes(), None).await.unwrap();
    let (_campaign, term) = lead(&ensemble, "next").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!(opened.records, []);
    opened.registry.put("agents", "a", b"2").await.unwrap();
}

/// What the sentence says shall be written, and where.
fn word(error: &OpenRegistryError) -> (String, String) {
    let text = error.to_string();
    let (word, root) =
        text.split_once(" write ").and_then(|(_, rest)| rest.split_once(" into znode ")).expect("it says so");
    (word.to_owned(), root.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_come_or_go_while_nobody_leads_are_missed_until_somebody_says_so() {
    let ensemble = Ensemble::single();
    let client = plain_client(&ensemble).await;
    let (campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(GROUPED).await.unwrap().registry;
    let agents = (0..20).map(|number| Change::put("agents", &number.to_string(), b"x"));
    registry.write(agents.collect()).await.unwrap();
    registry.put("instance", "app.1", b"x").await.unwrap();
    registry.put("quotas", "q", b"x").await.unwrap();
    registry.delete("quotas", "q").await.unwrap();
    drop(registry);
    campaign.resign().await;
    let (campaign, term) = lead(&ensemble, "second").await;
    let opened = term.open_registry(GROUPED).await.expect("all that leaders left is there");
    opened.registry.put("agents", "one more", b"x").await.unwrap();
    drop(opened);
    campaign.resign().await;

    let page = client.list_children("/cluster/registry/agents").await.unwrap().pop().unwrap();
    let page = format!("/cluster/registry/agents/{page}");
    let (kept, _) = client.get_data(&page).await.unwrap();
    client.delete(&page, None).await.unwrap();
    // The second look is no more lenient than the first.
    for _ in 0..2 {
        let error = open_error(&ensemble).await.to_string();
        for part in ["/cluster/registry", "agents has", "of its", "registry import"] {
            assert!(error.contains(part), "{error}");
        }
    }
    let anyone = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create(&page, &kept, &anyone).await.unwrap();
    let (campaign, term) = lead(&ensemble, "mended").await;
    assert_eq!(term.open_registry(GROUPED).await.unwrap().records.len(), 22);
    campaign.resign().await;

    let folder = client.list_children("/cluster/registry/instance").await.unwrap().pop().unwrap();
    let folder = format!("/cluster/registry/instance/{folder}");
    let own = client.list_children(&folder).await.unwrap().pop().unwrap();
    client.delete(&format!("{folder}/{own}"), None).await.unwrap();
    client.delete(&folder, None).await.unwrap();
    let error = open_error(&ensemble).await;
    assert!(error.to_string().contains("instance has 0 of its 1 pages"), "{error}");
    let (word, root) = word(&error);
    client.set_data(&root, word.as_bytes(), None).await.unwrap();
    let (_campaign, term) = lead(&ensemble, "told").await;
    assert_eq!(term.open_registry(GROUPED).await.unwrap().records.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_build_that_counts_no_pages_left_is_taken_as_it_is_and_counted() {
    let ensemble = Ensemble::single();
    let client = plain_client(&ensemble).await;
    let (campaign, term) = lead(&ensemble, "newer").await;
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    registry.put("agents", "a", b"x").await.unwrap();
    registry.put("agents", "b", b"x").await.unwrap();
    drop(registry);
    campaign.resign().await;
    // So it raises the epoch and changes pages: the header stays as it was.
    client.set_data("/cluster/registry/epoch", b"2", None).await.unwrap();
    let mut pages = client.list_children("/cluster/registry/agents").await.unwrap();
    client.delete(&format!("/cluster/registry/agents/{}", pages.pop().unwrap()), None).await.unwrap();
    let (campaign, term) = lead(&ensemble, "newer again").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!((opened.epoch, opened.records.len()), (3, 1));
    campaign.resign().await;
    // And so it begins one.
    client.set_data("/cluster/registry", br#"{"format":"a-test","version":1}"#, None).await.unwrap();
    let (campaign, term) = lead(&ensemble, "newer still").await;
    assert_eq!(term.open_registry(SCHEMA).await.unwrap().records.len(), 1);
    campaign.resign().await;

    client.delete(&format!("/cluster/registry/agents/{}", pages.pop().unwrap()), None).await.unwrap();
    let error = open_error(&ensemble).await;
    assert!(error.to_string().contains("agents has 0 of its 1 pages"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_others_may_not_write_is_refused_with_what_to_check() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    term.open_registry(SCHEMA).await.unwrap();
    campaign.resign().await;
    let client = plain_client(&ensemble).await;
    client
        .set_acl("/cluster/registry/epoch", &[Acl::new(Permission::READ, AuthId::anyone())], None)
        .await
        .unwrap();
    let error = open_error(&ensemble).await.to_string();
    assert!(error.contains("refuses access") && error.contains("user:password"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_build_would_misread_keeps_it_out() {
    let ensemble = Ensemble::single();
    let (campaign, term) = lead(&ensemble, "first").await;
    check_versions(&term).await;
    campaign.resign().await;
    let (_campaign, term) = lead(&ensemble, "second").await;
    let error = term.open_registry(build(2)).await.unwrap_err().to_string();
    assert!(error.contains("in version 3, this build knows up to 2"), "{error}");
    let registry = term.open_registry(build(4)).await.unwrap().registry;
    // Pages come and go under the header that says so, and it is raised under a census.
    registry.put("frameworks", "f", b"1").await.unwrap();
    registry.write_as(4, vec![Change::put("weights", "w", b"1")]).await.unwrap();
    registry.delete("weights", "w").await.unwrap();
    assert_eq!(term.open_registry(build(4)).await.unwrap().records.len(), 4);
    let client = plain_client(&ensemble).await;
    let candidates = client.list_children("/cluster").await.unwrap();
    let ours = candidates.iter().find(|name| name.starts_with("json.info_")).unwrap();
    client.delete(&format!("/cluster/{ours}"), None).await.unwrap();
    assert_eq!(registry.write_as(5, Vec::new()).await, Err(WriteError::Deposed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_not_raised_over_a_header_that_somebody_else_has_written() {
    let ensemble = Ensemble::single();
    let (_campaign, term) = lead(&ensemble, "first").await;
    let registry = term.open_registry(build(2)).await.unwrap().registry;
    registry.write_as(2, Vec::new()).await.unwrap();
    let client = plain_client(&ensemble).await;
    client.set_data("/cluster/registry", b"{}", None).await.unwrap();
    let refused = registry.write_as(3, Vec::new()).await;
    assert!(
        matches!(&refused, Err(WriteError::Interfered(place)) if place.contains("/cluster/registry")),
        "{refused:?}"
    );
}
