//! From a name to an image in the store.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{FutureExt, try_join_all};
use tokio::task::spawn_blocking;

use crate::digest::Digest;
use crate::error::ImageError;
use crate::images::Shelf;
use crate::local::Local;
use crate::manifest::{
    Configuration, Descriptor, ImageManifest, Manifest, Platform, UnfitImage, check_layer, choose,
};
use crate::registry::{RegistryError, Repository};
use crate::settings::Limits;
use crate::store::{Pin, Record};
use crate::unpack::{Budget, StopWhenDropped, unpack};

/// A list may lead to a list, of a builder's for all its platforms; not further.
const NESTING: usize = 3;

/// Where an image comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Registry(Repository),
    Local(Arc<Local>),
}

/// Who shares the work on a layer: the same layer from another registry is other work, for that one may hang.
pub(crate) type LayerKey = (Digest, Digest, String);
pub(crate) type LayerOutcome = Result<(), Arc<ImageError>>;

/// An image in the store, held.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) record: Arc<Record>,
    pub(crate) pin: Arc<Pin>,
}

impl Source {
    async fn manifest(&self, shelf: &Shelf, target: &str) -> Result<(Digest, Bytes), ImageError> {
        match self {
            Self::Registry(repository) => Ok(shelf.registries.manifest(repository, target).await?),
            Self::Local(local) => {
                let (local, digest) = (local.clone(), target.parse::<Digest>());
                let digest = digest.map_err(|_| ImageError::Stopped)?;
                let document = blocking({
                    let digest = digest.clone();
                    move || Ok(local.document(&digest)?)
                });
                Ok((digest, document.await?))
            }
        }
    }

    async fn configuration(&self, shelf: &Shelf, descriptor: &Descriptor) -> Result<Bytes, ImageError> {
        match self {
            Self::Registry(repository) => Ok(shelf.registries.blob(repository, descriptor).await?),
            Self::Local(local) => {
                let (local, digest) = (local.clone(), descriptor.digest.clone());
                blocking(move || Ok(local.document(&digest)?)).await
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Registry(repository) => repository.place(),
            Self::Local(local) => format!("{:p}", Arc::as_ptr(local)),
        }
    }
}

impl Shelf {
    /// Gets what `target`, a tag or digest, means at a source.
    pub(crate) async fn fetch(self: &Arc<Self>, source: &Source, target: &str) -> Result<Held, ImageError> {
        let (digest, manifest) = self.find_manifest(source, target).await?;
        if let Some(held) = self.held(&digest).await? {
            return Ok(held);
        }
        let configuration = source.configuration(self, &manifest.config).await?;
        let described = Configuration::parse(&configuration)?;
        described.check_platform(&Platform::here())?;
        check(&manifest, &described, &self.limits)?;
        // Held before anything is looked for, so that nothing that is found is removed meanwhile.
        let pin = Arc::new(self.store.pins.pin(&digest));
        let layers = described.rootfs.diff_ids;
        let pins: Vec<Pin> = layers.iter().map(|layer| self.store.pins.pin(layer)).collect();
        let budget = Arc::new(Budget::new(self.limits.unpacked_bytes, self.limits.entries));
        let fetches = manifest.layers.iter().zip(&layers);
        try_join_all(fetches.map(|(packed, layer)| self.layer(source, packed, layer, &budget))).await?;
        let configuration = String::from_utf8(configuration.into()).map_err(|error| {
            UnfitImage::Unreadable { what: "its configuration", reason: error.to_string() }
        })?;
        let shelf = self.clone();
        let record = Record { manifest: digest, configuration, layers };
        let record = blocking(move || Ok(shelf.store.keep_image(record)?)).await?;
        drop(pins);
        Ok(Held { record, pin })
    }

    pub(crate) async fn held(self: &Arc<Self>, manifest: &Digest) -> Result<Option<Held>, ImageError> {
        let (shelf, manifest) = (self.clone(), manifest.clone());
        let found = blocking(move || Ok(shelf.store.image(&manifest))).await?;
        Ok(found.map(|(record, pin)| Held { record, pin: Arc::new(pin) }))
    }

    pub(crate) async fn find_manifest(
        &self,
        source: &Source,
        target: &str,
    ) -> Result<(Digest, ImageManifest), ImageError> {
        let mut target = target.to_owned();
        for _ in 0..NESTING {
            let (digest, bytes) = source.manifest(self, &target).await?;
            match Manifest::parse(&bytes)? {
                Manifest::Image(image) => return Ok((digest, image)),
                Manifest::List(list) => target = choose(&list, &Platform::here())?.digest.to_string(),
            }
        }
        Err(UnfitImage::Nesting.into())
    }

    /// Sees to it that a layer, held by the caller, is in the store.
    async fn layer(
        self: &Arc<Self>,
        source: &Source,
        packed: &Descriptor,
        layer: &Digest,
        budget: &Arc<Budget>,
    ) -> Result<(), ImageError> {
        let shelf = self.clone();
        let wanted = layer.clone();
        if blocking(move || Ok(shelf.store.has_layer(&wanted))).await? {
            return Ok(());
        }
        let key = (layer.clone(), packed.digest.clone(), source.name());
        let work = || {
            let (shelf, source, packed) = (self.clone(), source.clone(), packed.clone());
            let (layer, budget) = (layer.clone(), budget.clone());
            async move { shelf.bring(&source, &packed, &layer, budget).await.map_err(Arc::new) }.boxed()
        };
        self.layers.join(key, work).await.map_err(ImageError::Shared)
    }

    async fn bring(
        self: &Arc<Self>,
        source: &Source,
        packed: &Descriptor,
        layer: &Digest,
        budget: Arc<Budget>,
    ) -> Result<(), ImageError> {
        let staged = self.store.paths.stage();
        let archive = match source {
            Source::Local(local) => {
                let (local, packed) = (local.clone(), packed.clone());
                blocking(move || Ok(local.layer(&packed)?)).await?
            }
            Source::Registry(repository) => {
                let file = self.store.paths.stage();
                self.registries.download(repository, packed, file.path()).await?;
                blocking(move || std::fs::File::open(file.path()).map_err(|e| RegistryError::Disk(e).into()))
                    .await?
            }
        };
        let _turn = self.unpacking.acquire().await.map_err(|_| ImageError::Stopped)?;
        let stop = StopWhenDropped::default();
        let (shelf, layer, watch) = (self.clone(), layer.clone(), stop.watch());
        let done = blocking(move || {
            let unpacked = unpack(archive, &layer, staged.path(), shelf.store.format, &budget, &watch);
            unpacked.map_err(|source| ImageError::Unpack { layer: layer.clone(), source })?;
            Ok(shelf.store.keep_layer(staged.path(), &layer)?)
        });
        let done = done.await;
        drop(stop);
        done
    }
}

fn check(manifest: &ImageManifest, described: &Configuration, limits: &Limits) -> Result<(), UnfitImage> {
    let (layers, diff_ids) = (manifest.layers.len(), described.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(UnfitImage::LayersDisagree { layers, diff_ids });
    }
    manifest.layers.iter().try_for_each(check_layer)?;
    let bytes = manifest.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size));
    let counts = [
        ("layers", layers as u64, limits.layers as u64),
        ("bytes in its layers", bytes, limits.packed_bytes),
    ];
    match counts.into_iter().find(|(_, found, limit)| found > limit) {
        Some((what, found, limit)) => Err(UnfitImage::TooMany { what, found, limit }),
        None => Ok(()),
    }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    spawn_blocking(work).await.map_err(|_| ImageError::Stopped)?
}
