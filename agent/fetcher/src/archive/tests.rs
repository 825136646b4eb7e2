//! Archives that are as they should be, and archives that are made to do harm.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

use super::*;
use crate::order::Limits;

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 100, stall_seconds: 1, seconds: 60 };

/// Kind, name, target and data of an entry.
type Raw<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

/// A sandbox with a file beside it that nobody may touch.
struct Ground {
    around: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        fs::create_dir(around.path().join("sandbox")).unwrap();
        fs::write(around.path().join("secret"), "untouched").unwrap();
        Self { around }
    }

    fn sandbox(&self) -> PathBuf {
        self.around.path().join("sandbox")
    }

    fn unpack(&self, name: &str, bytes: &[u8]) -> Result<(), FetchError> {
        let archive = self.around.path().join(name);
        fs::write(&archive, bytes).unwrap();
        let (kind, stem) = kind_of(name).unwrap();
        let place = Place::new(File::open(self.sandbox()).unwrap());
        let unpacked = unpack(&File::open(&archive).unwrap(), kind, stem, &place, &mut Meter::new(LIMITS));
        fs::remove_file(archive).unwrap();
        assert_eq!(fs::read_to_string(self.around.path().join("secret")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(self.around.path()).unwrap().count(), 2, "something is outside");
        unpacked
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.sandbox().join(name)).unwrap()
    }
}

/// An entry, with a name that the library would not write.
fn entry(archive: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, link: &str, data: &[u8]) {
    let mut header = Header::new_gnu();
    let raw = header.as_gnu_mut().unwrap();
    raw.name[..name.len()].copy_from_slice(name.as_bytes());
    raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    header.set_size(data.len() as u64);
    header.set_cksum();
    archive.append(&header, data).unwrap();
}

fn bundle(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (kind, name, link, data) in entries {
        entry(&mut archive, *kind, name, link, data);
    }
    archive.into_inner().unwrap()
}

fn good() -> Vec<u8> {
    bundle(&[
        (EntryType::Directory, "d/", "", b""),
        (EntryType::Regular, "d/program", "", b"#!"),
        (EntryType::Symlink, "link", "d/program", b""),
        (EntryType::Link, "same", "d/program", b""),
    ])
}

