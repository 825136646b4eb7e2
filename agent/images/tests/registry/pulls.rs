//! What pulling does when all is well, or well enough.

use std::sync::Arc;

use chapada_images::{Credentials, Freshness};
use serde_json::json;

use crate::fixture::{Machine, Made, Packing, archive, everything_in, noise};
use crate::scripted::{Does, Scripted, blob_path};

const CANARY: &str = "canary-of-a-password";

async fn ground() -> (Scripted, Machine) {
    let registry = Scripted::start().await;
    let host = registry.host.clone();
    (registry, Machine::new(|settings| settings.plain_http = vec![host]))
}

fn two_layers(text: &str) -> Made {
    Made::new(&[archive(&[("base", b"shared")]), archive(&[("hello", text.as_bytes())])], Packing::Zstd)
}

#[tokio::test]
async fn layers_are_transferred_once_whoever_wants_them() {
    let (registry, machine) = ground().await;
    let (one, two) = (two_layers("one"), two_layers("two"));
    registry.has("a", "one", &one);
    registry.has("a", "two", &two);
    let machine = Arc::new(machine);
    let names = ["a:one", "a:two", "a:one", "a:two", "a:one"].map(|name| registry.name(name));
    let pulls = names.map(|name| {
        let machine = machine.clone();
        tokio::spawn(async move { machine.pull(&name).await.unwrap() })
    });
    let mut images = Vec::new();
    for pull in pulls {
        images.push(pull.await.unwrap());
    }
    assert_eq!(images[0].digest(), images[2].digest());
    for layer in one.layers.iter().chain(&two.layers) {
        assert_eq!(registry.times_asked(&blob_path("a", layer)), 1);
    }
    assert_eq!(machine.read(&images[0], "hello").await, "one");
    assert_eq!(machine.read(&images[1], "hello").await, "two");
    // What is here is not asked for again, neither now nor after a restart.
    let asked = registry.asked().len();
    machine.pull(&registry.name("a:one")).await.unwrap();
    let again = chapada_images::Images::open(&machine.settings).unwrap();
    again.pull(&registry.name("a:one").parse().unwrap(), Freshness::Known, None).await.unwrap();
    assert_eq!(registry.asked().len(), asked);
}

