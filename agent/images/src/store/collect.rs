//! Making room: images that nothing uses go, the longest unused first, when the disk is too full.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::time::SystemTime;

use rustix::fs::statvfs;

use super::{Store, StoreError, entries, paths};
use crate::digest::Digest;
use crate::settings::Marks;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images.
    pub images: usize,
    /// Layers, which no other image had.
    pub layers: usize,
}

/// An image, as far as it matters here.
#[derive(Debug)]
struct Kept {
    manifest: Digest,
    used: SystemTime,
}

impl Store {
    /// Removes images until the file system is as empty as it should be, if it is fuller than it may be.
    pub(crate) fn collect(&self, marks: Marks) -> Result<Collected, StoreError> {
        let failed = || StoreError::at("make room in", self.paths.root());
        let full = || fullness(self).map_err(failed());
        if full()? < marks.high {
            return Ok(Collected::default());
        }
        let collected = self.collect_while(|| Ok(fullness(self)? > marks.low)).map_err(failed())?;
        let still = full()?;
        if still >= marks.high {
            tracing::warn!(percent = still, "the disk of the images is full of what is in use");
        }
        Ok(collected)
    }

    /// Removes all images that nothing uses.
    pub(crate) fn prune(&self, excluded: &[String]) -> Result<Collected, StoreError> {
        let excluded: HashSet<Digest> = excluded.iter().filter_map(|name| self.meaning(name)).collect();
        let failed = StoreError::at("make room in", self.paths.root());
        self.remove_images(|| Ok(true), &excluded).map_err(failed)
    }

    /// Removes one image after the other while `more` says so. Layers that no image has go in any case.
    pub(super) fn collect_while(&self, more: impl FnMut() -> io::Result<bool>) -> io::Result<Collected> {
        self.remove_images(more, &HashSet::new())
    }

    fn remove_images(
        &self,
        mut more: impl FnMut() -> io::Result<bool>,
        excluded: &HashSet<Digest>,
    ) -> io::Result<Collected> {
        let mut collected = Collected { images: 0, layers: self.remove_orphans()? };
        for victim in self.victims(excluded)? {
            if !more()? {
                break;
            }
            if self.forget(&victim)? {
                collected.images += 1;
                collected.layers += self.remove_orphans()?;
            }
        }
        Ok(collected)
    }

    /// Images that nothing uses, the longest unused first.
    fn victims(&self, excluded: &HashSet<Digest>) -> io::Result<Vec<Digest>> {
        let used: HashSet<Digest> = self.tenancies()?.into_iter().map(|tenancy| tenancy.manifest).collect();
        let mut kept: Vec<Kept> = Vec::new();
        for manifest in self.index().images.keys().filter(|m| !used.contains(m) && !excluded.contains(m)) {
            let used = fs::metadata(self.paths.record(manifest))?.modified()?;
            kept.push(Kept { manifest: manifest.clone(), used });
        }
        kept.sort_by_key(|kept| kept.used);
        Ok(kept.into_iter().map(|kept| kept.manifest).collect())
    }

    /// Forgets an image, unless somebody has taken hold of it meanwhile.
    fn forget(&self, manifest: &Digest) -> io::Result<bool> {
        // Held over the removal: whoever asks for the image next does not find it and pulls it anew.
        let held = self.pins.held();
        let is_let = self.tenancies()?.iter().any(|tenancy| tenancy.manifest == *manifest);
        if held.contains_key(manifest) || is_let {
            return Ok(false);
        }
        let mut index = self.index();
        paths::remove(&self.paths.record(manifest))?;
        index.images.remove(manifest);
        let names: Vec<String> = index
            .names
            .iter()
            .filter(|(_, meaning)| *meaning == manifest)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            paths::remove(&self.paths.name(&name))?;
            index.names.remove(&name);
        }
        drop((index, held));
        let top = self.paths.discard(&self.paths.top(manifest))?;
        paths::remove(&top)?;
        Ok(true)
    }

    /// Removes layers that belong to no image and that nobody holds.
    fn remove_orphans(&self) -> io::Result<usize> {
        let mut removed = 0;
        // One that begins to use a layer from here on does so by an image, which is looked at each time.
        let used: HashSet<Digest> =
            self.tenancies()?.into_iter().flat_map(|tenancy| tenancy.layers).collect();
        for path in entries(&self.paths.layers())? {
            let digest = path.file_name().and_then(|name| Digest::from_file_name(name.to_str()?));
            if digest.as_ref().is_some_and(|digest| used.contains(digest)) {
                continue;
            }
            if let Some(gone) = self.discard_layer(&path, digest.as_ref())? {
                paths::remove(&gone)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Moves it out of sight, under the lock that a pull takes before it looks for a layer.
    fn discard_layer(
        &self,
        path: &std::path::Path,
        digest: Option<&Digest>,
    ) -> io::Result<Option<std::path::PathBuf>> {
        let held = self.pins.held();
        let wanted = digest.is_some_and(|digest| {
            held.contains_key(digest)
                || self.index().images.values().any(|image| image.layers.contains(digest))
        });
        if wanted { Ok(None) } else { self.paths.discard(path).map(Some) }
    }
}

/// How full the file system is, in percent, as `df` counts.
fn fullness(store: &Store) -> io::Result<u8> {
    let found = statvfs(store.paths.root())?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let total = used.saturating_add(found.f_bavail).max(1);
    Ok(u8::try_from(used.saturating_mul(100).div_ceil(total)).unwrap_or(100))
}
