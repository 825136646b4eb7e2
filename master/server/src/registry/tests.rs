use std::collections::BTreeSet;
use std::sync::Mutex;

use chapada_coordination::{Coordination, LeaderInfo, MemoryStore};
use chapada_master_core::{
    AgentRecord, Drain, DrainOrder, DrainPlan, FrameworkRecord, KilledBefore, Removal, Standing,
};
use chapada_model::{AgentDescription, FrameworkDescription, Milli, Wall};

use super::*;

/// A registry in memory that takes so many bytes at once.
async fn open(bytes: usize) -> (MemoryStore, Registry) {
    let store = MemoryStore::default();
    store.limit_writes(bytes);
    let opened = open_as(&store, SCHEMA).await.expect("empty");
    (store, opened.registry)
}

/// The store as a build of this schema finds it.
async fn open_as(
    store: &MemoryStore,
    schema: Schema,
) -> Result<OpenedRegistry, chapada_coordination::OpenRegistryError> {
    let (id, hostname, version) = ("m".to_owned(), "localhost".to_owned(), "1.0".to_owned());
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let info = LeaderInfo { id, hostname, ip, port: 5050, version, capabilities: Vec::new() };
    let mut campaign = Coordination::Memory(store.clone()).campaign(info);
    campaign.wait_until_leading().await.expect("alone").open_registry(schema).await
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
async fn written(registry: Registry, writings: Vec<Writing>) -> (Result<(), Error>, Vec<u64>) {
    written_within(Duration::from_secs(60), registry, writings).await
}

async fn written_within(
    within: Duration,
    registry: Registry,
    writings: Vec<Writing>,
) -> (Result<(), Error>, Vec<u64>) {
    let (queue, changes) = mpsc::channel(1_000);
    for writing in writings {
        assert!(queue.try_send(writing).is_ok(), "there is room");
    }
    drop(queue);
    let told = Mutex::new(Vec::new());
    let outcome = write_and_tell(registry, within, changes, |ticket| {
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
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(told, (0..400).collect::<Vec<_>>());
    let state = read_records(1, &store.records()).expect("readable");
    let said: Vec<_> = state.drains.values().map(|plan| &*plan.selected_by).collect();
    assert_eq!(said.len(), 300);
    assert!(said[..100].iter().all(|said| *said == "last") && said[100..].iter().all(|said| **said == text));
    let (outcome, told) = written(registry, vec![drain(400, "one-more", "")]).await;
    assert!(outcome.is_ok() && told == [400], "{outcome:?} {told:?}");
}

#[tokio::test]
async fn parts_of_one_batch_are_written_in_the_order_in_which_they_were_asked_for() {
    let (store, registry) = open(10_000).await;
    let text = "x".repeat(900);
    let first = (0..50).map(|n| drain(n, &format!("d{n:03}"), &text));
    let last = (50..100).map(|n| drain(n, &format!("d{:03}", n - 50), "last"));
    let (outcome, told) = written(registry, first.chain(last).collect()).await;
    assert!(outcome.is_ok() && told == (0..100).collect::<Vec<_>>(), "{outcome:?} {told:?}");
    let state = read_records(1, &store.records()).expect("readable");
    assert!(state.drains.len() == 50 && state.drains.values().all(|plan| &*plan.selected_by == "last"));
}

#[tokio::test]
async fn one_change_of_many_records_is_split_only_when_it_must_be() {
    let (store, registry) = open(200).await;
    let weights = (0..100).map(|n| (format!("role-{n}").parse().expect("a role"), Milli(n))).collect();
    let change = RegistryChange::PutWeights(weights);
    let (outcome, told) = written(registry, vec![Writing { ticket: Ticket(1), change }]).await;
    assert!(outcome.is_ok() && told == [1], "{outcome:?} {told:?}");
    assert_eq!(store.records().len(), 100);
}

#[tokio::test]
async fn a_record_that_fits_nowhere_is_named() {
    let (_, registry) = open(10_000).await;
    let writings = vec![drain(1, "small", ""), drain(2, "large", &"x".repeat(300_000))];
    let (outcome, told) = written(registry, writings).await;
    assert!(matches!(outcome, Err(Error::Write(WriteError::BadRecord { key, .. })) if key == "large"));
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

/// A build of a former version.
fn former(version: u32) -> Schema {
    Schema { version, ..SCHEMA }
}

fn write(change: RegistryChange) -> Vec<Writing> {
    vec![Writing { ticket: Ticket(1), change }]
}

/// The record of an agent, changed so.
fn agent(change: impl FnOnce(&mut AgentRecord)) -> RegistryChange {
    let text = |text: &str| Some(text.to_owned());
    let info = chapada_wire::v1::AgentInfo { hostname: text("localhost"), ..Default::default() };
    let mut record = AgentRecord {
        description: AgentDescription::try_from(&info).expect("valid").into(),
        standing: Standing::Admitted,
        registered: Wall(1),
        deactivated: false,
        drain: None,
        returned: None,
    };
    change(&mut record);
    RegistryChange::PutAgent("a".parse().expect("an id"), record)
}

/// The record of an agent that is drained like that.
fn drained(is_notice_over: bool, killed_before: Option<KilledBefore>) -> RegistryChange {
    let (order, since, is_drained, part_of) = (DrainOrder::default(), Wall(1), false, None);
    let drain = Drain { order, since, is_drained, part_of, is_notice_over, killed_before };
    agent(|record| record.drain = Some(drain))
}

/// The record of a framework.
fn framework(removed: Option<Removal>) -> RegistryChange {
    let text = |text: &str| Some(text.to_owned());
    let info = chapada_wire::v1::FrameworkInfo { user: text("root"), name: text("f"), ..Default::default() };
    let description = FrameworkDescription::try_from(&info).expect("valid").into();
    let record = FrameworkRecord { description, registered: Wall(1), disconnected: None, removed };
    RegistryChange::PutFramework("f".parse().expect("an id"), record)
}

/// A removal as it is in the framework's own record.
fn removal(unconfirmed: &[&str], absent: bool) -> Option<Removal> {
    let unconfirmed = unconfirmed.iter().map(|id| id.parse().expect("an id")).collect();
    Some(Removal { at: Wall(1), unconfirmed, absent })
}

#[tokio::test]
async fn a_former_build_may_lead_until_something_is_written_that_it_would_misread() {
    let quota = RegistryChange::PutQuotas(vec![("ops".parse().expect("a role"), Some(Quota::default()))]);
    for (change, version) in [
        (RegistryChange::PutWeights(vec![("ops".parse().expect("a role"), Milli(1))]), 1),
        (quota, 2),
        (drain(1, "d", "").change, 4),
        (agent(|_| {}), 1),
        (agent(|record| record.returned = Some(Wall(1))), 1),
        (agent(|record| record.deactivated = true), 4),
        (drained(false, None), 4),
        (drained(true, None), 5),
        (drained(true, Some(KilledBefore { from: Wall(1), until: Wall(2), mark_gone: true })), 6),
        (framework(None), 1),
        // As builds up to 4 write it.
        (framework(removal(&["a"], false)), 1),
        (framework(removal(&[], true)), 3),
        (
            RegistryChange::PutUnconfirmed(
                "f".parse().expect("an id"),
                0,
                ["a".parse().expect("an id")].into(),
            ),
            5,
        ),
    ] {
        let store = MemoryStore::default();
        open_as(&store, former(1)).await.expect("begun by a former build");
        let opened = open_as(&store, SCHEMA).await.expect("read by this one");
        assert_eq!(opened.version, 1);
        let (outcome, _) = written(opened.registry, write(change.clone())).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(read_records(1, &store.records()).expect("readable").version(), version, "{change:?}");
        assert_eq!(open_as(&store, former(version)).await.expect("it reads it").version, version);
        if version > 1 {
            let error =
                open_as(&store, former(version - 1)).await.expect_err("it would misread it").to_string();
            let words =
                format!("in version {version}, this build knows up to {}: run a newer chapada", version - 1);
            assert!(error.contains(&words), "{error}");
        }
    }
}

#[tokio::test]
async fn what_a_build_has_written_that_did_not_say_its_version_is_said_by_the_next_leader() {
    let store = MemoryStore::default();
    let opened = open_as(&store, former(1)).await.expect("empty");
    let records = changes(&drain(1, "d", "").change);
    opened.registry.write(records).await.expect("written as builds did that never said so");
    let opened = open_as(&store, SCHEMA).await.expect("read");
    assert_eq!(opened.version, 1);
    say_version(&opened, &read(&opened).expect("readable"), Duration::from_secs(60)).await.expect("said");
    assert!(open_as(&store, former(3)).await.is_err());
    assert_eq!(open_as(&store, SCHEMA).await.expect("read").version, 4);
}

#[tokio::test]
async fn a_registry_that_is_not_there_in_time_makes_room_for_another_leader() {
    let opening = fetched(Duration::ZERO, std::future::pending());
    let opened = tokio::time::timeout(Duration::from_secs(30), opening).await;
    let error = opened.expect("it gives up").expect_err("late");
    assert!(error.is_of_registry(), "another may be faster");
    assert!(error.to_string().contains("allow more with --registry-fetch-timeout"), "{error}");
}

#[tokio::test]
async fn a_write_that_is_not_durable_in_time_ends_the_leadership_and_is_told_to_nobody() {
    let (_, registry) = open(10_000).await;
    // A first write waits for company for longer than that.
    let (outcome, told) = written_within(Duration::ZERO, registry, vec![drain(1, "d", "")]).await;
    let error = outcome.expect_err("late");
    assert!(error.is_of_registry() && told.is_empty(), "{error} {told:?}");
    assert!(error.to_string().contains("allow more with --registry-store-timeout"), "{error}");
}
