//! Of a file.

use std::path::{Path, PathBuf};

use super::super::embedded::EmbeddedStore;
use super::{Backup, Imported, OpenRegistryError, Present, TransferError, leap, weigh};

pub(super) async fn export(file: PathBuf) -> Result<Present, TransferError> {
    blocking(move || if file.exists() { read(&file) } else { Ok(Present::Nothing) }).await
}

pub(super) async fn import(
    file: PathBuf,
    backup: Backup,
    note: String,
    force: bool,
) -> Result<Imported, TransferError> {
    blocking(move || {
        let place = file.display().to_string();
        let present = if file.exists() { read(&file)? } else { Present::Nothing };
        let (there, lost) = weigh(&place, &present, &backup, force)?;
        let epoch = leap(there, &backup);
        EmbeddedStore::open(&file)?.replace(&backup, epoch, &note)?;
        Ok(Imported { place, epoch, records: backup.records.len(), lost })
    })
    .await
}

fn read(file: &Path) -> Result<Present, TransferError> {
    match EmbeddedStore::open(file)?.everything() {
        Ok(Some(backup)) => Ok(Present::Registry(backup)),
        Ok(None) => Ok(Present::Nothing),
        Err(OpenRegistryError::Damaged { what, .. }) => Ok(Present::Damaged { epoch: 0, why: what }),
        Err(error) => Err(error.into()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let (doing, place) = ("use", "the registry's file".to_owned());
        Err(OpenRegistryError::Storage { doing, place, message: error.to_string() }.into())
    })
}
