//! A store on a real file system. Root is needed for owners and deletions.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tempfile::TempDir;

use super::*;
use crate::unpack::{Budget, Watch, unpack};

/// An archive of directories (a `/` at the end), files and deletions, all owned by 7.
fn archive(names: &[&str]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_entry_type(if name.ends_with('/') {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        header.set_mode(if name.ends_with('/') { 0o1777 } else { 0o644 });
        header.set_uid(7);
        header.set_gid(7);
        header.set_mtime(1_000_000_000);
        header.set_size(name.len() as u64);
        header.set_cksum();
        archive.append(&header, name.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

struct Ground {
    directory: TempDir,
    always_copy: bool,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("chapada-store-").tempdir_in("/var/tmp").unwrap();
        Self { directory, always_copy: false }
    }

    fn open(&self) -> Store {
        let mut settings = Settings::new(self.directory.path().join("images"));
        settings.always_copy = self.always_copy;
        Store::open(&settings).unwrap()
    }
}

fn keep(store: &Store, name: &str, layers: &[&[&str]]) -> Arc<Record> {
    let layers = layers.iter().map(|names| {
        let archive = archive(names);
        let layer = Digest::of(&archive);
        let staged = store.paths.stage();
        let budget = Budget::new(1 << 20, 1000);
        unpack(&archive[..], &layer, staged.path(), store.format, &budget, &Watch::default()).unwrap();
        store.keep_layer(staged.path(), &layer).unwrap();
        layer
    });
    let configuration = r#"{"rootfs":{"diff_ids":[]}}"#.to_owned();
    let record = Record { manifest: Digest::of(name.as_bytes()), configuration, layers: layers.collect() };
    let record = store.keep_image(record).unwrap();
    store.keep_name(name, &record.manifest).unwrap();
    record
}

fn all(_: &Store) -> io::Result<bool> {
    Ok(true)
}

#[test]
fn what_is_kept_is_there_after_a_restart() {
    let ground = Ground::new();
    let store = ground.open();
    let image = keep(&store, "a", &[&["etc/", "etc/passwd"], &["etc/", "etc/group"]]);
    let root = store.prepare(&image, "c1", &Watch::default()).unwrap();
    drop(store);
    let store = ground.open();
    assert_eq!(store.meaning("a"), Some(image.manifest.clone()));
    assert_eq!(*store.image(&image.manifest).unwrap().0, *image);
    assert_eq!(store.containers().unwrap(), ["c1"]);
    let RootFs::Overlay { lower, upper, work } = root else { panic!("{root:?}") };
    assert_eq!(lower.len(), 2);
    assert!(
        lower[0].join("etc/group").exists() && lower[1].join("etc/passwd").exists(),
        "the uppermost first"
    );
    assert!(upper.is_dir() && work.is_dir());
    store.release("c1").unwrap();
    store.release("c1").unwrap();
    assert!(!upper.exists() && store.containers().unwrap().is_empty());
    let mode = fs::metadata(ground.directory.path().join("images")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "set-user-id programs of images are in there");
}

#[test]
fn what_was_not_finished_is_gone_after_a_restart() {
    let ground = Ground::new();
    let store = ground.open();
    let image = keep(&store, "a", &[&["a"]]);
    let broken = keep(&store, "b", &[&["b"]]);
    let half = store.paths.stage().path().to_owned();
    fs::create_dir_all(half.join(FILES)).unwrap();
    fs::create_dir(store.paths.container("half")).unwrap();
    // Its layer was lost, and with it the image and its name.
    fs::remove_dir_all(store.paths.layer(&broken.layers[0])).unwrap();
    drop(store);
    let store = ground.open();
    assert!(!half.exists());
    assert!(store.containers().unwrap().is_empty());
    assert!(store.image(&broken.manifest).is_none() && store.meaning("b").is_none());
    assert!(store.image(&image.manifest).is_some());
}

#[test]
fn what_a_container_uses_is_never_removed() {
    let ground = Ground::new();
    let store = ground.open();
    let used = keep(&store, "used", &[&["base"], &["used"]]);
    let unused = keep(&store, "unused", &[&["base"], &["unused"]]);
    let held = keep(&store, "held", &[&["held"]]);
    store.prepare(&used, "c1", &Watch::default()).unwrap();
    let pin = store.pins.pin(&held.manifest);
    assert_eq!(store.collect_while(|| all(&store)).unwrap(), Collected { images: 1, layers: 1 });
    assert!(
        store.has_layer(&used.layers[0])
            && store.has_layer(&used.layers[1])
            && store.has_layer(&held.layers[0])
    );
    assert!(!store.has_layer(&unused.layers[1]) && store.meaning("unused").is_none());
    // Also when the record of the image is lost: the container's own says what it uses.
    fs::remove_file(store.paths.record(&used.manifest)).unwrap();
    drop((pin, store));
    let store = ground.open();
    assert_eq!(store.collect_while(|| all(&store)).unwrap(), Collected { images: 1, layers: 1 });
    assert!(store.has_layer(&used.layers[0]) && store.has_layer(&used.layers[1]));
    store.release("c1").unwrap();
    assert_eq!(store.collect_while(|| all(&store)).unwrap(), Collected { images: 0, layers: 2 });
}

#[test]
fn the_longest_unused_goes_first_and_only_until_there_is_room() {
    let ground = Ground::new();
    let store = ground.open();
    let mut images: Vec<_> = ["a", "b", "c"].map(|name| keep(&store, name, &[&[name]])).into();
    // Against the order that they are kept in.
    images.sort_by(|one, other| one.manifest.cmp(&other.manifest));
    for (image, seconds) in images.iter().zip([300, 200, 100]) {
        let used = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = fs::File::options().write(true).open(store.paths.record(&image.manifest)).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(used)).unwrap();
    }
    let mut rounds = 0;
    let collected = store.collect_while(|| {
        rounds += 1;
        Ok(rounds <= 2)
    });
    assert_eq!(collected.unwrap(), Collected { images: 2, layers: 2 });
    assert_eq!(
        images.iter().map(|image| store.image(&image.manifest).is_some()).collect::<Vec<_>>(),
        [true, false, false]
    );
}

/// Unmounts what is mounted there.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_disk_that_is_too_full_is_emptied_to_the_mark_and_no_further() {
    let ground = Ground::new();
    let place = ground.directory.path().join("images");
    fs::create_dir(&place).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &place, "tmpfs", flags, Some(c"size=16m,mode=700")).unwrap();
    let _mounted = Mounted(place);
    let store = ground.open();
    let mut images = Vec::new();
    for (name, seconds) in [("a", 100), ("b", 200), ("c", 300), ("d", 400), ("e", 500)] {
        let image = keep(&store, name, &[&[name]]);
        fs::write(store.paths.files(&image.layers[0]).join("large"), vec![0; 2 << 20]).unwrap();
        let used = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = fs::File::options().write(true).open(store.paths.record(&image.manifest)).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(used)).unwrap();
        images.push(image);
    }
    store.prepare(&images[0], "c1", &Watch::default()).unwrap();
    // Ten of sixteen MiB, and what the disk itself takes.
    let marks = |high, low| crate::settings::Marks { high, low };
    assert_eq!(store.collect(marks(75, 30)).unwrap(), Collected::default(), "it is not that full");
    assert_eq!(store.collect(marks(60, 45)).unwrap(), Collected { images: 2, layers: 2 });
    let is_left = |image: &Arc<Record>| store.image(&image.manifest).is_some();
    assert_eq!(images.iter().map(is_left).collect::<Vec<_>>(), [true, false, false, true, true]);
    assert_eq!(store.collect(marks(10, 5)).unwrap(), Collected { images: 2, layers: 2 }, "but what is used");
    assert!(is_left(&images[0]));
}

