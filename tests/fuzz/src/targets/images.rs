//! What registries and servers send to agents: documents of images, layers, archives. Whatever they are, nothing is made outside
//! the directory that they are for.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use chapada_fetcher::Limits;
use chapada_images::{Digest, Reference, edge};
use tar::{EntryType, Header};

use crate::corpus::listed;

const MAX_BYTES: u64 = 1 << 20;
const MAX_ENTRIES: u64 = 200;
/// Names that servers give to archives.
const ARCHIVES: [&str; 8] = ["a.tar", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.tar.zst", "a.zip", "a.gz", "a.xz"];
const BLOCK: usize = 512;

/// A directory to unpack to, and beside it what must stay as it is.
struct Ground {
    around: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let around = tempfile::Builder::new().prefix("chapada-fuzz-").tempdir_in(place).expect("a directory");
        fs::create_dir(around.path().join("in")).expect("a directory");
        fs::create_dir(around.path().join("beside")).expect("a directory");
        fs::write(around.path().join("beside/secret"), "secret").expect("a file");
        symlink("../beside", around.path().join("in/way-out")).expect("a link");
        Self { around }
    }

    fn inside(&self) -> PathBuf {
        self.around.path().join("in")
    }

    /// Nothing has come out, by any way.
    fn check(&self) {
        let names = |path: &Path| {
            let entries = fs::read_dir(path).expect("a directory").flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.around.path()), ["beside", "in"]);
        assert_eq!(names(&self.around.path().join("beside")), ["secret"]);
        let secret = self.around.path().join("beside/secret");
        assert_eq!(fs::read(&secret).expect("it is there"), b"secret");
        let metadata = fs::symlink_metadata(&secret).expect("it is there");
        assert_eq!((metadata.nlink(), metadata.mode() & 0o7777), (1, 0o644), "no other name, no other mode");
        assert!(!Path::new(FAR).exists(), "an absolute name was followed");
    }
}

/// An absolute name of nothing.
const FAR: &str = "/var/tmp/chapada-fuzz-far";

/// The same archive with right checksums in its headers: one that is changed would be refused at the first.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        let mut header = Header::from_byte_slice(block).clone();
        let size = header.entry_size().unwrap_or(0);
        header.set_cksum();
        bytes[at..at + BLOCK].copy_from_slice(header.as_bytes());
        let blocks = usize::try_from(size.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX / BLOCK - 1);
        at = at.saturating_add(BLOCK).saturating_add(blocks.saturating_mul(BLOCK));
    }
    bytes
}

/// A layer: the first byte says how deletions are kept, the rest is the archive.
pub(super) fn layer(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let ground = Ground::new();
    let archive = summed(rest.to_vec());
    // Deletions of overlayfs are devices, which only root makes; being refused is an answer, too.
    drop(edge::layer(&archive, &ground.inside(), first % 2 == 0, MAX_BYTES, MAX_ENTRIES));
    ground.check();
}

/// An archive that a task wants unpacked: the first byte says what it is called.
pub(super) fn fetched_archive(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let name = ARCHIVES[usize::from(*first) % ARCHIVES.len()];
    let archive = if name == "a.tar" { summed(rest.to_vec()) } else { rest.to_vec() };
    let ground = Ground::new();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&archive).expect("it is written");
    file.rewind().expect("it is read from the beginning");
    let directory = File::open(ground.inside()).expect("the directory");
    let limits = Limits { bytes: MAX_BYTES, entries: MAX_ENTRIES, stall_seconds: 1, seconds: 1 };
    drop(chapada_fetcher::edge::unpack(name, &file, directory, limits));
    ground.check();
}

