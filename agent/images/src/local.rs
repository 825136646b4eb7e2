//! Images in files: an OCI layout, an archive of one, or what `docker save` writes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde::Deserialize;
use serde_json::json;

use crate::digest::Digest;
use crate::manifest::{Descriptor, UnfitImage};
use crate::registry::MAX_DOCUMENT;
use crate::settings::Limits;
use crate::unpack::{self, Budget, FILES, UnpackError, Watch};

/// What `docker save` begins with.
const DOCKER_MANIFEST: &str = "manifest.json";
const OCI_INDEX: &str = "index.json";
/// What names an image in a layout. Source: the OCI image specification, annotations.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Why an image cannot be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Cannot be read.
    #[error("cannot read {path:?} of the image's files")]
    Read {
        /// Below the layout.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive.
    #[error("cannot unpack the image's archive")]
    Archive(#[source] UnpackError),
    /// The directory of images has no such file.
    #[error("there is no file of {name:?} in {}", directory.display())]
    NoFile {
        /// The name of the image.
        name: String,
        /// The directory.
        directory: PathBuf,
    },
    /// Neither of the known forms.
    #[error("there is neither {OCI_INDEX} nor {DOCKER_MANIFEST} in it")]
    Form,
    /// Cannot be understood.
    #[error("{path:?} in it cannot be read: {reason}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// Which image?
    #[error("it has no image {wanted:?}, but {there:?}")]
    NoSuchImage {
        /// The name that was asked for, if any.
        wanted: Option<String>,
        /// Some of the names there are.
        there: Vec<String>,
    },
    /// Not what it is called.
    #[error("a file in it is not what it is called: {found} instead of {expected}")]
    WrongDigest {
        /// Its name.
        expected: Digest,
        /// Its sum.
        found: Digest,
    },
    /// What it describes does not run here.
    #[error(transparent)]
    Unfit(#[from] UnfitImage),
}

/// A directory with an image's files.
#[derive(Debug)]
pub(crate) struct Local {
    root: File,
    /// Where blobs are that are not where a layout has them.
    elsewhere: HashMap<Digest, PathBuf>,
    /// Documents that are nowhere.
    made_up: HashMap<Digest, Bytes>,
    entries: Vec<(Option<String>, Digest)>,
}

#[derive(Deserialize)]
pub(crate) struct Index {
    manifests: Vec<IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    digest: Digest,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: PathBuf,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<PathBuf>,
}

impl Local {
    /// Opens a layout, or an archive, which is unpacked into `staged`. Blocks.
    pub(crate) fn open(
        path: &Path,
        staged: &Path,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Self, LocalError> {
        let failed = |source| LocalError::Read { path: path.to_owned(), source };
        let opened = File::open(path).map_err(failed)?;
        let root = if opened.metadata().map_err(failed)?.is_dir() {
            opened
        } else {
            let budget = Budget::new(limits.packed_bytes.saturating_mul(2), limits.entries);
            let unpacked = unpack::archive(opened, staged, unpack::Format::List, &budget, watch);
            unpacked.map_err(LocalError::Archive)?;
            File::open(staged.join(FILES)).map_err(failed)?
        };
        let mut local =
            Self { root, elsewhere: HashMap::new(), made_up: HashMap::new(), entries: Vec::new() };
        if local.find(Path::new(OCI_INDEX))? {
            local.read_index()?;
        } else if local.find(Path::new(DOCKER_MANIFEST))? {
            local.read_saved(watch)?;
        } else {
            return Err(LocalError::Form);
        }
        Ok(local)
    }

    /// The manifest of that name; without a name, of the only image there is.
    pub(crate) fn manifest(&self, name: Option<&str>) -> Result<Digest, LocalError> {
        let found = match (name, self.entries.as_slice()) {
            (None, [(_, only)]) => Some(only),
            (None, _) => None,
            (Some(name), entries) => {
                let is_it =
                    |own: &str| own == name || own.rsplit_once(':').is_some_and(|(_, tag)| tag == name);
                let mut named = entries
                    .iter()
                    .filter(|(own, digest)| own.as_deref().is_some_and(is_it) || digest.to_string() == name);
                named.next().map(|(_, digest)| digest)
            }
        };
        found.cloned().ok_or_else(|| LocalError::NoSuchImage {
            wanted: name.map(str::to_owned),
            there: self.entries.iter().filter_map(|(own, _)| own.clone()).take(8).collect(),
        })
    }

    /// A manifest or configuration. Blocks.
    pub(crate) fn document(&self, digest: &Digest) -> Result<Bytes, LocalError> {
        if let Some(made_up) = self.made_up.get(digest) {
            return Ok(made_up.clone());
        }
        let path = self.place(digest);
        let bytes = self.read(&path)?;
        let mut sum = digest.summing();
        sum.update(&bytes);
        let found = sum.finish();
        if found == *digest {
            Ok(bytes.into())
        } else {
            Err(LocalError::WrongDigest { expected: digest.clone(), found })
        }
    }

    /// A layer, to be read once. Its sum is not looked at: that of its content is, when it is unpacked.
    pub(crate) fn layer(&self, descriptor: &Descriptor) -> Result<File, LocalError> {
        self.open_file(&self.place(&descriptor.digest))
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let usual = || ["blobs", &digest.to_string().replace(':', "/")].iter().collect();
        self.elsewhere.get(digest).cloned().unwrap_or_else(usual)
    }

    fn read_index(&mut self) -> Result<(), LocalError> {
        let index: Index = self.parse(Path::new(OCI_INDEX))?;
        self.entries =
            index.manifests.into_iter().map(|mut e| (e.annotations.remove(REF_NAME), e.digest)).collect();
        Ok(())
    }

    /// Makes a manifest of what `docker save` has instead of one.
    fn read_saved(&mut self, watch: &Watch) -> Result<(), LocalError> {
        let saved: Vec<SavedImage> = self.parse(Path::new(DOCKER_MANIFEST))?;
        for image in saved {
            let config = self.describe(&image.config, watch)?;
            let layers = image.layers.iter().map(|layer| self.describe(layer, watch));
            let layers = layers.collect::<Result<Vec<_>, _>>()?;
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
            let digest = Digest::of(manifest.as_bytes());
            self.made_up.insert(digest.clone(), manifest.into());
            let names = image.repo_tags.unwrap_or_default();
            if names.is_empty() {
                self.entries.push((None, digest));
            } else {
                self.entries.extend(names.into_iter().map(|name| (Some(name), digest.clone())));
            }
        }
        Ok(())
    }

    fn describe(&mut self, path: &Path, watch: &Watch) -> Result<serde_json::Value, LocalError> {
        let failed = |source| LocalError::Read { path: path.to_owned(), source };
        let mut file = self.open_file(path)?;
        let mut sum = Digest::of(b"").summing();
        let mut buffer = vec![0; 128 << 10];
        let mut size = 0;
        loop {
            watch.check().map_err(failed)?;
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            size += read as u64;
            sum.update(&buffer[..read]);
        }
        let digest = sum.finish();
        let described = json!({"digest": digest, "size": size});
        self.elsewhere.insert(digest, path.to_owned());
        Ok(described)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<T, LocalError> {
        let text = self.read(path)?;
        let broken = |error: serde_json::Error| LocalError::Broken {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        serde_json::from_slice(&text).map_err(broken)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, LocalError> {
        let failed = |source| LocalError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        self.open_file(path)?.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(bytes)
    }

    fn find(&self, path: &Path) -> Result<bool, LocalError> {
        match self.open_file(path) {
            Ok(_) => Ok(true),
            Err(LocalError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Only plain files below the layout; older versions of `docker save` write links among them.
    fn open_file(&self, path: &Path) -> Result<File, LocalError> {
        let failed = |source| LocalError::Read { path: path.to_owned(), source };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(&self.root, path, flags, Mode::empty(), resolve);
        let file = File::from(opened.map_err(|error| failed(error.into()))?);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        Ok(file)
    }
}
