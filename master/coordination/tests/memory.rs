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
