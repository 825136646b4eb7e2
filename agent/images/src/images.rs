//! What the agent calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::credentials::{Credential, Credentials};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::flight::Flights;
use crate::local::{Local, LocalError};
use crate::manifest::ImageConfig;
use crate::pull::{Held, LayerKey, LayerOutcome, Source, blocking};
use crate::reference::Reference;
use crate::registry::{Registries, Repository};
use crate::settings::{Limits, Marks, Settings};
use crate::store::{Collected, RootFs, Store};
use crate::unpack::StopWhenDropped;

/// Layers unpacked at once, by all pulls: it is work for the processor and the disk, which others want too.
const UNPACKING: usize = 2;
/// Roots made at once. A thousand containers may want theirs at the same moment; each would have a thread, and a thread what its
/// allocator keeps.
const PREPARING: usize = 4;

/// Whether an image that is here already will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// What the name meant when it was last asked for.
    Known,
    /// What the name means now; the registry is asked, and nothing is transferred twice.
    Now,
}

/// The images of a machine. Clones are the same.
#[derive(Clone, Debug)]
pub struct Images(Arc<Shelf>);

/// What all pulls share.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) store: Store,
    pub(crate) registries: Registries,
    pub(crate) limits: Limits,
    pub(crate) layers: Flights<LayerKey, LayerOutcome>,
    pub(crate) unpacking: Semaphore,
    preparing: Semaphore,
    pulls: Flights<PullKey, Result<Held, Arc<ImageError>>>,
    credentials: Credentials,
    default_registry: Option<String>,
    local_directory: Option<PathBuf>,
    patience: std::time::Duration,
    marks: Marks,
}

type PullKey = (String, Option<Credential>, Freshness);

/// An image that is here, and stays for as long as this is held.
#[derive(Clone, Debug)]
pub struct Image {
    held: Held,
    config: Arc<ImageConfig>,
}

impl Image {
    /// How it wants to be run.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Of its manifest: the same always means the same files.
    pub fn digest(&self) -> &Digest {
        &self.held.record.manifest
    }

    fn new(held: Held) -> Result<Self, ImageError> {
        let config = Arc::new(held.record.config()?);
        Ok(Self { held, config })
    }
}

impl Images {
    /// Opens the images of this machine, and removes what an earlier process left half done. Blocks.
    ///
    /// # Errors
    /// When the directory or the certificates cannot be used.
    pub fn open(settings: &Settings) -> Result<Self, ImageError> {
        Ok(Self(Arc::new(Shelf {
            store: Store::open(settings)?,
            registries: Registries::new(settings)?,
            limits: settings.limits,
            layers: Flights::default(),
            unpacking: Semaphore::new(UNPACKING),
            preparing: Semaphore::new(PREPARING),
            pulls: Flights::default(),
            credentials: settings.credentials.clone(),
            default_registry: settings.default_registry.clone(),
            local_directory: settings.local_directory.clone(),
            patience: settings.patience.pull,
            marks: settings.marks,
        })))
    }

    /// Gets an image from its registry, unless it is here. Who gives up waiting drops the future; the work goes on only for
    /// others who wait for the same. `own` are credentials of the task's: what they open is never given to others by its name.
    ///
    /// # Errors
    /// [`ImageError`]; nothing half done is left.
    pub async fn pull(
        &self,
        reference: &Reference,
        freshness: Freshness,
        own: Option<&Credentials>,
    ) -> Result<Image, Arc<ImageError>> {
        let name = reference.to_string();
        let credentials = own.unwrap_or(&self.0.credentials);
        let credential = credentials.get(reference.registry()).cloned();
        let freshness = if own.is_some() { Freshness::Now } else { freshness };
        let is_shared = own.is_none();
        let work = || {
            let (shelf, reference, credential) = (self.0.clone(), reference.clone(), credential.clone());
            async move {
                let pulled =
                    timeout(shelf.patience, shelf.pull(&reference, freshness, credential, is_shared));
                let pulled = pulled.await.unwrap_or(Err(ImageError::TooSlow(shelf.patience)));
                pulled.map_err(Arc::new)
            }
            .boxed()
        };
        // Credentials of a task make it other work: it is not named, and asked for anew.
        let key = (if is_shared { name } else { format!("{name} of a task") }, credential.clone(), freshness);
        let held = self.0.pulls.join(key, work).await?;
        Image::new(held).map_err(Arc::new)
    }

    /// Takes an image from an OCI layout, an archive of one, or an archive of `docker save`. `name` is needed when there are
    /// several.
    ///
    /// # Errors
    /// [`ImageError`]; nothing half done is left.
    pub async fn load(&self, path: &Path, name: Option<&str>) -> Result<Image, ImageError> {
        Image::new(self.0.load(path.to_owned(), name.map(str::to_owned)).await?)
    }

