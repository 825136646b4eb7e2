//! Container images.
#![forbid(unsafe_code)]

mod credentials;
mod digest;
mod manifest;
mod process;
mod reference;
mod registry;
mod settings;
mod unpack;
mod user;

pub use credentials::{Credentials, InvalidCredentials};
pub use digest::{Digest, InvalidDigest};
pub use manifest::{ImageConfig, UnfitImage};
pub use process::{NothingToRun, Process, Rules, Wishes, process};
pub use reference::{InvalidReference, Reference};
pub use registry::RegistryError;
pub use settings::{Limits, Marks, Patience, Settings};
pub use unpack::UnpackError;
pub use user::{Identity, Unknown, resolve};
