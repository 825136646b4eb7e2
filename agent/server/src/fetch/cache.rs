//! Copies that are kept for the next who wants the same. At most one fetch of each is under way; what was not used for the
//! longest goes first; a copy that somebody reads stays until he is done.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chapada_fetcher::Checksum;

use super::FetchFailed;
use crate::error::AgentError;

/// What a copy is of, and for whom: what one user may fetch is not another's to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) user: Option<String>,
    pub(super) uri: String,
    pub(super) checksum: Option<Checksum>,
}

/// A file that goes with the last who uses it.
#[derive(Debug)]
pub(super) struct Copy {
    file: PathBuf,
}

impl Copy {
    pub(super) fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.file.display(), %error, "a copy stays in the cache's directory");
        }
    }
}

/// Where the copy of one key is made.
type Place = Arc<tokio::sync::Mutex<Option<Arc<Copy>>>>;

#[derive(Debug)]
struct Kept {
    place: Place,
    bytes: u64,
    used: u64,
}

#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    capacity: u64,
    names: AtomicU64,
    kept: Mutex<HashMap<Key, Kept>>,
}

impl Cache {
    /// An empty one.
    pub(super) fn new(directory: PathBuf, capacity: u64) -> Result<Self, AgentError> {
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(AgentError::directory("empty", directory)(error));
            }
            _ => {}
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(AgentError::directory("make", &directory))?;
        Ok(Self { directory, capacity, names: AtomicU64::new(0), kept: Mutex::default() })
    }

    /// The copy of this key; `fetch` makes it in a new file if there is none. Others who want the same wait meanwhile, and one
    /// of them tries again when it fails or is given up.
    pub(super) async fn get<F>(
        &self,
        key: Key,
        fetch: impl FnOnce(PathBuf) -> F,
    ) -> Result<Arc<Copy>, FetchFailed>
    where
        F: Future<Output = Result<(), FetchFailed>>,
    {
        let place = self.place(&key);
        let mut held = place.lock().await;
        if let Some(copy) = &*held {
            return Ok(copy.clone());
        }
        let copy = self.new_copy();
        if let Err(error) = fetch(copy.file.clone()).await {
            drop(held);
            self.forget(&key, &place);
            return Err(error);
        }
        let bytes = fs::metadata(&copy.file).map_or(0, |metadata| metadata.len());
        *held = Some(copy.clone());
        drop(held);
        self.keep(&key, bytes);
        Ok(copy)
    }

    /// A copy that is kept for nobody else.
    pub(super) async fn once<F>(&self, fetch: impl FnOnce(PathBuf) -> F) -> Result<Arc<Copy>, FetchFailed>
    where
        F: Future<Output = Result<(), FetchFailed>>,
    {
        let copy = self.new_copy();
        fetch(copy.file.clone()).await?;
        Ok(copy)
    }

    /// A name that no other has had.
    fn new_copy(&self) -> Arc<Copy> {
        let name = self.names.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(Copy { file: self.directory.join(name) })
    }

    fn place(&self, key: &Key) -> Place {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.names.fetch_add(1, Ordering::Relaxed);
        let known =
            kept.entry(key.clone()).or_insert_with(|| Kept { place: Place::default(), bytes: 0, used });
        known.used = used;
        known.place.clone()
    }

    /// A fetch that failed leaves nothing behind, unless another waits to try again.
    fn forget(&self, key: &Key, place: &Place) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Of this caller, and of the map.
        if Arc::strong_count(place) <= 2 {
            kept.remove(key);
        }
    }

    /// Counts a copy, and lets go of others until all fit.
    fn keep(&self, key: &Key, bytes: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get_mut(key) {
            known.bytes = bytes;
        }
        while kept.values().map(|known| known.bytes).sum::<u64>() > self.capacity {
            let oldest = kept.iter().filter(|(_, known)| known.bytes > 0).min_by_key(|(_, known)| known.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            kept.remove(&oldest);
        }
        // Places of fetches that were given up.
        kept.retain(|_, known| known.bytes > 0 || Arc::strong_count(&known.place) > 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn key(uri: &str) -> Key {
        Key { user: None, uri: uri.to_owned(), checksum: None }
    }

    fn cache(capacity: u64) -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("fetched"), capacity).unwrap();
        (directory, cache)
    }

    async fn get(cache: &Cache, uri: &str, bytes: usize) -> Result<Arc<Copy>, FetchFailed> {
        let store = |file| async move { fs::write(file, vec![0; bytes]).map_err(FetchFailed::Start) };
        cache.get(key(uri), store).await
    }

    fn files(cache: &Cache) -> usize {
        fs::read_dir(&cache.directory).unwrap().count()
    }

    #[tokio::test]
    async fn the_least_used_goes_first_and_one_in_use_stays() {
        let (_directory, cache) = cache(100);
        let a = get(&cache, "a", 40).await.unwrap();
        drop(get(&cache, "b", 40).await.unwrap());
        let again = cache.get(key("a"), |_| async { panic!("it is there") }).await.unwrap();
        assert_eq!(again.path(), a.path());
        drop(get(&cache, "c", 40).await.unwrap());
        assert_eq!(files(&cache), 2, "b went");
        drop(get(&cache, "d", 1000).await.unwrap());
        assert!(a.path().exists(), "somebody reads it");
        drop((a, again));
        assert_eq!(files(&cache), 0, "what is larger than the cache is not kept");
    }

    #[tokio::test]
    async fn those_who_want_the_same_wait_for_one_fetch() {
        let (_directory, cache) = cache(100);
        let (cache, fetches) = (Arc::new(cache), Arc::new(AtomicUsize::new(0)));
        let (go, waits) = tokio::sync::watch::channel(false);
        let each = (0..10).map(|_| {
            let (cache, fetches, mut waits) = (cache.clone(), fetches.clone(), waits.clone());
            tokio::spawn(async move {
                let fetch = |file| async move {
                    fetches.fetch_add(1, Ordering::Relaxed);
                    waits.wait_for(|go| *go).await.unwrap();
                    fs::write(file, "x").map_err(FetchFailed::Start)
                };
                cache.get(key("a"), fetch).await.map(drop)
            })
        });
        let each: Vec<_> = each.collect();
        go.send_replace(true);
        for one in each {
            one.await.unwrap().unwrap();
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_nor_what_is_given_up() {
        let (_directory, cache) = cache(100);
        let failed = cache.get(key("a"), |_| async { Err(FetchFailed::Silent) }).await;
        assert!(failed.is_err() && cache.kept.lock().unwrap().is_empty());
        let half = |file| async move {
            fs::write(file, "half").unwrap();
            std::future::pending().await
        };
        let given_up = tokio::time::timeout(std::time::Duration::ZERO, cache.get(key("a"), half)).await;
        assert!(given_up.is_err());
        assert_eq!(files(&cache), 0);
        drop(get(&cache, "a", 1).await.unwrap());
        assert_eq!(files(&cache), 1);
    }
}