/// Manifests, lists of them, configurations, layouts, credentials; and names, which read the same when they are written.
pub(super) fn image_documents(bytes: &[u8]) {
    drop(edge::manifest(bytes));
    drop(edge::configuration(bytes));
    edge::is_index_or_credentials(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Ok(reference) = text.parse::<Reference>() {
        let written = reference.to_string();
        let again = written.parse::<Reference>().expect("what was written is read");
        assert_eq!((again.to_string(), again.target()), (written, reference.target()));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }
}

pub(super) fn image_documents_seeds() -> Vec<Vec<u8>> {
    listed("images.jsonl").into_iter().map(String::into_bytes).collect()
}

/// One entry: name, kind, content or target.
type Entry<'a> = (&'a str, EntryType, &'a [u8]);

/// An archive of these, as they are given: libraries refuse to write some of these names.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_ustar();
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        let content = if is_link { &b""[..] } else { content };
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, content).expect("it is kept in memory");
    }
    archive.into_inner().expect("it is kept in memory")
}

/// What those try who want out.
fn attempts() -> Vec<Vec<u8>> {
    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink, XHeader};
    let attribute = b"30 SCHILY.xattr.user.a=b\x00c\xff12\n";
    let opaque = b"40 SCHILY.xattr.trusted.overlay.opaque=y\n";
    let path = b"26 path=../beside/secret\x00\n";
    let far = FAR.as_bytes();
    let tries: &[&[Entry<'_>]] = &[
        &[("dir/", Directory, b""), ("dir/file", Regular, b"content"), ("link", Symlink, b"dir/file")],
        &[("../beside/secret", Regular, b"evil")],
        &[(FAR, Regular, b"evil"), ("ok", Regular, b"x")],
        &[("way-out/secret", Regular, b"evil"), ("way-out/new", Regular, b"evil")],
        &[("up", Symlink, b".."), ("up/beside/secret", Regular, b"evil")],
        &[("up", Symlink, far), ("up", Regular, b"evil")],
        &[("a", Symlink, b"b"), ("b", Symlink, b"../beside"), ("a/secret", Regular, b"evil")],
        &[("hard", Link, b"../beside/secret"), ("hard", Regular, b"evil")],
        &[("hard", Link, b"way-out/secret")],
        &[("file", Regular, b"x"), ("hard", Link, b"file"), ("file", Symlink, b"../beside/secret")],
        &[("dir/file", Regular, b"x"), (".wh.dir", Regular, b""), ("dir/.wh..wh..opq", Regular, b"")],
        &[(".wh...", Regular, b""), (".wh.", Regular, b""), ("x/.wh...", Regular, b"")],
        &[("way-out/.wh.secret", Regular, b""), ("way-out/.wh..wh..opq", Regular, b"")],
        &[("null", Char, b""), ("disk", Block, b""), ("pipe", Fifo, b""), ("dev/null", Char, b"")],
        &[("x", XHeader, attribute), ("with-attribute", Regular, b"x")],
        &[("x", XHeader, opaque), ("hides/", Directory, b"")],
        &[("x", XHeader, path), ("named", Regular, b"evil")],
        &[("dir", Regular, b"x"), ("dir/file", Regular, b"x"), ("dir/", Directory, b"")],
        &[("./a/./b//c", Regular, b"x"), ("a/../../beside/new", Regular, b"evil"), ("..", Directory, b"")],
    ];
    tries.iter().map(|entries| archive(entries)).collect()
}

pub(super) fn layer_seeds() -> Vec<Vec<u8>> {
    let each = |first: u8| attempts().into_iter().map(move |archive| [&[first][..], &archive].concat());
    each(0).chain(each(1)).collect()
}

pub(super) fn fetched_archive_seeds() -> Vec<Vec<u8>> {
    let plain = attempts().into_iter().map(|archive| [&[0][..], &archive].concat());
    let packed = archive(&[("dir/file", EntryType::Regular, b"content")]);
    let zstd = zstd::encode_all(&packed[..], 1).expect("it is packed in memory");
    plain.chain([[&[4][..], &zstd].concat(), [&[5][..], &zipped()].concat()]).collect()
}

/// A zip of a file, a link and names that lead out.
fn zipped() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for name in ["dir/file", "../beside/secret", FAR, "way-out/secret"] {
        writer.start_file(name, options).expect("it is written in memory");
        writer.write_all(b"evil").expect("it is written in memory");
    }
    writer.add_symlink("up", "../beside", options).expect("it is written in memory");
    writer.start_file("up/secret", options).expect("it is written in memory");
    writer.finish().expect("it is written in memory").into_inner()
}
