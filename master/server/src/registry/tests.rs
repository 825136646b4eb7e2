use std::collections::BTreeSet;
use std::sync::Mutex;

use chapada_coordination::{Coordination, LeaderInfo, MemoryStore};
use chapada_master_core::{DrainOrder, DrainPlan};
use chapada_model::{Milli, Wall};

use super::*;

/// A registry in memory that takes so many bytes at once.
async fn open(bytes: usize) -> (MemoryStore, Registry) {
    let store = MemoryStore::default();
    store.limit_writes(bytes);
    let (id, hostname, version) = ("m".to_owned(), "localhost".to_owned(), "1.0".to_owned());
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let info = LeaderInfo { id, hostname, ip, port: 5050, version, capabilities: Vec::new() };
    let mut campaign = Coordination::Memory(store.clone()).campaign(info);
    let term = campaign.wait_until_leading().await.expect("alone");
    (store, term.open_registry(SCHEMA).await.expect("empty").registry)
}

fn drain(ticket: u64, name: &str, selected_by: &str) -> Writing {
    let (waiting, begun) = (BTreeSet::new(), BTreeSet::new());
    let plan = DrainPlan {
        since: Wall(1),
        selected_by: selected_by.into(),
        order: DrainOrder::default(),
        at_once: 1,
        waiting,
        begun,
        ended: None,
        is_cancelled: false,
    };
    Writing { ticket: Ticket(ticket), change: RegistryChange::PutDrain(name.into(), Some(plan)) }
}

/// Writes these and gives the tickets in the order in which they were said to be durable.
async fn written(registry: Registry, writings: Vec<Writing>) -> (Result<(), WriteError>, Vec<u64>) {
    let (queue, changes) = mpsc::channel(1_000);
    for writing in writings {
        assert!(queue.try_send(writing).is_ok(), "there is room");
    }
    drop(queue);
    let told = Mutex::new(Vec::new());
    let outcome = write_and_tell(registry, changes, |ticket| {
        told.lock().expect("nobody panics").push(ticket.0);
        std::future::ready(Ok(()))
    });
    let outcome = outcome.await;
    (outcome, told.into_inner().expect("nobody panics"))
}

#[tokio::test]
async fn a_mass_change_too_large_for_one_transaction_is_written_whole_and_in_order_and_the_leader_goes_on() {
    let (store, registry) = open(10_000).await;
    let text = "x".repeat(900);
    let mut writings: Vec<_> = (0..300).map(|n| drain(n, &format!("d{n:03}"), &text)).collect();
    // What is said last of a record is what stays of it.
    writings.extend((300..400).map(|n| drain(n, &format!("d{:03}", n - 300), "last")));
    let (outcome, told) = written(registry.clone(), writings).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(told, (0..400).collect::<Vec<_>>());
    let state = read_records(1, &store.records()).expect("readable");
    let said: Vec<_> = state.drains.values().map(|plan| &*plan.selected_by).collect();
    assert_eq!(said.len(), 300);
    assert!(said[..100].iter().all(|said| *said == "last") && said[100..].iter().all(|said| **said == text));
    let (outcome, told) = written(registry, vec![drain(400, "one-more", "")]).await;
    assert_eq!((outcome, told), (Ok(()), vec![400]));
}

#[tokio::test]
async fn one_change_of_many_records_is_split_only_when_it_must_be() {
    let (store, registry) = open(200).await;
    let weights = (0..100).map(|n| (format!("role-{n}").parse().expect("a role"), Milli(n))).collect();
    let change = RegistryChange::PutWeights(weights);
    let (outcome, told) = written(registry, vec![Writing { ticket: Ticket(1), change }]).await;
    assert_eq!((outcome, told), (Ok(()), vec![1]));
    assert_eq!(store.records().len(), 100);
}

#[tokio::test]
async fn a_record_that_fits_nowhere_is_named() {
    let (_, registry) = open(10_000).await;
    let writings = vec![drain(1, "small", ""), drain(2, "large", &"x".repeat(300_000))];
    let (outcome, told) = written(registry, writings).await;
    assert!(matches!(outcome, Err(WriteError::BadRecord { key, .. }) if key == "large"));
    assert_eq!(told, Vec::<u64>::new());
}

#[test]
fn parts_of_those_who_must_confirm_are_read_back_and_misnamed_ones_are_refused_by_name() {
    let agents: BTreeSet<chapada_model::AgentId> = ["a-S1".parse().unwrap(), "a-S2".parse().unwrap()].into();
    let framework: FrameworkId = "m.1-0000".parse().unwrap();
    let change = RegistryChange::PutUnconfirmed(framework.clone(), 7, agents.clone());
    let [Change::Put(record)] = &changes(&change)[..] else { panic!("one record") };
    let state = read_records(1, std::slice::from_ref(record)).expect("readable");
    assert_eq!(state.unconfirmed[&framework][&7], agents);
    let gone = changes(&RegistryChange::PutUnconfirmed(framework, 7, BTreeSet::new()));
    assert_eq!(gone, [Change::Delete(record.key.clone())]);
    for name in ["m", "m.x", ".1"] {
        let key = chapada_coordination::RecordKey::new(UNCONFIRMED, name);
        let misnamed = Record { key, value: record.value.clone() };
        let error = read_records(1, &[misnamed]).expect_err("misnamed").to_string();
        assert!(error.contains(&format!("unconfirmed/{name}")), "{error}");
    }
}

#[test]
fn a_removal_as_builds_up_to_version_4_wrote_it_is_read() {
    let text = r#"{"at":5,"unconfirmed":["a-S1","a-S2"]}"#;
    let removal: chapada_master_core::Removal = serde_json::from_str(text).expect("readable");
    assert_eq!((removal.unconfirmed.len(), removal.absent), (2, false));
}

#[test]
fn a_part_of_the_longest_ids_is_no_larger_than_a_record_may_be() {
    let id = |n: usize| format!("{n:\"<255}").parse().expect("the longest id, each character two in JSON");
    let agents = (0..chapada_master_core::MAX_AGENTS_PER_PART).map(id).collect();
    let framework = "f".repeat(255).parse().expect("the longest id");
    let [Change::Put(record)] = &changes(&RegistryChange::PutUnconfirmed(framework, u32::MAX, agents))[..]
    else {
        panic!("one record")
    };
    assert!(record.value.len() <= chapada_coordination::MAX_RECORD_BYTES, "{}", record.value.len());
}
