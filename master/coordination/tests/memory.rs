//! The backend in memory, for tests of those who use this crate.

mod support;

use chapada_coordination::{Change, Coordination, Leadership, LostReason, MemoryStore, WriteError};
use support::{SCHEMA, info, soon};

#[tokio::test]
async fn what_was_written_outlives_the_writer_and_the_deposed_writes_no_more() {
    let store = MemoryStore::default();
    let coordination = Coordination::Memory(store.clone());
    let mut first = coordination.campaign(info("first"));
    let opened = first.wait_until_leading().await.unwrap().open_registry(SCHEMA).await.unwrap();
    opened.registry.put("tasks", "a", b"1").await.unwrap();

    store.depose();
    let told = soon("the first is told", first.changed()).await;
    assert!(matches!(told, Leadership::Lost(LostReason::Deposed(_))), "{told:?}");
    assert_eq!(opened.registry.put("tasks", "b", b"1").await, Err(WriteError::Deposed));

    let mut second = coordination.campaign(info("second"));
    let found = second.wait_until_leading().await.unwrap().open_registry(SCHEMA).await.unwrap();
    assert_eq!((found.records, found.epoch > opened.epoch), (store.records(), true));
    found.registry.write(vec![Change::delete("tasks", "a")]).await.unwrap();
    assert!(store.records().is_empty());
}

#[tokio::test]
async fn a_write_above_the_limit_is_refused_whole_and_the_next_one_is_taken() {
    let store = MemoryStore::default();
    let mut campaign = Coordination::Memory(store.clone()).campaign(info("only"));
    let registry = campaign.wait_until_leading().await.unwrap().open_registry(SCHEMA).await.unwrap().registry;
    store.limit_writes(4);
    let many = vec![Change::put("tasks", "a", b"12"), Change::put("tasks", "b", b"12")];
    let refused = registry.write(many).await;
    assert_eq!(refused, Err(WriteError::TooLarge { bytes: 6, limit: 4 }));
    assert!(store.records().is_empty());
    registry.put("tasks", "a", b"123").await.unwrap();
}

#[tokio::test]
async fn writes_can_be_refused_and_a_leader_deposed_without_a_word() {
    let store = MemoryStore::default();
    let mut campaign = Coordination::Memory(store.clone()).campaign(info("only"));
    let term = campaign.wait_until_leading().await.unwrap();
    let registry = term.open_registry(SCHEMA).await.unwrap().registry;
    let full = WriteError::Storage { place: "memory".to_owned(), message: "it is full".to_owned() };
    store.refuse_writes([full.clone()]);
    assert_eq!(registry.put("tasks", "a", b"1").await, Err(full));
    assert!(store.records().is_empty());
    registry.put("tasks", "a", b"1").await.unwrap();
    store.depose_unheard();
    assert_eq!(registry.put("tasks", "b", b"1").await, Err(WriteError::Deposed));
    assert!(matches!(campaign.state(), Leadership::Leading(_)));
}

#[tokio::test(start_paused = true)]
async fn out_of_reach_a_leader_is_suspended_its_writes_wait_and_nobody_is_elected() {
    let store = MemoryStore::default();
    let coordination = Coordination::Memory(store.clone());
    let mut first = coordination.campaign(info("first"));
    let registry = first.wait_until_leading().await.unwrap().open_registry(SCHEMA).await.unwrap().registry;
    store.suspend(true);
    assert!(matches!(soon("it is told", first.changed()).await, Leadership::Suspended));
    let mut second = coordination.campaign(info("second"));
    let writing = tokio::spawn(async move { registry.put("tasks", "a", b"1").await });
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(!writing.is_finished() && matches!(second.state(), Leadership::Contending));
    store.suspend(false);
    assert_eq!(soon("the write", writing).await.unwrap(), Ok(()));
    assert!(matches!(soon("it is told", first.changed()).await, Leadership::Leading(_)));
    soon("elected", second.wait_until_leading()).await.unwrap();
}
