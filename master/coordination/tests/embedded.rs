//! The embedded backend: the same behaviour on one file.

mod support;

use chapada_coordination::{Change, Coordination, Leadership, OpenRegistryError, Schema};
use support::{SCHEMA, check_versions, info, soon};

#[tokio::test]
async fn records_and_epoch_survive_and_the_one_process_always_leads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/registry.redb");
    for life in 1..=3_u64 {
        let here = Coordination::embedded(&file).unwrap();
        let mut campaign = here.campaign(info("only"));
        let term = soon("leads", campaign.wait_until_leading()).await.unwrap();
        assert_eq!(here.detect().leader(), Some(info("only")));
        let opened = term.open_registry(SCHEMA).await.unwrap();
        assert_eq!((opened.epoch, opened.records.len() as u64), (life, life - 1));
        let writes = vec![
            Change::put("agents", &life.to_string(), b"x"),
            Change::put("agents", "gone", b"x"),
            Change::delete("agents", "gone"),
        ];
        opened.registry.write(writes).await.unwrap();
        let watch = campaign.watch();
        campaign.resign().await;
        assert!(matches!(*watch.borrow(), Leadership::Lost(_)));
        assert_eq!(here.detect().leader(), None);
        drop((here, term, opened, watch));
        soon("the file is let go", async {
            while let Err(error) = Coordination::embedded(&file) {
                assert!(matches!(error, OpenRegistryError::InUse(_)), "{error}");
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_file_in_use_of_a_newer_version_foreign_or_damaged_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.redb");
    let here = Coordination::embedded(&file).unwrap();
    let error = Coordination::embedded(&file).unwrap_err().to_string();
    assert!(error.contains("registry.redb is in use by another process"), "{error}");

    let mut campaign = here.campaign(info("only"));
    let term = campaign.wait_until_leading().await.unwrap();
    term.open_registry(Schema { version: 7, ..SCHEMA }).await.unwrap();
    let error = term.open_registry(SCHEMA).await.unwrap_err().to_string();
    assert!(error.contains("version 7") && error.contains("newer chapada"), "{error}");
    let error =
        term.open_registry(Schema { name: "other", version: 7, grouped: &[] }).await.unwrap_err().to_string();
    assert!(error.contains("\"a-test\", not \"other\""), "{error}");

    let rubbish = folder.path().join("rubbish.redb");
    std::fs::write(&rubbish, vec![9_u8; 8192]).unwrap();
    let error = Coordination::embedded(&rubbish).unwrap_err().to_string();
    assert!(error.contains("rubbish.redb"), "{error}");
}

#[tokio::test]
async fn what_an_older_build_would_misread_keeps_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let here = Coordination::embedded(&folder.path().join("registry.redb")).unwrap();
    let mut campaign = here.campaign(info("only"));
    check_versions(&campaign.wait_until_leading().await.unwrap()).await;
}
