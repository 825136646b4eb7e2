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
