//! Volumes of a container's own sandbox, of images, and in containers with the host's files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::place::*;
use chapada_shim::*;

fn volume(source: VolumeSource, target: &str) -> VolumeMount {
    VolumeMount { source, target: target.into(), read_only: false }
}

fn own(path: &str, target: &str) -> VolumeMount {
    volume(VolumeSource::Sandbox { path: path.into() }, target)
}

fn refusal(place: &Place, spec: &ContainerSpec) -> SetupError {
    match place.run(spec).outcome {
        Outcome::NotStarted { error } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_of_the_sandbox_shows_elsewhere_and_is_its_users() {
    let place = Place::new();
    for user_namespace in [None, Some(IdRange { first: 1_700_000, count: 65_536 })] {
        let id = format!("own-{}", user_namespace.is_some());
        let mut spec = place.own_root(&id, "echo mine > /srv/data/file && cat made/deep/file");
        spec.user = Some("ann".into());
        spec.user_namespace = user_namespace;
        spec.volumes = vec![own("made/deep", "/srv/data")];
        assert_eq!(place.output_of(&spec), "mine\n");
        let first = user_namespace.map_or(0, |range| range.first);
        let owner = fs::metadata(spec.sandbox.join("made/deep/file")).unwrap().uid();
        assert_eq!(owner, first + 1001);
    }
}

#[test]
fn a_link_in_the_sandbox_leads_to_no_volume() {
    let place = Place::new();
    for (number, path) in ["link", "link/x", "file/x"].into_iter().enumerate() {
        let mut spec = place.own_root(&format!("link{number}"), "true");
        symlink("/etc", spec.sandbox.join("link")).unwrap();
        fs::write(spec.sandbox.join("file"), "").unwrap();
        spec.volumes = vec![own(path, "/srv/data")];
        assert_eq!(refusal(&place, &spec).failure, SetupFailure::Volume, "{path}");
    }
    let mut spec = place.own_root("up", "true");
    spec.volumes = vec![own("../up", "/srv/data")];
    assert!(spec.validate().is_err());
}

#[test]
fn layers_of_an_image_show_as_one_and_cannot_be_written() {
    let place = Place::new();
    let (top, base) = (place.directory("upper-layer"), place.directory("lower-layer"));
    fs::write(base.join("old"), "old\n").unwrap();
    fs::write(base.join("both"), "below\n").unwrap();
    fs::write(top.join("both"), "above\n").unwrap();
    // A whiteout.
    nix::sys::stat::mknod(&top.join("old"), nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::empty(), 0)
        .unwrap();
    let script = "ls /srv/image; cat /srv/image/both; stat -c %u /srv/image/both; cat one/old; \
                  (echo x > /srv/image/both) 2>/dev/null && echo wrote; ls -A /dev/.stage 2>/dev/null; true";
    for user_namespace in [None, Some(IdRange { first: 1_800_000, count: 65_536 })] {
        let mut spec = place.own_root(&format!("image-{}", user_namespace.is_some()), script);
        spec.user_namespace = user_namespace;
        spec.volumes = vec![
            volume(VolumeSource::Layers { lower: vec![top.clone(), base.clone()] }, "/srv/image"),
            volume(VolumeSource::Layers { lower: vec![base.clone()] }, "one"),
        ];
        assert_eq!(place.output_of(&spec), "both\nabove\n0\nold\n", "{user_namespace:?}");
    }
}

#[test]
fn nothing_is_made_among_the_hosts_files() {
    let place = Place::new();
    let data = place.directory("data");
    fs::write(data.join("file"), "shown\n").unwrap();
    // Containers have a /tmp of their own.
    let there = tempfile::tempdir_in("/var/tmp").unwrap();
    let missing = there.path().join("missing");
    let mut spec = place.spec("missing", "true");
    spec.volumes = vec![VolumeMount::given(&data, &missing)];
    assert_eq!(refusal(&place, &spec).failure, SetupFailure::Volume);
    assert!(!missing.exists(), "a mount point was made on the host");
    let mut spec = place.spec("there", &format!("cat {}/file", there.path().display()));
    spec.volumes = vec![VolumeMount::given(&data, there.path())];
    assert_eq!(place.output_of(&spec), "shown\n");
}
