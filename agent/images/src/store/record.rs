//! What is written down of an image.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::{Configuration, ImageConfig, UnfitImage};

/// An image that is here, as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Of its manifest.
    pub(crate) manifest: Digest,
    /// Its configuration, byte for byte.
    pub(crate) configuration: String,
    /// The sums of its unpacked layers, the lowest first.
    pub(crate) layers: Vec<Digest>,
}

impl Record {
    /// How it wants to be run.
    pub(crate) fn config(&self) -> Result<ImageConfig, UnfitImage> {
        Ok(Configuration::parse(self.configuration.as_bytes())?.config.unwrap_or_default())
    }
}

/// A name and what it meant last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) manifest: Digest,
}

/// A container and the image that it uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenancy {
    pub(super) manifest: Digest,
    /// Of the image, which holds also when the image's own record is lost.
    pub(super) layers: Vec<Digest>,
}
