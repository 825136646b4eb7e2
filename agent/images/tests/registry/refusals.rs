//! Registries and images that must not get through. Each is refused, says why, leaves nothing, and holds up nobody else.

use std::time::Duration;

use chapada_images::{Digest, Settings};
use tokio::time::Instant;

use crate::fixture::{Machine, Made, Packing, STALL, archive, noise};
use crate::scripted::{Does, Scripted, blob_path};

async fn ground() -> (Scripted, Machine, Made) {
    ground_with(|_| {}).await
}

async fn ground_with(change: impl FnOnce(&mut Settings)) -> (Scripted, Machine, Made) {
    let registry = Scripted::start().await;
    let host = registry.host.clone();
    let machine = Machine::new(|settings| {
        settings.plain_http = vec![host];
        change(settings);
    });
    let image = Made::new(&[archive(&[("hello", b"world")])], Packing::Plain);
    registry.has("a", "v1", &image);
    (registry, machine, image)
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says() {
    let (registry, machine, image) = ground().await;
    let other = Made::new(&[archive(&[("hello", b"evil!")])], Packing::Plain);
    let digest = Digest::of(&image.manifest);
    // A layer, the configuration, the manifest: each of the right length.
    registry.does(blob_path("a", &image.layers[0]), Does::Serves(other.layers[0].clone()));
    let refused = machine.refusal(&registry.name("a:v1")).await;
    assert!(refused.contains("something else than was asked for"), "{refused}");
    registry.has("a", "v1", &image);
    registry.does(blob_path("a", &image.config), Does::Serves(other.config));
    assert!(machine.refusal(&registry.name("a:v1")).await.contains("something else"));
    registry.does(format!("/v2/a/manifests/{digest}"), Does::Serves(other.manifest));
    assert!(machine.refusal(&registry.name(&format!("a@{digest}"))).await.contains("something else"));
}

#[tokio::test]
async fn a_configuration_that_lies_about_a_layer() {
    let (registry, machine, mut image) = ground().await;
    image.config = String::from_utf8(image.config)
        .unwrap()
        .replace(&Digest::of(&image.layers[0]).to_string(), &Digest::of(b"else").to_string())
        .into_bytes();
    image.describe();
    registry.has("a", "v1", &image);
    let refused = machine.refusal(&registry.name("a:v1")).await;
    assert!(refused.contains("the configuration says"), "{refused}");
}

#[tokio::test]
async fn more_bytes_than_were_announced_or_may_be() {
    let (registry, machine, image) = ground().await;
    registry.does(blob_path("a", &image.layers[0]), Does::Floods);
    let refused = machine.refusal(&registry.name("a:v1")).await;
    assert!(refused.contains("more than the 2048 bytes"), "{refused}");
    for document in ["/v2/a/manifests/v1".to_owned(), blob_path("a", &image.config)] {
        registry.has("a", "v1", &image);
        registry.does(document, Does::Floods);
        let refused = machine.refusal(&registry.name("a:v1")).await;
        assert!(refused.contains("more than the 4194304 bytes"), "{refused}");
    }
}

#[tokio::test]
async fn a_bomb() {
    let registry = Scripted::start().await;
    let host = registry.host.clone();
    let machine = Machine::new(|settings| {
        settings.plain_http = vec![host];
        settings.limits.unpacked_bytes = 4 << 20;
        settings.limits.entries = 50;
        settings.limits.layers = 3;
        settings.limits.packed_bytes = 1 << 20;
    });
    // Each of the two fits, and both together do not.
    let halves = [archive(&[("a", &vec![0; 3 << 20])]), archive(&[("b", &vec![0; 3 << 20])])];
    registry.has("bytes", "v1", &Made::new(&halves, Packing::Zstd));
    let names: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    registry.has("files", "v1", &Made::new(&[archive(&files)], Packing::Zstd));
    let many: Vec<Vec<u8>> = (0..4).map(|number| archive(&[(&number.to_string(), b"")])).collect();
    registry.has("layers", "v1", &Made::new(&many, Packing::Zstd));
    registry.has("packed", "v1", &Made::new(&[archive(&[("a", &noise(2 << 20))])], Packing::Plain));
    for (name, reason) in [
        ("bytes:v1", "more than 4194304 bytes"),
        ("files:v1", "more than 50 files"),
        ("layers:v1", "it has 4 layers, and 3 are allowed"),
        ("packed:v1", "bytes in its layers, and 1048576 are allowed"),
    ] {
        let refused = machine.pull(&registry.name(name)).await.unwrap_err().chain();
        assert!(refused.contains(reason), "{refused}");
    }
    // A layer that was fine by itself may stay until the next collection.
    machine.ends_empty().await;
}

#[tokio::test]
async fn files_that_leave_the_root() {
    let (registry, machine, _) = ground().await;
    for name in ["/etc/cron.d/evil", "../evil", "a/../../evil"] {
        registry.has("evil", "v1", &Made::new(&[archive(&[(name, b"evil")])], Packing::Zstd));
        let refused = machine.refusal(&registry.name("evil:v1")).await;
        assert!(refused.contains("name is absolute") || refused.contains("leaves the root"), "{refused}");
    }
}

#[tokio::test]
async fn a_registry_that_says_nothing_and_one_that_is_not_there() {
    let (registry, machine, image) = ground_with(|settings| settings.patience.stall = STALL).await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let there = registry.name("a:v1");
    registry.does("/v2/hangs/manifests/v1", Does::Hangs);
    let refused = machine.refusal(&registry.name("hangs:v1")).await;
    assert!(refused.contains("brings nothing"), "{refused}");
    registry.does(blob_path("a", &image.layers[0]), Does::Drips);
    let refused = machine.refusal(&there).await;
    assert!(refused.contains("too little to wait for") || refused.contains("brings nothing"), "{refused}");
    let machine = Machine::new(|settings| settings.plain_http = vec![dead.clone()]);
    let refused = machine.refusal(&format!("{dead}/a:v1")).await;
    assert!(refused.contains("cannot be reached"), "{refused}");
}

#[tokio::test]
async fn an_image_that_takes_too_long_altogether() {
    let registry = Scripted::start().await;
    let host = registry.host.clone();
    let machine = Machine::new(|settings| {
        settings.plain_http = vec![host];
        settings.patience.stall = Duration::from_secs(60);
        settings.patience.pull = Duration::from_millis(200);
    });
    registry.does("/v2/a/manifests/v1", Does::Hangs);
    let refused = machine.refusal(&registry.name("a:v1")).await;
    assert!(refused.contains("was not here after 0.2 s"), "{refused}");
}

#[tokio::test]
async fn others_do_not_wait_for_a_registry_that_hangs() {
    let (registry, machine, image) = ground().await;
    let slow = Scripted::start().await;
    let hosts = vec![registry.host.clone(), slow.host.clone()];
    let machine = {
        drop(machine);
        Machine::new(|settings| {
            settings.plain_http = hosts;
            settings.patience.stall = Duration::from_secs(600);
        })
    };
    // The same layer at both: what the one holds back, the other gives.
    for number in 0..20 {
        slow.has("a", &format!("v{number}"), &image);
    }
    slow.does(blob_path("a", &image.layers[0]), Does::Hangs);
    let mut waiting = Vec::new();
    for number in 0..20 {
        waiting.push(tokio::spawn({
            let (images, name) = (machine.images.clone(), slow.name(&format!("a:v{number}")));
            async move { images.pull(&name.parse().unwrap(), chapada_images::Freshness::Known, None).await }
        }));
    }
    let blob = blob_path("a", &image.layers[0]);
    while slow.times_asked(&blob) == 0 {
        tokio::task::yield_now().await;
    }
    machine.pull(&registry.name("a:v1")).await.unwrap();
    assert!(waiting.iter().all(|pull| !pull.is_finished()));
    // Who gives up is gone at once, and with the last of them the transfer.
    let begun = Instant::now();
    for pull in waiting {
        pull.abort();
        assert!(pull.await.is_err());
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "it does not wait for the registry");
    assert_eq!(machine.left().iter().filter(|path| path.to_string_lossy().contains("staging")).count(), 0);
}

#[tokio::test]
async fn a_way_without_tls_that_nobody_allowed() {
    let (registry, _, _) = ground().await;
    let strict = Machine::new(|_| {});
    let refused = strict.refusal(&registry.name("a:v1")).await;
    assert!(refused.contains("cannot be reached"), "TLS is spoken to it: {refused}");
    // Neither by a redirect, nor by a challenge.
    let (registry, machine, image) = ground().await;
    let other = Scripted::start().await;
    other.has("a", "v1", &image);
    let path = blob_path("a", &image.layers[0]);
    registry.does(path.clone(), Does::Redirects(format!("http://{}{path}", other.host)));
    assert!(machine.refusal(&registry.name("a:v1")).await.contains("without TLS"));
    registry.does(path.clone(), Does::Redirects("https://169.254.169.254/latest/".to_owned()));
    assert!(machine.refusal(&registry.name("a:v1")).await.contains("an address of this link only"));
    registry.does(path.clone(), Does::Redirects(path.clone()));
    assert!(machine.refusal(&registry.name("a:v1")).await.contains("too many redirects"));
    let challenge = format!("Bearer realm=\"http://{}/token\"", other.host);
    let guard = Does::Guards { shown: String::new(), challenge, content: Vec::new() };
    registry.does("/v2/a/manifests/v1", guard);
    assert!(machine.refusal(&registry.name("a:v1")).await.contains("without TLS"));
    assert!(other.asked().is_empty(), "{:?}", other.asked());
}

#[tokio::test]
async fn images_for_other_machines_and_other_things() {
    let (registry, machine, mut image) = ground().await;
    image.config = String::from_utf8(image.config).unwrap().replace("amd64", "s390x").into_bytes();
    image.describe();
    registry.has("other", "v1", &image);
    let refused = machine.refusal(&registry.name("other:v1")).await;
    assert!(refused.contains("made for linux/s390x, and this machine is linux/"), "{refused}");
    for (name, manifest) in [
        ("old", r#"{"schemaVersion":1,"name":"a","fsLayers":[]}"#),
        ("text", "hello"),
        ("deep", &"[".repeat(100_000)),
    ] {
        registry.does(format!("/v2/{name}/manifests/v1"), Does::Serves(manifest.into()));
        let refused = machine.refusal(&registry.name(&format!("{name}:v1"))).await;
        assert!(refused.contains("cannot be run here"), "{refused}");
    }
    assert!(machine.refusal(&registry.name("none:v1")).await.contains("no such image"));
}
