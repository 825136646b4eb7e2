//! What comes from registries and files, as plain functions of bytes, without a connection. Pulling uses the same code; fuzzing
//! calls it from here.

use std::path::Path;

use crate::credentials::Credentials;
use crate::local::Index;
use crate::manifest::{Configuration, Manifest, Platform, UnfitImage, check_layer, choose};
use crate::process::{Rules, Wishes, process};
use crate::unpack::{Budget, Format, UnpackError, Watch, archive};

/// Unpacks a layer, packed or not, into a directory, with deletions as overlayfs has them or as a list. What is left after an
/// error stays.
///
/// # Errors
/// Why it is refused.
pub fn layer(
    bytes: &[u8],
    directory: &Path,
    for_overlayfs: bool,
    max_bytes: u64,
    max_entries: u64,
) -> Result<(), UnpackError> {
    let format = if for_overlayfs { Format::Overlay } else { Format::List };
    archive(bytes, directory, format, &Budget::new(max_bytes, max_entries), &Watch::default())
}

/// Reads a manifest or a list of them, and chooses from it.
///
/// # Errors
/// Why it is none.
pub fn manifest(bytes: &[u8]) -> Result<(), UnfitImage> {
    match Manifest::parse(bytes)? {
        Manifest::Image(image) => image.layers.iter().try_for_each(check_layer),
        Manifest::List(list) => choose(&list, &Platform::here()).map(drop),
    }
}

/// Reads the configuration of an image, and what a task that says nothing would run.
///
/// # Errors
/// Why it is none.
pub fn configuration(bytes: &[u8]) -> Result<(), UnfitImage> {
    let described = Configuration::parse(bytes)?;
    described.check_platform(&Platform::here())?;
    let wishes = |rules| Wishes {
        rules,
        shell: false,
        value: None,
        arguments: Vec::new(),
        environment: Vec::new(),
        user: None,
        sandbox: "/mnt/mesos/sandbox".to_owned(),
    };
    if let Some(config) = &described.config {
        for rules in [Rules::Mesos, Rules::Docker] {
            // That there is nothing to run is as good an answer.
            drop(process(config, &wishes(rules)));
        }
    }
    Ok(())
}

/// Whether these bytes are the index of a layout, or a file with credentials.
pub fn is_index_or_credentials(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Index>(bytes).is_ok() || Credentials::parse(bytes).is_ok()
}
