//! Container images: pulled from registries and files, kept as layers that images share, made into root file systems for
//! containers. It mounts nothing and runs nothing: what it gives are paths and plain values. Start at [`Images`]; what an
//! image and a task run together is [`process`].
#![forbid(unsafe_code)]

mod artifact;
mod credentials;
mod digest;
pub mod edge;
mod error;
mod flight;
mod images;
mod local;
mod manifest;
mod process;
mod pull;
mod reference;
mod registry;
mod settings;
mod store;
mod unpack;

pub use artifact::{Artifact, ArtifactFile};
pub use credentials::{Credentials, InvalidCredentials};
pub use digest::{Digest, InvalidDigest};
pub use error::ImageError;
pub use images::{Freshness, Image, Images};
pub use local::LocalError;
pub use manifest::{ImageConfig, UnfitImage};
pub use process::{NothingToRun, Process, Rules, Wishes, environment_of, process, stop_signal_of};
pub use reference::{InvalidReference, Reference};
pub use registry::RegistryError;
pub use settings::{Limits, Marks, Patience, Settings};
pub use store::{Collected, RootFs, StoreError};
pub use unpack::UnpackError;
