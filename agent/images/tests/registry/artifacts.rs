//! Artifacts of Debian's `docker-registry`, pushed as its protocol says; and some that must not get through.

use std::path::Path;

use chapada_images::{Artifact, Digest, ImageError};
use serde_json::{Value, json};

use crate::debian::Registry;
use crate::fixture::{Machine, STALL};
use crate::scripted::{Does, Scripted, blob_path};

/// A layer, under a title if it has one.
fn layer(title: Option<&str>, content: &[u8]) -> Value {
    let mut layer = json!({"mediaType": "application/octet-stream", "digest": Digest::of(content), "size": content.len()});
    if let Some(title) = title {
        layer["annotations"] = json!({"org.opencontainers.image.title": title});
    }
    layer
}

fn manifest(layers: &[Value]) -> Vec<u8> {
    let mut config = layer(None, b"{}");
    config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/x-test", "config": config, "layers": layers})
    .to_string()
    .into_bytes()
}

/// Pushes blobs and the manifest of them.
async fn push(host: &str, tag: &str, manifest: &[u8], blobs: &[&[u8]]) {
    let client = reqwest::Client::new();
    let at = format!("http://{host}/v2/lab/files");
    for blob in blobs {
        let begun = client.post(format!("{at}/blobs/uploads/")).send().await.unwrap();
        let location = begun.headers()["location"].to_str().unwrap();
        let url = format!("{location}&digest={}", Digest::of(blob));
        assert_eq!(client.put(url).body(blob.to_vec()).send().await.unwrap().status(), 201);
    }
    let put = client.put(format!("{at}/manifests/{tag}")).body(manifest.to_vec());
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json").send().await.unwrap();
    assert_eq!(put.status(), 201, "{}", put.text().await.unwrap());
}

async fn find(machine: &Machine, name: &str) -> Result<Artifact, ImageError> {
    machine.images.artifact(&name.parse().unwrap()).await
}

async fn bring(machine: &Machine, artifact: &Artifact, number: usize, to: &Path) -> Result<(), ImageError> {
    machine.images.bring(artifact, &artifact.files()[number], to).await
}

#[tokio::test]
async fn files_of_a_real_registry_have_titles_and_are_what_their_digests_say() {
    let machine = Machine::new(|_| {});
    let registry = Registry::start(machine.directory.path(), "", "");
    let (first, second): (&[u8], &[u8]) = (b"the first", b"the second");
    let layers = [layer(Some("a.txt"), first), layer(None, b"{}"), layer(Some("dir/b"), second)];
    let described = manifest(&layers);
    push(&registry.host, "v1", &described, &[b"{}", first, second]).await;
    let machine = Machine::new(|settings| settings.plain_http = vec![registry.host.clone()]);
    let digest = Digest::of(&described);
    for name in ["lab/files:v1".to_owned(), format!("lab/files@{digest}")] {
        let artifact = find(&machine, &format!("{}/{name}", registry.host)).await.unwrap();
        let titles: Vec<_> = artifact.files().iter().map(|file| (file.title(), file.size())).collect();
        assert_eq!(titles, [("a.txt", 9), ("dir/b", 10)]);
        let to = machine.directory.path().join(digest.to_string() + &name.len().to_string());
        bring(&machine, &artifact, 1, &to).await.unwrap();
        assert_eq!(std::fs::read(to).unwrap(), second);
    }
    let none = find(&machine, &format!("{}/lab/files:v2", registry.host)).await.unwrap_err();
    assert!(none.chain().contains("no such image"), "{}", none.chain());
}

#[tokio::test]
async fn what_is_no_artifact_or_lies_is_refused() {
    let registry = Scripted::start().await;
    let machine = Machine::new(|settings| {
        settings.plain_http = vec![registry.host.clone()];
        settings.limits.layers = 3;
    });
    let has = |tag: &str, manifest: Vec<u8>| {
        registry.does(format!("/v2/a/manifests/{tag}"), Does::Serves(manifest));
    };
    has("untitled", manifest(&[layer(None, b"x")]));
    has("empty", manifest(&[]));
    has("many", manifest(&vec![layer(Some("x"), b"x"); 4]));
    has("text", b"hello".to_vec());
    has("good", manifest(&[layer(Some("x"), b"true")]));
    for (tag, said) in [
        ("untitled", "none of its layers has a title"),
        ("empty", "none of its layers has a title"),
        ("many", "it has 4 layers, and 3 are allowed"),
        ("text", "cannot be read"),
    ] {
        let refused = find(&machine, &registry.name(&format!("a:{tag}"))).await.unwrap_err().chain();
        assert!(refused.contains(said), "{refused}");
    }
    let artifact = find(&machine, &registry.name("a:good")).await.unwrap();
    for (number, (does, said)) in [
        (Does::Serves(b"lies".to_vec()), "something else than was asked for"),
        (Does::Floods, "more than the 4 bytes"),
        (Does::BreaksAfter(2, b"tr".to_vec()), "ended a transfer early"),
    ]
    .into_iter()
    .enumerate()
    {
        registry.does(blob_path("a", b"true"), does);
        let to = machine.directory.path().join(number.to_string());
        let refused = bring(&machine, &artifact, 0, &to).await.unwrap_err().chain();
        assert!(refused.contains(said), "{refused}");
    }
    registry.does(blob_path("a", b"true"), Does::Hangs);
    let hasty = Machine::new(|settings| {
        settings.plain_http = vec![registry.host.clone()];
        settings.patience.stall = STALL;
    });
    let refused = bring(&hasty, &artifact, 0, &hasty.directory.path().join("hangs")).await.unwrap_err();
    assert!(refused.chain().contains("brings nothing"), "{}", refused.chain());
}
