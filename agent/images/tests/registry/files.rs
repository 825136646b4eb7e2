//! Images from files.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::debian::{self, run};
use crate::fixture::{Machine, Made, Packing, archive};

#[tokio::test]
async fn a_layout_and_archives_of_it_and_of_docker_are_the_same_image() {
    let machine = Machine::new(|_| {});
    let work = machine.directory.path();
    debian::build(work, "one");
    let layout = work.join("layout");
    let oci = work.join("oci.tar");
    let docker = work.join("docker.tar");
    for (scheme, file) in [("oci-archive", &oci), ("docker-archive", &docker)] {
        let mut copy = Command::new("skopeo");
        let target = format!("{scheme}:{}:name:one", file.display());
        run(copy.args(["copy", "--quiet"]).arg(format!("oci:{}:one", layout.display())).arg(target));
    }
    for path in [&layout, &oci, &docker] {
        let image = machine.images.load(path, None).await.unwrap();
        assert_eq!(image.config().entrypoint.as_deref().unwrap(), ["/bin/sh", "-c"], "{}", path.display());
        assert_eq!(machine.read(&image, "etc/motd").await, "one");
    }
    let image = machine.images.load(&docker, Some("one")).await.unwrap();
    assert_eq!(machine.read(&image, "etc/motd").await, "one");
    let refused = machine.images.load(&docker, Some("two")).await.unwrap_err().chain();
    assert!(refused.contains("no image Some(\"two\"), but"), "{refused}");
    let staging = machine.settings.directory.join("overlay/staging");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
}

#[tokio::test]
async fn names_without_a_registry_may_mean_files() {
    let machine = Machine::new(|_| {});
    let work = machine.directory.path();
    debian::build(work, "one");
    let shelf = work.join("shelf/team");
    fs::create_dir_all(&shelf).unwrap();
    fs::rename(work.join("layout"), shelf.join("web")).unwrap();
    let archive = work.join("saved.tar");
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--quiet"]).arg(format!("oci:{}:one", shelf.join("web").display()));
    run(copy.arg(format!("docker-archive:{}", archive.display())));
    fs::rename(archive, work.join("shelf/plain:v2.tar")).unwrap();
    let machine = Machine::new(|settings| settings.local_directory = Some(work.join("shelf")));
    for name in ["team/web:one", "plain:v2"] {
        let image = machine.pull(name).await.unwrap();
        assert_eq!(machine.read(&image, "etc/motd").await, "one", "{name}");
    }
    let refused = machine.pull("none").await.unwrap_err().chain();
    assert!(refused.contains("there is no file of \"none:latest\""), "{refused}");
    // A name with a registry means that registry.
    assert!(
        machine.pull("127.0.0.1:1/team/web:one").await.unwrap_err().chain().contains("cannot be reached")
    );
}

#[tokio::test]
async fn files_that_lie_or_lead_elsewhere_are_refused() {
    let machine = Machine::new(|_| {});
    let work = machine.directory.path();
    let image = Made::new(&[archive(&[("a", b"b")])], Packing::Plain);
    let secret = work.join("secret");
    fs::write(&secret, "secret").unwrap();
    let saved = |layer: &str| {
        let manifest =
            json!([{"Config": "config.json", "RepoTags": ["a:v1"], "Layers": [layer]}]).to_string();
        archive(&[
            ("manifest.json", manifest.as_bytes()),
            ("config.json", &image.config),
            ("layer.tar", b"else"),
        ])
    };
    for (layer, reason) in [
        ("layer.tar", "the configuration says"),
        ("../secret", "cannot read"),
        (secret.to_str().unwrap(), "cannot read"),
        ("none.tar", "cannot read"),
    ] {
        let file = work.join("image.tar");
        fs::write(&file, saved(layer)).unwrap();
        let refused = machine.images.load(&file, None).await.unwrap_err().chain();
        assert!(refused.contains(reason) || refused.contains("cannot unpack"), "{layer}: {refused}");
        assert!(machine.left().is_empty(), "{:?}", machine.left());
    }
    for (content, reason) in
        [(&b"neither"[..], "cannot"), (&archive(&[("x", b"y")]), "neither index.json nor")]
    {
        let file = work.join("image.tar");
        fs::write(&file, content).unwrap();
        let refused = machine.images.load(&file, None).await.unwrap_err().chain();
        assert!(refused.contains(reason), "{refused}");
    }
}
