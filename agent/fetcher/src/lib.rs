//! Puts what a task asked for into its sandbox: downloads or copies it, checks it, unpacks it.
//!
//! It runs as a process of its own, [`child`], which becomes the task's user before it looks at anything that a task or a
//! server of the network can influence. The agent says what to fetch by an [`Order`] and hears a [`Report`].
#![forbid(unsafe_code)]

mod addresses;
mod archive;
mod checksum;
pub mod child;
mod download;
pub mod edge;
mod error;
mod meter;
mod order;
mod place;
mod source;

pub use addresses::{AddressRange, Denied, InvalidRange};
pub use checksum::{Checksum, InvalidChecksum};
pub use error::FetchError;
pub use order::{AllowedPath, Item, Job, Limits, Order, Report};
pub use source::{InvalidUri, Source, shown};
