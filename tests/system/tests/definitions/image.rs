//! An image in files, for agents that find images in a directory.

use std::path::Path;
use std::process::Command;

use chapada_images::Digest;
use serde_json::{Value, json};

/// An OCI layout, tagged `v1`, of one layer: busybox, a greeting and a page.
pub(super) fn make(layout: &Path) {
    let files = layout.join("files");
    for folder in ["bin", "etc", "srv"] {
        std::fs::create_dir_all(files.join(folder)).expect("the image's files");
    }
    std::fs::copy("/bin/busybox", files.join("bin/busybox")).expect("busybox-static: cargo xtask install");
    for name in ["sh", "cat", "sleep", "httpd"] {
        std::os::unix::fs::symlink("busybox", files.join("bin").join(name)).expect("the image's files");
    }
    std::fs::write(files.join("etc/motd"), "from the image\n").expect("the image's files");
    std::fs::write(files.join("srv/index.html"), "well\n").expect("the image's files");
    let archive = layout.join("layer.tar");
    let mut pack = Command::new("tar");
    pack.args(["--owner=0", "--group=0", "-cf"]).arg(&archive).arg("-C").arg(&files).arg(".");
    assert!(pack.status().expect("the image's files").success());
    let layer = std::fs::read(archive).expect("the image's files");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": ["/bin/sh", "-c"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    });
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("the image's files");
    let config = keep(&blobs, config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [keep(&blobs, &layer)]});
    let mut entry = keep(&blobs, manifest.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(layout.join("index.json"), index.to_string()).expect("the image's files");
}

fn keep(blobs: &Path, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    std::fs::write(blobs.join(digest.to_string().trim_start_matches("sha256:")), bytes)
        .expect("the image's files");
    json!({"digest": digest, "size": bytes.len()})
}
