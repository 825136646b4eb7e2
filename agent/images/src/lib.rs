//! Container images.
#![forbid(unsafe_code)]

mod credentials;
mod digest;
mod manifest;
mod process;
mod reference;
mod user;

pub use credentials::{Credentials, InvalidCredentials};
pub use digest::{Digest, InvalidDigest};
pub use manifest::{ImageConfig, UnfitImage};
pub use process::{NothingToRun, Process, Rules, Wishes, process};
pub use reference::{InvalidReference, Reference};
pub use user::{Identity, Unknown, resolve};
