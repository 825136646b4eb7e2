//! Artifacts: files that are kept in a registry as images are, each a layer with a title. Source: the OCI image specification,
//! "Guidelines for Artifact Usage", and its annotation `org.opencontainers.image.title`.

use std::path::Path;

use crate::digest::Digest;
use crate::error::ImageError;
use crate::images::Images;
use crate::manifest::{Descriptor, UnfitImage};
use crate::pull::Source;
use crate::reference::Reference;
use crate::registry::Repository;

const TITLE: &str = "org.opencontainers.image.title";

/// What a registry has under a name: files that can be brought.
#[derive(Clone, Debug)]
pub struct Artifact {
    repository: Repository,
    files: Vec<ArtifactFile>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct ArtifactFile {
    title: String,
    layer: Descriptor,
}

impl Artifact {
    /// In the order of its manifest; at least one.
    pub fn files(&self) -> &[ArtifactFile] {
        &self.files
    }

    /// Where it is: `registry/repository`.
    pub fn place(&self) -> String {
        self.repository.place()
    }
}

impl ArtifactFile {
    /// The name that the artifact gives it. It may be any text: whoever makes a file of it looks at it first.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The sum of what is in it.
    pub fn digest(&self) -> &Digest {
        &self.layer.digest
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.layer.size
    }
}

impl Images {
    /// Asks the registry what an artifact is made of. Layers without a title are left out, as by others that read artifacts.
    ///
    /// # Errors
    /// [`ImageError::Registry`], and [`ImageError::Unfit`] when it has no files or more than are allowed.
    pub async fn artifact(&self, reference: &Reference) -> Result<Artifact, ImageError> {
        let (shelf, repository) = self.of_registry(reference);
        let source = Source::Registry(repository.clone());
        let (_, manifest) = shelf.find_manifest(&source, &reference.target()).await?;
        let (found, limit) = (manifest.layers.len(), shelf.limits.layers);
        if found > limit {
            let (found, limit) = (found as u64, limit as u64);
            return Err(UnfitImage::TooMany { what: "layers", found, limit }.into());
        }
        let titled = manifest.layers.into_iter().filter_map(|layer| {
            let title = layer.annotations.as_ref()?.get(TITLE)?.clone();
            Some(ArtifactFile { title, layer })
        });
        let files: Vec<_> = titled.collect();
        if files.is_empty() {
            return Err(UnfitImage::Untitled.into());
        }
        Ok(Artifact { repository, files })
    }

    /// Brings one file of an artifact to a path where nothing is yet, and compares it with its digest. Who gives up waiting
    /// drops the future; a part of the file may be there then, as after an error.
    ///
    /// # Errors
    /// [`ImageError::Registry`].
    pub async fn bring(
        &self,
        artifact: &Artifact,
        file: &ArtifactFile,
        path: &Path,
    ) -> Result<(), ImageError> {
        let shelf = self.shelf();
        Ok(shelf.registries.download(&artifact.repository, &file.layer, path).await?)
    }
}
