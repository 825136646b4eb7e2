//! Taking a registry out and putting it back, over a real ZooKeeper and in a file.

mod support;

use chapada_coordination::{
    Backup, Campaign, Coordination, EPOCH_LEAP, OpenRegistryError, RegistryPlace, Term, TransferError,
    ZkOptions,
};
use chapada_harness::zookeeper::Ensemble;
use support::{SCHEMA, STEADY, coordination, info, keys_of_one_page, plain_client, soon, zk_address};

async fn lead(here: &Coordination, id: &str) -> (Campaign, Term) {
    let mut campaign = here.campaign(info(id));
    let term = soon("leads", campaign.wait_until_leading()).await.expect("a candidate that is alone wins");
    (campaign, term)
}

/// A leader writes these and goes.
async fn write(here: &Coordination, records: &[(&str, &str, &str)]) {
    let (campaign, term) = lead(here, "writer").await;
    let registry = term.open_registry(SCHEMA).await.expect("it is new, or of this build").registry;
    for (kind, key, value) in records {
        registry.put(kind, key, value.as_bytes()).await.expect("a leader writes");
    }
    campaign.resign().await;
}

fn in_zookeeper(ensemble: &Ensemble) -> RegistryPlace {
    let options = ZkOptions { session_timeout: STEADY };
    RegistryPlace::ZooKeeper { address: zk_address(ensemble, "/cluster"), options }
}