    /// Makes a root file system for a container, whose id is a plain name no other has. The image is in use until
    /// [`Images::release`]. With overlayfs this takes a few system calls; without it, it copies.
    ///
    /// # Errors
    /// [`ImageError::Store`]; nothing is left then.
    pub async fn prepare(&self, image: &Image, container: &str) -> Result<RootFs, ImageError> {
        let stop = StopWhenDropped::default();
        let (shelf, held, watch) = (self.0.clone(), image.held.clone(), stop.watch());
        let id = container.to_owned();
        let _turn = self.0.preparing.acquire().await.map_err(|_| ImageError::Stopped)?;
        blocking(move || {
            let prepared = shelf.store.prepare(&held.record, &id, &watch);
            drop(held.pin);
            // Nobody would hear of it, and it may have been released already.
            if watch.check().is_err() {
                shelf.store.release(&id)?;
            }
            Ok(prepared?)
        })
        .await
    }

    /// Removes what a container had. One that had nothing is no error. Blocks.
    ///
    /// # Errors
    /// [`ImageError::Store`]; to be called again.
    pub fn release(&self, container: &str) -> Result<(), ImageError> {
        Ok(self.0.store.release(container)?)
    }

    /// The directory that holds what a container writes over the layers of its image; `None` without an image, and where each
    /// container has a copy of it. Blocks for a look.
    pub fn upper(&self, container: &str) -> Option<PathBuf> {
        self.0.store.upper(container)
    }

    /// The containers that have a root here. Blocks.
    ///
    /// # Errors
    /// [`ImageError::Store`].
    pub fn containers(&self) -> Result<Vec<String>, ImageError> {
        Ok(self.0.store.containers()?)
    }

    /// How the image of a container wants to be run; `None` for a container without a root here. Blocks.
    pub fn config_of(&self, container: &str) -> Option<ImageConfig> {
        self.0.store.record_of(container)?.config().ok()
    }

    /// Makes room if the disk is too full. Blocks.
    ///
    /// # Errors
    /// [`ImageError::Store`]; to be called again.
    pub fn collect(&self) -> Result<Collected, ImageError> {
        Ok(self.0.store.collect(self.0.marks)?)
    }

    /// Removes all images that nothing uses, except those of these names. Blocks.
    ///
    /// # Errors
    /// [`ImageError::Store`].
    pub fn prune(&self, excluded: &[Reference]) -> Result<Collected, ImageError> {
        let names: Vec<String> = excluded.iter().map(ToString::to_string).collect();
        Ok(self.0.store.prune(&names)?)
    }
}

impl Images {
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.0
    }

    /// What a name means at its registry, for who this machine is there.
    pub(crate) fn of_registry(&self, reference: &Reference) -> (&Arc<Shelf>, Repository) {
        let credential = self.0.credentials.get(reference.registry()).cloned();
        (&self.0, Repository::new(reference, reference.host(), credential))
    }
}

impl Shelf {
    async fn pull(
        self: &Arc<Self>,
        reference: &Reference,
        freshness: Freshness,
        credential: Option<Credential>,
        is_shared: bool,
    ) -> Result<Held, ImageError> {
        let name = reference.to_string();
        if freshness == Freshness::Known
            && let Some(known) = self.store.meaning(&name)
            && let Some(held) = self.held(&known).await?
        {
            return Ok(held);
        }
        let held = match &self.local_directory {
            Some(directory) if reference.is_of_default_registry() => self.find(directory, reference).await?,
            Some(_) | None => {
                let other = self.default_registry.as_deref().filter(|_| reference.is_of_default_registry());
                let host = other.unwrap_or(reference.host());
                let source = Source::Registry(Repository::new(reference, host, credential));
                self.fetch(&source, &reference.target()).await?
            }
        };
        if is_shared {
            let (shelf, manifest) = (self.clone(), held.record.manifest.clone());
            blocking(move || Ok(shelf.store.keep_name(&name, &manifest)?)).await?;
        }
        Ok(held)
    }

    /// Takes an image from a directory of files.
    async fn find(self: &Arc<Self>, directory: &Path, reference: &Reference) -> Result<Held, ImageError> {
        let (name, tag) = reference.short();
        let full = format!("{name}:{tag}");
        let archive = |name: &str| format!("{name}.tar");
        let candidates = [
            (archive(&full), None),
            (full.clone(), None),
            (archive(name), Some(tag)),
            (name.to_owned(), Some(tag)),
        ];
        for (file, tag) in candidates {
            let path = directory.join(file);
            let exists = path.clone();
            if blocking(move || Ok(exists.exists())).await? {
                return self.load(path, tag.map(str::to_owned)).await;
            }
        }
        Err(LocalError::NoFile { name: full, directory: directory.to_owned() }.into())
    }

    async fn load(self: &Arc<Self>, path: PathBuf, name: Option<String>) -> Result<Held, ImageError> {
        let (shelf, stop) = (self.clone(), StopWhenDropped::default());
        let (staged, watch) = (shelf.store.paths.stage(), stop.watch());
        let place = staged.path().to_owned();
        let local = blocking(move || Ok(Local::open(&path, &place, &shelf.limits, &watch)?)).await?;
        let target = local.manifest(name.as_deref())?.to_string();
        let held = self.fetch(&Source::Local(Arc::new(local)), &target).await;
        // Deleting the archive's files may take a while.
        let clean_up = move || {
            drop((stop, staged));
            Ok(())
        };
        blocking(clean_up).await?;
        held
    }
}
