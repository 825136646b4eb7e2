//! Layers as they are, and layers as somebody with bad intentions makes them. Root is needed for owners and devices.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;

/// A directory that the layer is unpacked in, with something beside it that must stay as it is.
struct Ground {
    directory: TempDir,
}

const SECRET: &str = "not the layer's";

impl Ground {
    fn new() -> Self {
        // Not in /tmp, which may lack the attributes of overlayfs.
        let directory = tempfile::Builder::new().prefix("chapada-unpack-").tempdir_in("/var/tmp").unwrap();
        fs::write(directory.path().join("secret"), SECRET).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        Self { directory }
    }

    fn layer(&self) -> PathBuf {
        self.directory.path().join("layer")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.layer().join(FILES).join(name)
    }

    fn unpack(&self, archive: &[u8]) -> Result<(), UnpackError> {
        self.unpack_as(archive, archive, Format::Overlay, &Budget::new(1 << 20, 100))
    }

    fn unpack_as(
        &self,
        packed: &[u8],
        plain: &[u8],
        format: Format,
        budget: &Budget,
    ) -> Result<(), UnpackError> {
        unpack(packed, &Digest::of(plain), &self.layer(), format, budget, &Watch::default())
    }

    /// Unpacks what must not get through, and looks whether anything outside has changed.
    fn refusal(&self, archive: &[u8]) -> String {
        let refused = self.unpack(archive).expect_err("this must be refused").to_string();
        assert_eq!(fs::read_to_string(self.directory.path().join("secret")).unwrap(), SECRET);
        assert_eq!(fs::read_dir(self.directory.path().join("outside")).unwrap().count(), 0);
        let there: Vec<_> =
            fs::read_dir(self.directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(there.len(), 3, "{there:?}");
        refused
    }
}

/// An archive with names as they are given: the `tar` crate refuses to write some of them.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o750 } else { 0o640 });
        header.set_uid(1234);
        header.set_gid(2345);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
            text.extend_from_slice(format!("{length} {key}=").as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        self.add(EntryType::XHeader, "pax", "", &text)
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.add(EntryType::Regular, name, "", content.as_bytes())
    }

