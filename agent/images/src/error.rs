//! Why an image cannot be had.

use std::time::Duration;

use crate::local::LocalError;
use crate::manifest::UnfitImage;
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::unpack::UnpackError;

/// Why an image cannot be had. The sources say more; [`ImageError::chain`] says it all in one line.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its registry.
    #[error("cannot pull the image")]
    Registry(#[from] RegistryError),
    /// Its files.
    #[error("cannot read the image")]
    Local(#[from] LocalError),
    /// What it is.
    #[error("the image cannot be run here")]
    Unfit(#[from] UnfitImage),
    /// What is in it.
    #[error("cannot unpack the layer {layer}")]
    Unpack {
        /// The sum of the layer.
        layer: crate::digest::Digest,
        /// Why not.
        #[source]
        source: UnpackError,
    },
    /// This machine's disk.
    #[error("cannot keep the image")]
    Store(#[from] StoreError),
    /// Longer than an operator wants to wait.
    #[error("the image was not here after {}", seconds(.0))]
    TooSlow(Duration),
    /// What others wait for too.
    #[error(transparent)]
    Shared(std::sync::Arc<ImageError>),
    /// The agent stops, or a thread died.
    #[error("the agent stops")]
    Stopped,
}

impl ImageError {
    /// The error and its sources, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let more = error.to_string();
            // Some libraries repeat what their source says.
            if !text.ends_with(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = error.source();
        }
        text
    }
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}