fn values(backup: &Backup) -> Vec<(String, String)> {
    let value = |record: &chapada_coordination::Record| {
        (record.key.key.clone(), String::from_utf8_lossy(&record.value).into_owned())
    };
    backup.records.iter().map(value).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_out_beside_a_leader_is_put_back_under_an_epoch_that_agents_obey() {
    let ensemble = Ensemble::single();
    let (here, place) = (coordination(&ensemble, "/cluster"), in_zookeeper(&ensemble));
    write(&here, &[("agents", "a", "1"), ("agents", "b", "1"), ("quotas", "q", "1")]).await;
    let (campaign, term) = lead(&here, "leads").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!((opened.epoch, opened.restored), (2, None));
    let backup = place.export("today").await.unwrap();
    assert_eq!((backup.epoch, backup.records.len(), &*backup.schema), (2, 3, SCHEMA.name));
    // The cluster goes on.
    opened.registry.put("agents", "b", b"2").await.unwrap();
    opened.registry.put("agents", "c", b"2").await.unwrap();

    let in_use = place.import(&backup, "note", true).await.unwrap_err();
    assert!(matches!(in_use, TransferError::InUse { candidates: 1, .. }), "{in_use}");
    campaign.resign().await;
    let refused = place.import(&backup, "note", false).await.unwrap_err().to_string();
    for part in ["epoch 2", "1 of agents, 1 of agents as they are now", "--force"] {
        assert!(refused.contains(part), "{refused}");
    }
    let unchanged = place.export("").await.unwrap();
    assert_eq!(unchanged.records.len(), 4, "a refusal changes nothing");

    let imported = place.import(&backup, "a note", true).await.unwrap();
    assert_eq!((imported.epoch, imported.records), (2 + EPOCH_LEAP, 3));
    let (_campaign, term) = lead(&here, "next").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!(opened.epoch, 3 + EPOCH_LEAP);
    assert_eq!(opened.restored.as_deref(), Some("a note"));
    assert_eq!(opened.records, backup.records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_records_whose_keys_share_a_page_are_put_back_and_the_next_leader_goes_on_with_them() {
    // By the hash that is part of the format these four are in one page.
    let keys = keys_of_one_page(4);
    let record = |key: &String| chapada_coordination::Record {
        key: chapada_coordination::RecordKey::new("agents", key),
        value: vec![b'x'; chapada_coordination::MAX_RECORD_BYTES].into(),
    };
    let mut records: Vec<_> = keys.iter().map(record).collect();
    records.sort_by(|a, b| a.key.cmp(&b.key));
    let (schema, taken) = (SCHEMA.name.to_owned(), String::new());
    let backup = Backup { schema, version: SCHEMA.version, epoch: 1, taken, records };
    let ensemble = Ensemble::single();
    let (here, place) = (coordination(&ensemble, "/cluster"), in_zookeeper(&ensemble));
    place.import(&backup, "a note", false).await.unwrap();
    assert_eq!(place.export("").await.unwrap().records, backup.records);
    let (_campaign, term) = lead(&here, "next").await;
    let opened = term.open_registry(SCHEMA).await.unwrap();
    assert_eq!(opened.records, backup.records);
    for key in &keys {
        opened.registry.put("agents", key, b"small").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_moved_into_zookeeper_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = RegistryPlace::File(folder.path().join("one.redb"));
    let nothing = file.export("").await.unwrap_err();
    assert!(matches!(nothing, TransferError::Nothing(_)), "{nothing}");
    {
        let here = Coordination::embedded(&folder.path().join("one.redb")).unwrap();
        write(&here, &[("agents", "a", "1")]).await;
        let in_use = file.export("").await.unwrap_err();
        assert!(in_use.to_string().contains("in use by another process"), "{in_use}");
    }
    let backup = soon("the file is free", async {
        loop {
            // The writer's task lets go of it when it ends.
            if let Ok(backup) = file.export("today").await {
                return backup;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ensemble = Ensemble::single();
    let place = in_zookeeper(&ensemble);
    let imported = place.import(&backup, "", false).await.unwrap();
    assert_eq!((imported.epoch, imported.lost), (1 + EPOCH_LEAP, None));
    let back = place.export("").await.unwrap();
    assert_eq!(values(&back), [("a".to_owned(), "1".to_owned())]);
    let refused = file.import(&back, "", false).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotEmpty { epoch: 1, .. }), "{refused}");
    let imported = file.import(&back, "", true).await.unwrap();
    assert_eq!(imported.epoch, 1 + 2 * EPOCH_LEAP, "higher than both");
    assert_eq!(values(&file.export("").await.unwrap()), values(&back));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_broke_off_is_no_registry_and_is_done_again_without_force() {
    let ensemble = Ensemble::single();
    let (here, place) = (coordination(&ensemble, "/cluster"), in_zookeeper(&ensemble));
    write(&here, &[("agents", "a", "1")]).await;
    let backup = place.export("").await.unwrap();
    let client = plain_client(&ensemble).await;
    let header = br#"{"format":"chapada-import-under-way","version":1}"#;
    client.set_data("/cluster/registry", header, None).await.unwrap();
    client.delete("/cluster/registry/agents/b4c", None).await.ok();

    let (campaign, term) = lead(&here, "early").await;
    let error = term.open_registry(SCHEMA).await.unwrap_err();
    assert!(matches!(error, OpenRegistryError::BeingImported(_)), "{error}");
    campaign.resign().await;
    let imported = place.import(&backup, "", false).await.unwrap();
    assert_eq!(imported.epoch, 1 + EPOCH_LEAP, "no lower than the one that was left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_lacks_a_page_is_no_backup_and_one_that_is_put_in_place_is_counted() {
    let ensemble = Ensemble::single();
    let (here, place) = (coordination(&ensemble, "/cluster"), in_zookeeper(&ensemble));
    write(&here, &[("agents", "a", "1"), ("quotas", "q", "1")]).await;
    let backup = place.export("").await.unwrap();
    let client = plain_client(&ensemble).await;
    let lose = async || {
        let page = client.list_children("/cluster/registry/agents").await.unwrap().pop().unwrap();
        client.delete(&format!("/cluster/registry/agents/{page}"), None).await.unwrap();
    };
    lose().await;
    let refused = place.export("").await.unwrap_err().to_string();
    assert!(refused.contains("agents has 0 of its 1 pages"), "{refused}");
    let refused = place.import(&backup, "", false).await.unwrap_err();
    assert!(matches!(refused, TransferError::Unreadable { .. }), "{refused}");
    place.import(&backup, "", true).await.unwrap();
    lose().await;
    let (_campaign, term) = lead(&here, "next").await;
    let error = term.open_registry(SCHEMA).await.unwrap_err();
    assert!(matches!(error, OpenRegistryError::Tampered { .. }), "{error}");
}