#[tokio::test]
async fn a_tag_that_has_moved_is_followed_when_asked_for() {
    let (registry, machine) = ground().await;
    registry.has("a", "v1", &two_layers("one"));
    let name = registry.name("a:v1").parse().unwrap();
    let first = machine.images.pull(&name, Freshness::Known, None).await.unwrap();
    registry.has("a", "v1", &two_layers("two"));
    let known = machine.images.pull(&name, Freshness::Known, None).await.unwrap();
    assert_eq!(known.digest(), first.digest());
    let now = machine.images.pull(&name, Freshness::Now, None).await.unwrap();
    assert_eq!(machine.read(&now, "hello").await, "two");
    let known = machine.images.pull(&name, Freshness::Known, None).await.unwrap();
    assert_eq!(known.digest(), now.digest());
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_ended() {
    let (registry, machine) = ground().await;
    let image = Made::new(&[archive(&[("big", &noise(3 << 20))])], Packing::Plain);
    registry.has("a", "v1", &image);
    let layer = &image.layers[0];
    registry.does(blob_path("a", layer), Does::BreaksAfter(1_000_000, layer.clone()));
    machine.pull(&registry.name("a:v1")).await.unwrap();
    let asked = registry.asked();
    let ranges: Vec<u64> = asked
        .iter()
        .filter(|asked| asked.path == blob_path("a", layer))
        .map(|asked| {
            asked.headers.get("range").map_or(0, |r| r["bytes=".len()..r.len() - 1].parse().unwrap())
        })
        .collect();
    assert!(ranges.len() >= 4 && ranges.is_sorted() && ranges[0] == 0 && ranges[1] > 0, "{ranges:?}");
}

#[tokio::test]
async fn a_registry_without_ranges_begins_anew() {
    let (registry, machine) = ground().await;
    let image = Made::new(&[archive(&[("big", &noise(1 << 20))])], Packing::Plain);
    registry.has("a", "v1", &image);
    let layer = image.layers[0].clone();
    registry.does(blob_path("a", &layer), Does::BreaksOnce(600_000, layer.clone()));
    machine.pull(&registry.name("a:v1")).await.unwrap();
    assert_eq!(registry.times_asked(&blob_path("a", &layer)), 2);
    machine.images.prune(&[]).unwrap();
    registry.does(blob_path("a", &layer), Does::Fails { status: 503, times: 2, then: layer.clone() });
    machine.pull(&registry.name("a:v1")).await.unwrap();
    assert_eq!(
        registry.times_asked(&blob_path("a", &layer)),
        5,
        "two attempts failed, and the third did not"
    );
}

#[tokio::test]
async fn a_list_leads_to_the_image_for_this_machine() {
    let (registry, machine) = ground().await;
    let image = two_layers("one");
    let entry = |image: &Made, architecture: &str| {
        json!({"digest": chapada_images::Digest::of(&image.manifest), "size": image.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let list =
        json!({"schemaVersion": 2, "manifests": [entry(&two_layers("x"), "s390x"), entry(&image, here)]});
    registry.has("a", "unused", &image);
    registry.does("/v2/a/manifests/v1", Does::Serves(list.to_string().into_bytes()));
    let pulled = machine.pull(&registry.name("a:v1")).await.unwrap();
    assert_eq!(*pulled.digest(), chapada_images::Digest::of(&image.manifest));
    let itself =
        json!({"schemaVersion": 2, "manifests": [{"digest": chapada_images::Digest::of(b""), "size": 1}]});
    registry.does("/v2/b/manifests/v1", Does::Serves(itself.to_string().into_bytes()));
    assert!(machine.pull(&registry.name("b:v1")).await.is_err());
}

#[tokio::test]
async fn who_shows_a_token_is_let_in_and_the_storage_behind_sees_none() {
    let registry = Scripted::start().await;
    let storage = Scripted::start().await;
    let (host, hosts) = (registry.host.clone(), vec![registry.host.clone(), storage.host.clone()]);
    let file = json!({"auths": {&host: {"username": "me", "password": CANARY}}}).to_string();
    let machine = Machine::new(|settings| {
        settings.plain_http = hosts;
        settings.credentials = Credentials::parse(file.as_bytes()).unwrap();
    });
    let image = two_layers("one");
    let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"repository:a:pull\"");
    let token = json!({"access_token": "t0ken", "expires_in": 300}).to_string();
    registry.does("/token", Does::Serves(token.into()));
    let guard = |content: &[u8]| Does::Guards {
        shown: "Bearer t0ken".to_owned(),
        challenge: challenge.clone(),
        content: content.to_vec(),
    };
    registry.does("/v2/a/manifests/v1", guard(&image.manifest));
    registry.does(blob_path("a", &image.config), guard(&image.config));
    storage.has("a", "v1", &image);
    for layer in &image.layers {
        let path = blob_path("a", layer);
        registry.does(path.clone(), Does::Redirects(format!("http://{}{path}", storage.host)));
    }
    machine.pull(&registry.name("a:v1")).await.unwrap();
    let asked = registry.asked();
    let tokens: Vec<_> = asked.iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1, "one token serves the whole image");
    assert_eq!(tokens[0].path, "/token?service=s&scope=repository%3Aa%3Apull&account=me");
    assert!(tokens[0].headers["authorization"].starts_with("Basic "));
    assert_eq!(storage.asked().len(), 2);
    assert!(storage.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
    let kept = everything_in(machine.directory.path());
    assert!(!kept.contains(CANARY) && !kept.contains("t0ken"), "no secret is on the disk");
}

#[tokio::test]
async fn an_identity_token_is_changed_for_another() {
    let registry = Scripted::start().await;
    let host = registry.host.clone();
    let file = json!({"auths": {&host: {"identitytoken": CANARY}}}).to_string();
    let machine = Machine::new(|settings| {
        settings.plain_http = vec![host.clone()];
        settings.credentials = Credentials::parse(file.as_bytes()).unwrap();
    });
    let image = two_layers("one");
    registry.has("a", "v1", &image);
    registry.does("/token", Does::Serves(json!({"token": "t0ken"}).to_string().into()));
    let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
    let guard = Does::Guards { shown: "Bearer t0ken".to_owned(), challenge, content: image.manifest.clone() };
    registry.does("/v2/a/manifests/v1", guard);
    machine.pull(&registry.name("a:v1")).await.unwrap();
    let asked = registry.asked().into_iter().find(|asked| asked.path == "/token").unwrap();
    assert!(
        asked.body.contains(&format!("refresh_token={CANARY}"))
            && asked.body.contains("scope=repository%3Aa%3Apull")
    );
}

#[tokio::test]
async fn what_one_tasks_credentials_open_is_not_given_to_another_by_name() {
    let (registry, machine) = ground().await;
    let image = two_layers("secret");
    registry.has("a", "v1", &image);
    let challenge = "Basic realm=\"r\"".to_owned();
    let shown = "Basic bWU6Y2FuYXJ5LW9mLWEtcGFzc3dvcmQ=".to_owned();
    registry.does("/v2/a/manifests/v1", Does::Guards { shown, challenge, content: image.manifest.clone() });
    let file = json!({"auths": {&registry.host: {"username": "me", "password": CANARY}}}).to_string();
    let own = Credentials::parse(file.as_bytes()).unwrap();
    let name = registry.name("a:v1").parse().unwrap();
    machine.images.pull(&name, Freshness::Known, Some(&own)).await.unwrap();
    let refused = machine.images.pull(&name, Freshness::Known, None).await.unwrap_err().chain();
    assert!(refused.contains("other credentials") && !refused.contains(CANARY), "{refused}");
}