    fn directory(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name, target, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Link, name, target, b"")
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

#[test]
fn a_layer_keeps_owners_modes_times_links_and_capabilities() {
    let ground = Ground::new();
    // Version 2, permitted CAP_NET_RAW. The kernel refuses anything else.
    let capability = [1u8, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let archive = Tar::new()
        .directory("./")
        .directory("bin/")
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("mtime", b"7.5"),
        ])
        .file("bin/ping", "ping")
        .hard_link("bin/ping6", "bin/ping")
        .symlink("sbin", "bin")
        .symlink("abs", "/etc/passwd")
        .file("sbin/through", "x")
        .add(EntryType::Fifo, "queue", "", b"")
        .done();
    ground.unpack(&archive).unwrap();
    let ping = fs::metadata(ground.file("bin/ping")).unwrap();
    assert_eq!((ping.uid(), ping.gid(), ping.mode() & 0o7777, ping.nlink()), (1234, 2345, 0o640, 2));
    assert_eq!((ping.mtime(), ping.mtime_nsec()), (7, 500_000_000));
    let file = fs::File::open(ground.file("bin/ping")).unwrap();
    let mut value = [0u8; 64];
    let length = rustix::fs::fgetxattr(&file, "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..length], capability);
    let length = rustix::fs::fgetxattr(&file, "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"a\nb");
    let directory = fs::metadata(ground.file("bin")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.mtime()), (0o750, 1_000_000_000));
    assert_eq!(
        fs::read_to_string(ground.file("bin/through")).unwrap(),
        "x",
        "links within the root are followed"
    );
    let link = fs::symlink_metadata(ground.file("abs")).unwrap();
    assert_eq!((link.uid(), link.mtime()), (1234, 1_000_000_000));
    assert!(fs::metadata(ground.file("queue")).unwrap().file_type().is_fifo());
    assert_eq!(read_implicit(&ground.layer()).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn set_user_id_outlives_the_change_of_owner() {
    let ground = Ground::new();
    let mut archive = Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_path("su").unwrap();
    header.set_mode(0o4755);
    header.set_uid(0);
    header.set_gid(42);
    header.set_size(0);
    header.set_cksum();
    archive.append(&header, &b""[..]).unwrap();
    ground.unpack(&archive.into_inner().unwrap()).unwrap();
    let metadata = fs::metadata(ground.file("su")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.gid()), (0o4755, 42));
}

#[test]
fn long_names_of_either_kind_are_names() {
    let ground = Ground::new();
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let gnu = format!("{}\0", long.replace('f', "g"));
    let archive = Tar::new()
        .pax(&[("path", long.as_bytes()), ("uid", b"77")])
        .file("short", "pax")
        .add(EntryType::GNULongName, "././@LongLink", "", gnu.as_bytes())
        .file("short", "gnu")
        .done();
    ground.unpack(&archive).unwrap();
    assert_eq!(fs::read_to_string(ground.file(&long)).unwrap(), "pax");
    assert_eq!(fs::metadata(ground.file(&long)).unwrap().uid(), 77);
    assert_eq!(fs::read_to_string(ground.file(&long.replace('f', "g"))).unwrap(), "gnu");
    let made = read_implicit(&ground.layer()).unwrap();
    assert_eq!(
        made,
        [PathBuf::new(), PathBuf::from("d".repeat(150))],
        "also the root, which was not brought"
    );
}

#[test]
fn deletions_are_overlayfs_own_and_delete_nothing_of_their_layer() {
    let ground = Ground::new();
    let archive = Tar::new()
        .file("etc/.wh.gone", "")
        .file("new/kept", "kept")
        .file(".wh.new", "")
        .file("hidden/.wh..wh..opq", "")
        .file(".wh.again", "")
        .directory("again")
        .file("was", "was")
        .file(".wh.was", "")
        .file(".wh..wh.plnk", "")
        .done();
    ground.unpack(&archive).unwrap();
    let gone = fs::symlink_metadata(ground.file("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(fs::read_to_string(ground.file("new/kept")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(ground.file("was")).unwrap(), "was");
    for (name, opaque) in [("new", true), ("hidden", true), ("again", true), ("etc", false)] {
        let directory = fs::File::open(ground.file(name)).unwrap();
        let found = rustix::fs::fgetxattr(directory, "trusted.overlay.opaque", &mut [0u8; 4][..]);
        assert_eq!(found.is_ok(), opaque, "{name}");
    }
    assert!(!ground.file(".wh..wh.plnk").exists());
}

#[test]
fn deletions_can_be_a_list() {
    let ground = Ground::new();
    let archive = Tar::new().file("etc/.wh.gone", "").file("hidden/.wh..wh..opq", "").done();
    ground.unpack_as(&archive, &archive, Format::List, &Budget::new(1 << 20, 100)).unwrap();
    let mut marks = Vec::new();
    read_marks(&ground.layer(), |mark| {
        marks.push(mark);
        Ok(())
    })
    .unwrap();
    assert_eq!(marks, [Mark::Whiteout("etc/gone".into()), Mark::Opaque("hidden".into())]);
    assert_eq!(fs::read_dir(ground.file("etc")).unwrap().count(), 0);
}

#[test]
fn every_packing_is_told_by_its_first_bytes() {
    let archive = Tar::new().file("a", "content").done();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let members = [gzip(&archive[..700]), gzip(&archive[700..])].concat();
    let skippable =
        [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd::encode_all(&archive[..], 1).unwrap()]
            .concat();
    for packed in
        [archive.clone(), gzip(&archive), members, zstd::encode_all(&archive[..], 3).unwrap(), skippable]
    {
        let ground = Ground::new();
        ground.unpack_as(&packed, &archive, Format::Overlay, &Budget::new(1 << 20, 100)).unwrap();
        assert_eq!(fs::read_to_string(ground.file("a")).unwrap(), "content");
    }
}

#[test]
fn names_that_leave_the_root_are_refused() {
    for name in ["/etc/cron.d/x", "../secret", "a/../../secret", "outside/../../secret"] {
        let ground = Ground::new();
        let refused = ground.refusal(&Tar::new().file(name, "evil").done());
        assert!(refused.contains("name is absolute") || refused.contains("leaves the root"), "{refused}");
    }
    let ground = Ground::new();
    ground.refusal(&Tar::new().pax(&[("path", b"../secret")]).file("fine", "evil").done());
    ground.refusal(&Tar::new().add(EntryType::GNULongName, "l", "", b"/etc/x\0").file("fine", "evil").done());
}

#[test]
fn links_that_leave_the_root_are_refused() {
    for target in ["../secret", "../../../../../../etc/passwd", "x/../../secret"] {
        let refused = Ground::new().refusal(&Tar::new().symlink("link", target).done());
        assert!(refused.contains("a link that leaves the root"), "{refused}");
    }
    for target in ["../../secret", "/etc/passwd", "../secret"] {
        let refused = Ground::new().refusal(&Tar::new().hard_link("link", target).done());
        assert!(refused.contains("a hard link that leaves the root"), "{refused}");
    }
}

#[test]
fn nothing_is_written_through_a_link_that_leads_out() {
    let ground = Ground::new();
    let outside = ground.directory.path().join("outside").display().to_string();
    let secret = ground.directory.path().join("secret").display().to_string();
    // An absolute target is the container's own business, until somebody goes through it here.
    for archive in [
        Tar::new().symlink("out", &outside).file("out/x", "evil"),
        Tar::new().symlink("out", &outside).directory("out/x/y"),
        Tar::new().symlink("out", &outside).file("out/.wh.x", ""),
        Tar::new().symlink("out", &outside).file("out/.wh..wh..opq", ""),
        Tar::new().symlink("out", &outside).symlink("out/x", "y"),
        Tar::new().symlink("a", "b").symlink("b", &outside).hard_link("x", "a/x"),
        Tar::new().symlink("magic", "/proc/self/cwd").file("magic/x", "evil"),
        Tar::new().symlink("loop", "loop").file("loop/x", "evil"),
    ] {
        let ground = Ground { directory: tempfile::tempdir_in(ground.directory.path()).unwrap() };
        let refused = ground.unpack(&archive.done()).unwrap_err().to_string();
        assert!(refused.contains("through a link") || refused.contains("behind a link"), "{refused}");
    }
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    // A link in the way is replaced, not followed: also one that shares its file with another name.
    let other = Ground { directory: tempfile::tempdir_in(ground.directory.path()).unwrap() };
    let archive =
        Tar::new().symlink("s", &secret).hard_link("h", "s").file("s", "a").file("h", "b").directory("s2");
    other.unpack(&archive.done()).unwrap();
    assert_eq!(fs::read_to_string(secret).unwrap(), SECRET);
    assert_eq!(fs::read_to_string(other.file("h")).unwrap(), "b");
}

#[test]
fn devices_are_refused_or_left_out_below_dev() {
    for kind in [EntryType::Char, EntryType::Block] {
        let refused = Ground::new().refusal(&Tar::new().add(kind, "etc/sda", "", b"").done());
        assert!(refused.contains("a device"), "{refused}");
    }
    let ground = Ground::new();
    ground.unpack(&Tar::new().add(EntryType::Char, "dev/null", "", b"").done()).unwrap();
    assert!(!ground.file("dev/null").exists());
}

#[test]
fn attributes_of_overlayfs_are_refused() {
    for name in ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.metacopy"] {
        let archive = Tar::new().pax(&[(&format!("SCHILY.xattr.{name}"), b"/etc")]).file("a", "");
        assert!(Ground::new().refusal(&archive.done()).contains("attribute of overlayfs"), "{name}");
    }
}

#[test]
fn a_bomb_goes_off_nowhere() {
    let ground = Ground::new();
    let bomb = Tar::new().add(EntryType::Regular, "zeros", "", &vec![0; 16 << 20]).done();
    let packed = zstd::encode_all(&bomb[..], 1).unwrap();
    assert!(packed.len() < 4096, "sixteen MiB in {} bytes", packed.len());
    let failed = ground.unpack_as(&packed, &bomb, Format::Overlay, &Budget::new(1 << 20, 100)).unwrap_err();
    assert!(matches!(failed, UnpackError::TooLarge { what: "bytes", limit: 1_048_576 }), "{failed}");
    assert!(fs::metadata(ground.file("zeros")).unwrap().len() <= 1 << 20);
    let mut many = Tar::new();
    for number in 0..101 {
        many = many.file(&number.to_string(), "");
    }
    let failed = Ground::new().unpack(&many.done()).unwrap_err();
    assert!(matches!(failed, UnpackError::TooLarge { what: "files", limit: 100 }), "{failed}");
    let long = Tar::new().add(EntryType::GNULongName, "l", "", &vec![b'x'; 5000]).file("a", "");
    let failed = Ground::new().unpack(&long.done()).unwrap_err();
    assert!(matches!(failed, UnpackError::TooLarge { limit: 4097, .. }), "{failed}");
    let deep = "d/".repeat(2000);
    let failed = Ground::new()
        .unpack(&Tar::new().pax(&[("path", format!("{deep}{deep}{deep}f").as_bytes())]).file("a", "").done());
    assert!(failed.is_err());
}

#[test]
fn two_readers_must_not_see_two_archives() {
    let archive = Tar::new().pax(&[("size", b"1024")]).file("a", "b");
    assert!(Ground::new().refusal(&archive.done()).contains("two sizes differ"));
    let archive = Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("a", "b");
    assert!(Ground::new().refusal(&archive.done()).contains("sparse"));
    let archive = Tar::new().pax(&[("uid", b"4294967295")]).file("a", "b");
    assert!(Ground::new().refusal(&archive.done()).contains("no user id"));
}

#[test]
fn the_content_must_be_what_the_configuration_says() {
    let archive = Tar::new().file("a", "b").done();
    let failed =
        Ground::new().unpack_as(&archive, b"else", Format::Overlay, &Budget::new(1 << 20, 9)).unwrap_err();
    assert!(matches!(failed, UnpackError::WrongContent { .. }), "{failed}");
    // What follows the end of the archive counts too.
    let trailing = [&archive[..], b"more"].concat();
    assert!(Ground::new().unpack_as(&trailing, &archive, Format::Overlay, &Budget::new(1 << 20, 9)).is_err());
}

#[test]
fn nobody_waits_for_what_was_cancelled() {
    let (archive, ground, budget) =
        (Tar::new().file("a", "b").done(), Ground::new(), Budget::new(1 << 20, 100));
    let stop = StopWhenDropped::default();
    let watch = stop.watch();
    drop(stop);
    let sum = Digest::of(&archive);
    let failed = unpack(&archive[..], &sum, &ground.layer(), Format::Overlay, &budget, &watch).unwrap_err();
    assert!(matches!(failed, UnpackError::Cancelled), "{failed}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    /// Whatever is changed in an archive: an error or not, nothing outside changes, and nothing panics.
    #[test]
    fn broken_archives_stay_inside(changes in proptest::collection::vec((0usize..4096, proptest::prelude::any::<u8>()), 1..12)) {
        let ground = Ground::new();
        let mut archive = Tar::new().directory("a").file("a/b", "content").symlink("a/c", "../a").hard_link("d", "a/b").done();
        for (place, byte) in changes {
            let place = place % archive.len();
            archive[place] = byte;
        }
        // Checksums would catch nearly all of it.
        for block in (0..archive.len() / 512).map(|index| index * 512) {
            let header: &mut [u8] = &mut archive[block..block + 512];
            if header.iter().all(|byte| *byte == 0) || header.starts_with(b"content") {
                continue;
            }
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        drop(ground.unpack(&archive));
        proptest::prop_assert_eq!(fs::read_to_string(ground.directory.path().join("secret")).unwrap(), SECRET);
        proptest::prop_assert_eq!(fs::read_dir(ground.directory.path().join("outside")).unwrap().count(), 0);
        proptest::prop_assert!(fs::read_dir(ground.directory.path()).unwrap().count() <= 3);
    }
}

#[test]
fn a_directory_is_never_readable_by_chance() {
    let ground = Ground::new();
    ground.unpack(&Tar::new().file("a/b", "c").done()).unwrap();
    assert_eq!(fs::metadata(ground.file("a")).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(Path::new(&ground.file("a/b")).exists());
}