fn zipped(entries: &[(&str, &[u8])], link: Option<(&str, &str)>) -> Vec<u8> {
    let mut archive = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = ::zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    for (name, data) in entries {
        archive.start_file(*name, options).unwrap();
        archive.write_all(data).unwrap();
    }
    if let Some((name, target)) = link {
        archive.add_symlink(name, target, options).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As made by `printf hello | xz`.
const XZ: [u8; 64] = [
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16,
    0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x04, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00,
    0x00, 0x00, 0xb1, 0x37, 0xb9, 0xdb, 0xe5, 0xda, 0x1e, 0x9b, 0x00, 0x01, 0x1d, 0x05, 0xb8, 0x2d, 0x80,
    0xaf, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
];

#[test]
fn names_tell_what_a_file_is() {
    for (name, kind, stem) in [
        ("a.tar.gz", Kind::Tar(Compression::Gzip), "a"),
        ("a.b.tzst", Kind::Tar(Compression::Zstd), "a.b"),
        ("x/a.gz", Kind::Compressed(Compression::Gzip), "x/a"),
        ("a.zip", Kind::Zip, "a"),
    ] {
        assert_eq!(kind_of(name), Some((kind, stem)), "{name}");
    }
    for plain in ["a", "tar", ".gz", "a.gz.txt", "x/.zip", "a.jar"] {
        assert_eq!(kind_of(plain), None, "{plain}");
    }
}

#[test]
fn all_kinds_are_unpacked() {
    let tar = good();
    for (name, bytes) in [
        ("a.tar", tar.clone()),
        ("a.tgz", gzip(&tar)),
        ("a.tar.bz2", bzip2(&tar)),
        ("a.tar.zst", zstd::encode_all(&tar[..], 1).unwrap()),
        ("a.zip", zipped(&[("d/program", b"#!"), ("same", b"#!")], Some(("link", "d/program")))),
    ] {
        let ground = Ground::new();
        ground.unpack(name, &bytes).unwrap();
        for file in ["d/program", "link", "same"] {
            assert_eq!(ground.read(file), "#!", "{name}: {file}");
        }
        let mode =
            std::os::unix::fs::MetadataExt::mode(&fs::metadata(ground.sandbox().join("d/program")).unwrap());
        assert_eq!(mode & 0o7777, 0o755, "{name}: nothing is set-uid");
    }
    let ground = Ground::new();
    ground.unpack("hello.xz", &XZ).unwrap();
    ground.unpack("again.gz", &gzip(b"hello")).unwrap();
    assert_eq!((ground.read("hello").as_str(), ground.read("again").as_str()), ("hello", "hello"));
}

#[test]
fn nothing_leaves_the_sandbox() {
    use EntryType as E;
    let cases: [&[Raw<'_>]; 9] = [
        &[(E::Regular, "/tmp/chapada-escape", "", b"x")],
        &[(E::Regular, "../secret", "", b"x")],
        &[(E::Regular, "a/../../secret", "", b"x")],
        &[(E::Symlink, "l", "/etc", b""), (E::Regular, "l/x", "", b"x")],
        &[(E::Symlink, "l", "..", b""), (E::Regular, "l/secret", "", b"x")],
        &[(E::Link, "h", "../secret", b""), (E::Regular, "h", "", b"x")],
        &[(E::Link, "h", "/etc/passwd", b"")],
        &[(E::Directory, "d", "", b""), (E::Symlink, "d/l", "../../secret", b"")],
        &[(E::Symlink, "d", ".", b""), (E::Symlink, "d/l", "..", b"")],
    ];
    for case in cases {
        let ground = Ground::new();
        assert!(ground.unpack("a.tar", &bundle(case)).is_err(), "{case:?}");
    }
    for name in ["/tmp/chapada-escape", "../secret", "a/../../secret"] {
        assert!(Ground::new().unpack("a.zip", &zipped(&[(name, b"x")], None)).is_err(), "{name}");
    }
    assert!(Ground::new().unpack("a.zip", &zipped(&[], Some(("l", "/etc")))).is_err());
}

#[test]
fn a_link_that_is_written_through_is_replaced() {
    let ground = Ground::new();
    std::os::unix::fs::symlink("../secret", ground.sandbox().join("file")).unwrap();
    ground.unpack("a.tar", &bundle(&[(EntryType::Regular, "file", "", b"new")])).unwrap();
    assert_eq!(ground.read("file"), "new");
}

#[test]
fn devices_and_pipes_are_not_made() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        assert!(Ground::new().unpack("a.tar", &bundle(&[(kind, "x", "", b"")])).is_err(), "{kind:?}");
    }
}

#[test]
fn bombs_end_when_it_is_too_much() {
    let zeros = vec![0; 8 << 20];
    let tar = bundle(&[(EntryType::Regular, "x", "", &zeros)]);
    let many: Vec<(EntryType, String)> = (0..101).map(|n| (EntryType::Regular, format!("f{n}"))).collect();
    let many: Vec<_> = many.iter().map(|(kind, name)| (*kind, name.as_str(), "", &b""[..])).collect();
    for (name, bytes) in [
        ("a.tgz", gzip(&tar)),
        ("a.gz", gzip(&zeros)),
        ("a.zst", zstd::encode_all(&zeros[..], 1).unwrap()),
        ("a.zip", zipped(&[("x", &zeros)], None)),
        ("a.tar", bundle(&many)),
    ] {
        let error = Ground::new().unpack(name, &bytes).unwrap_err();
        assert!(matches!(error, FetchError::TooMuch(_)), "{name}: {error}");
    }
}

#[test]
fn damage_is_told_and_is_no_panic() {
    let whole = gzip(&good());
    for length in [0, 1, 10, whole.len() / 2] {
        let ground = Ground::new();
        // An empty file is an empty archive to some.
        let _ = ground.unpack("a.tgz", &whole[..length]);
        let _ = ground.unpack("a.zip", &whole[..length]);
        let _ = ground.unpack("a.xz", &whole[..length]);
    }
    assert!(Ground::new().unpack("a.zip", b"no zip").is_err());
    assert!(Ground::new().unpack("a.xz", b"no xz").is_err());
}
