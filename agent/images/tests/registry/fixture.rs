//! Images made in memory, and a store to pull them to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapada_images::{Digest, Freshness, Image, ImageError, Images, Settings};
use serde_json::json;
use tempfile::TempDir;

/// An image as a registry has it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    /// As they are transferred.
    pub(crate) layers: Vec<Vec<u8>>,
}

/// How layers are packed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packing {
    Plain,
    Zstd,
}

impl Made {
    /// An image of these layers, each an archive.
    pub(crate) fn new(archives: &[Vec<u8>], packing: Packing) -> Self {
        let pack = |archive: &Vec<u8>| match packing {
            Packing::Plain => archive.clone(),
            Packing::Zstd => zstd::encode_all(&archive[..], 1).unwrap(),
        };
        let diff_ids: Vec<_> = archives.iter().map(|archive| Digest::of(archive)).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let mut made = Self {
            manifest: Vec::new(),
            config: config.to_string().into_bytes(),
            layers: archives.iter().map(pack).collect(),
        };
        made.describe();
        made
    }

    /// Writes the manifest anew.
    pub(crate) fn describe(&mut self) {
        let descriptor = |bytes: &Vec<u8>| {
            json!({"digest": Digest::of(bytes), "size": bytes.len(),
            "mediaType": "application/vnd.oci.image.layer.v1.tar"})
        };
        let layers: Vec<_> = self.layers.iter().map(descriptor).collect();
        let manifest = json!({"schemaVersion": 2, "config": descriptor(&self.config), "layers": layers});
        self.manifest = manifest.to_string().into_bytes();
    }
}

/// An archive of files: name and content.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        // As it is given: the library refuses to write some of these names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Bytes that do not compress, the same each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// How long a registry of these tests may bring nothing, where that is what is tested. Elsewhere it is the default: a busy machine is
/// no stall.
pub(crate) const STALL: Duration = Duration::from_millis(400);

/// The images of a machine, in a directory that goes away.
pub(crate) struct Machine {
    pub(crate) directory: TempDir,
    pub(crate) settings: Settings,
    pub(crate) images: Images,
}

impl Machine {
    pub(crate) fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::Builder::new().prefix("chapada-images-").tempdir_in("/var/tmp").unwrap();
        let mut settings = Settings::new(directory.path().join("images"));
        settings.patience.first_pause = Duration::from_millis(1);
        change(&mut settings);
        let images = Images::open(&settings).unwrap();
        Self { directory, settings, images }
    }

    pub(crate) async fn pull(&self, name: &str) -> Result<Image, Arc<ImageError>> {
        self.images.pull(&name.parse().unwrap(), Freshness::Known, None).await
    }

    /// Why it cannot be pulled; and that nothing is left of it.
    pub(crate) async fn refusal(&self, name: &str) -> String {
        let refused = self.pull(name).await.expect_err("this must be refused").chain();
        assert_eq!(self.left(), Vec::<PathBuf>::new(), "after {refused}");
        refused
    }

    /// Layers, images, names and things half done.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let store = self.settings.directory.join("overlay");
        let within = |name: &str| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(store.join(name)).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        ["layers", "images", "names", "staging", "trash"].into_iter().flat_map(within).collect()
    }

    /// Waits until collections leave nothing: work on a layer that nobody wants any more stops when it next looks.
    pub(crate) async fn ends_empty(&self) {
        let emptied = async {
            while !self.left().is_empty() {
                self.images.prune(&[]).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let emptied = tokio::time::timeout(Duration::from_secs(60), emptied).await;
        assert!(emptied.is_ok(), "left: {:?}", self.left());
    }

    /// The file that a container of the image would see first.
    pub(crate) async fn read(&self, image: &Image, file: &str) -> String {
        let root = self.images.prepare(image, "reader").await.unwrap();
        let chapada_images::RootFs::Overlay { lower, .. } = root else { panic!("{root:?}") };
        let found = lower.iter().map(|layer| layer.join(file)).find(|path| path.exists());
        let text = std::fs::read_to_string(found.unwrap()).unwrap();
        self.images.release("reader").unwrap();
        text
    }
}

/// Everything below a directory, as text where it is text: for looking for what must not be there.
pub(crate) fn everything_in(directory: &Path) -> String {
    let mut text = String::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        text.push_str(&path.display().to_string());
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()));
        }
    }
    text
}
