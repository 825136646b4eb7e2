//! An image in files, for agents that find images in a directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use chapada_images::Digest;
use serde_json::{Value, json};

/// The name under which an agent finds the image.
pub(super) const NAME: &str = "box:v1";

/// Makes an OCI layout of one layer, which is what `files` has, as `box` on this shelf.
pub(super) fn make(shelf: &Path, files: &Path) -> Result<()> {
    let blobs = shelf.join("box/blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = shelf.join("layer.tar");
    let packed = Command::new("tar").arg("-cf").arg(&layer).arg("-C").arg(files).arg(".").status()?;
    ensure!(packed.success(), "tar cannot pack the layer");
    let layer = fs::read(layer)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}});
    let config = keep(&blobs, config.to_string().as_bytes())?;
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [keep(&blobs, &layer)?]});
    let mut entry = keep(&blobs, manifest.to_string().as_bytes())?;
    let (_, tag) = NAME.split_once(':').context("the image has a tag")?;
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    Ok(fs::write(shelf.join("box/index.json"), index.to_string())?)
}

fn keep(blobs: &Path, bytes: &[u8]) -> Result<Value> {
    let digest = Digest::of(bytes);
    fs::write(blobs.join(digest.to_string().trim_start_matches("sha256:")), bytes)?;
    Ok(json!({"digest": digest, "size": bytes.len()}))
}