#[test]
fn directories_that_a_layer_only_passes_through_keep_their_owner() {
    let ground = Ground::new();
    let store = ground.open();
    let image =
        keep(&store, "a", &[&["./", "tmp/", "srv/", "srv/www/"], &["tmp/new", "srv/www/page", "own/x"]]);
    let root = store.prepare(&image, "c1", &Watch::default()).unwrap();
    let RootFs::Overlay { lower, upper, .. } = root else { panic!("{root:?}") };
    assert_eq!(lower.len(), 3);
    for name in ["tmp", "srv", "srv/www"] {
        let metadata = fs::metadata(lower[0].join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (7, 0o1777), "{name}");
    }
    assert!(!lower[0].join("own").exists());
    assert_eq!(
        (fs::metadata(&upper).unwrap().uid(), fs::metadata(&upper).unwrap().mode() & 0o7777),
        (7, 0o1777)
    );
}

#[test]
fn a_copy_is_what_overlayfs_would_show() {
    let ground = Ground { always_copy: true, ..Ground::new() };
    let store = ground.open();
    let layers: [&[&str]; 3] = [
        &["./", "etc/", "etc/a", "etc/b", "old/", "old/x", "tmp/", "link", "dir/", "dir/x"],
        &["etc/", "etc/.wh.a", "old/.wh..wh..opq", "old/y", "tmp/new", "link/", "link/inside"],
        &[".wh.dir", "dir"],
    ];
    let image = keep(&store, "a", &layers);
    let RootFs::Directory(root) = store.prepare(&image, "c1", &Watch::default()).unwrap() else { panic!() };
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for path in entries(&directory).unwrap() {
            if path.is_dir() {
                open.push(path.clone());
            }
            found.push(path.strip_prefix(&root).unwrap().display().to_string());
        }
    }
    found.sort();
    assert_eq!(found, ["dir", "etc", "etc/b", "link", "link/inside", "old", "old/y", "tmp", "tmp/new"]);
    let metadata = fs::metadata(root.join("tmp")).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (7, 0o1777), "it was only passed through");
    assert!(root.join("dir").is_file());
    // The image itself is as it was.
    fs::write(root.join("etc/b"), "changed").unwrap();
    assert_eq!(fs::read_to_string(store.paths.files(&image.layers[0]).join("etc/b")).unwrap(), "etc/b");
}

#[test]
fn a_container_is_a_plain_name() {
    let ground = Ground::new();
    let store = ground.open();
    let image = keep(&store, "a", &[]);
    for id in ["", "..", "a/b", ".hidden"] {
        assert!(store.prepare(&image, id, &Watch::default()).is_err(), "{id}");
    }
    let RootFs::Overlay { lower, .. } = store.prepare(&image, "c", &Watch::default()).unwrap() else {
        panic!()
    };
    assert_eq!(lower.len(), 1, "overlayfs needs one");
    assert!(store.prepare(&image, "c", &Watch::default()).is_err(), "one that is there is not taken over");
    assert_eq!(store.containers().unwrap(), ["c"], "and what failed left nothing");
}
