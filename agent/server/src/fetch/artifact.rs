//! What a task wants from a registry of images: each file of an artifact is brought by the agent, which alone has credentials for
//! registries, compared with its digest, and put into the sandbox by the same process as all else.

use std::sync::Arc;

use chapada_fetcher::{Item, shown};
use chapada_images::{ArtifactFile, ImageError, Images, Reference};

use super::cache::{Copy, Key};
use super::{FetchFailed, Fetcher};

/// The name of an artifact behind `oci://`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn reference(text: &str) -> Result<Reference, String> {
    let reference: Reference =
        text.parse().map_err(|error| format!("names no artifact as oci://registry/name:tag: {error}"))?;
    match text.split_once('/') {
        Some((registry, _)) if registry == reference.registry() => Ok(reference),
        _ => Err("names no registry: write oci://registry/name:tag".to_owned()),
    }
}

impl Fetcher {
    /// What is to be put into the sandbox for this item, and the copies that it is taken from.
    pub(super) async fn artifact(
        &self,
        item: &Item,
        name: &str,
        is_cached: bool,
    ) -> Result<Vec<(Item, Arc<Copy>)>, FetchFailed> {
        let failed = |why: String| FetchFailed::Said(format!("cannot fetch {}: {why}", shown(&item.uri)));
        let refused = |error: &ImageError| failed(error.chain());
        let reference = reference(name).map_err(failed)?;
        let images = self.images.get().await.map_err(|error| refused(&error))?;
        let artifact = images.artifact(&reference).await.map_err(|error| refused(&error))?;
        let files = artifact.files();
        let most = self.limits.bytes;
        if files.iter().map(ArtifactFile::size).fold(0, u64::saturating_add) > most {
            return Err(failed(format!("it is more than the {most} bytes that may be fetched")));
        }
        if files.len() > 1 && !item.name.is_empty() {
            return Err(failed(format!("output_file names one file, and it has {}", files.len())));
        }
        let mut found = Vec::with_capacity(files.len());
        for file in files {
            let bring = async |path: std::path::PathBuf| {
                let brought = Images::bring(images, &artifact, file, &path).await;
                brought.map_err(|error| refused(&error))
            };
            let copy = if is_cached {
                let uri = format!("oci://{}@{}", artifact.place(), file.digest());
                self.cache.get(Key { user: None, uri, checksum: None }, bring).await?
            } else {
                self.cache.once(bring).await?
            };
            let name = if item.name.is_empty() { file.title() } else { &item.name };
            let cached = Some(copy.path().to_owned());
            found.push((Item { name: name.to_owned(), cached, ..item.clone() }, copy));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_of_a_registry() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for good in ["r.example/a:v1", "localhost:5000/a/b", &format!("r.example/a@{digest}")] {
            assert!(reference(good).is_ok(), "{good}");
        }
        for bad in ["a:v1", "lab/files:v1", "", "r.example/", "me:pass@r.example/a", "r.example/a b"] {
            let error = reference(bad).unwrap_err();
            assert!(error.starts_with("names no") && !error.contains("pass"), "{bad}: {error}");
        }
    }
}
