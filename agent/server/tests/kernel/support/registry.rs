//! Debian's `docker-registry`, and artifacts that `skopeo` pushes to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use chapada_images::Digest;
use serde_json::{Value, json};

/// A registry on loopback, ended when it is dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
    directory: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let config = directory.path().join("registry.yml");
        let data = directory.path().join("data");
        let storage = format!("storage: {{filesystem: {{rootdirectory: {}}}}}", data.display());
        fs::write(&config, format!("version: 0.1\n{storage}\nhttp:\n  addr: 127.0.0.1:0\n")).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("docker-registry: cargo xtask install");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = log.by_ref().find_map(|line| {
            let line = line.unwrap();
            Some(line.split("listening on ").nth(1)?.split([',', '"', ' ']).next()?.to_owned())
        });
        // Its log must not fill the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, host: listening.expect("docker-registry says where it listens"), directory }
    }

    /// Pushes an artifact of these files, by title and content, and says what the digest of its manifest is.
    pub(crate) fn push(&self, name: &str, files: &[(&str, &[u8])]) -> Digest {
        let layout: PathBuf = self.directory.path().join("layout");
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let keep = |bytes: &[u8], media_type: &str| -> Value {
            let digest = Digest::of(bytes);
            let place = layout.join("blobs").join(digest.to_string().replace(':', "/"));
            fs::write(place, bytes).unwrap();
            json!({"digest": digest, "size": bytes.len(), "mediaType": media_type})
        };
        let layers: Vec<Value> = files
            .iter()
            .map(|(title, content)| {
                let mut layer = keep(content, "application/octet-stream");
                layer["annotations"] = json!({"org.opencontainers.image.title": title});
                layer
            })
            .collect();
        let config = keep(b"{}", "application/vnd.oci.empty.v1+json");
        let of_manifest = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": of_manifest, "config": config, "layers": layers});
        let manifest = manifest.to_string();
        let mut entry = keep(manifest.as_bytes(), of_manifest);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "pushed"});
        let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
        fs::write(layout.join("index.json"), index).unwrap();
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "--quiet", "--dest-tls-verify=false"]);
        copy.arg(format!("oci:{}:pushed", layout.display())).arg(format!("docker://{}/{name}", self.host));
        let output = copy.output().expect("skopeo: cargo xtask install");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Digest::of(manifest.as_bytes())
    }

    /// Loses a blob, so that who has it later has it from elsewhere.
    pub(crate) fn forget(&self, digest: &Digest) {
        let hex = digest.to_string().trim_start_matches("sha256:").to_owned();
        let blobs = self.directory.path().join("data/docker/registry/v2/blobs/sha256");
        fs::remove_dir_all(blobs.join(&hex[..2]).join(&hex)).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
