//! What an operator decides about images.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::Credentials;

/// Everything about pulling and keeping images.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where images are kept. Made with mode 0700: set-user-id programs of images are in it.
    pub directory: PathBuf,
    /// Registries, `host[:port]`, that are spoken to without TLS.
    pub plain_http: Vec<String>,
    /// Certificates of authorities in PEM, trusted besides the machine's own.
    pub authorities: Option<Vec<u8>>,
    /// Who to be where.
    pub credentials: Credentials,
    /// The registry, `host[:port]`, of names without one. Docker's own otherwise.
    pub default_registry: Option<String>,
    /// Where images of names without a registry are looked for instead: `NAME:TAG` or `NAME`, as a directory with an OCI
    /// layout, or with `.tar` an archive. Docker's `library/` is left out.
    pub local_directory: Option<PathBuf>,
    /// How large images may be.
    pub limits: Limits,
    /// How long to wait.
    pub patience: Patience,
    /// When to make room.
    pub marks: Marks,
    /// Copy layers even where overlayfs works.
    pub always_copy: bool,
}

impl Settings {
    /// The defaults, with images kept in `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            plain_http: Vec::new(),
            authorities: None,
            credentials: Credentials::default(),
            default_registry: None,
            local_directory: None,
            limits: Limits::default(),
            patience: Patience::default(),
            marks: Marks::default(),
            always_copy: false,
        }
    }
}

/// How large an image may be. What is larger is not pulled, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Layers. Docker has at most 127.
    pub layers: usize,
    /// Bytes as they are transferred, of all layers together.
    pub packed_bytes: u64,
    /// Bytes as they are unpacked, of all layers together.
    pub unpacked_bytes: u64,
    /// Files, directories and links of all layers together.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { layers: 127, packed_bytes: 16 << 30, unpacked_bytes: 32 << 30, entries: 2_000_000 }
    }
}

/// How long a registry may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// To take a connection.
    pub connect: Duration,
    /// Between two pieces of an answer; and a transfer must bring some thousand bytes in this time.
    pub stall: Duration,
    /// For a whole image, unpacking included.
    pub pull: Duration,
    /// How often each request is tried.
    pub attempts: u32,
    /// The wait before the second attempt; each later one is twice as long.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            pull: Duration::from_secs(15 * 60),
            attempts: 4,
            first_pause: Duration::from_millis(500),
        }
    }
}

/// How full the file system of the images may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// In percent. Above it, images that nothing uses are removed, the longest unused first.
    pub high: u8,
    /// In percent. Until it is reached.
    pub low: u8,
}

impl Default for Marks {
    fn default() -> Self {
        Self { high: 85, low: 80 }
    }
}
