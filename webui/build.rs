//! Turns the files of `dist/` into a table of `include_bytes!`, so that debug and release builds carry the same UI.
//! Without `dist/` the table is empty and the crate serves its notice page.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let dist = root.join("dist");
    // A watched path that is missing would rebuild this crate, and all above it, on every call of cargo; an empty
    // folder does not, and its date changes when the UI is built.
    fs::create_dir_all(&dist)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=dist");

    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    files.sort();
    let built = files.iter().any(|file| file == &dist.join("index.html"));
    fs::write(out.join("files.rs"), table(&dist, if built { &files } else { &[] })?)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Sorted by path, which the lookup relies on.
fn table(dist: &Path, files: &[PathBuf]) -> io::Result<String> {
    let mut rows = Vec::new();
    for file in files {
        let inside = file.strip_prefix(dist).expect("found below dist");
        let path =
            inside.to_str().ok_or_else(|| io::Error::other(format!("{inside:?} in dist is not UTF-8")))?;
        rows.push((path.to_owned(), file, fingerprint(&fs::read(file)?)));
    }
    rows.sort();
    let mut source = String::from("pub(crate) static FILES: &[File] = &[\n");
    for (path, file, etag) in rows {
        writeln!(
            source,
            "    File {{ path: {path:?}, bytes: include_bytes!({file:?}), etag: \"\\\"{etag:016x}\\\"\" }},"
        )
        .expect("writing to a string cannot fail");
    }
    source.push_str("];\n");
    Ok(source)
}

/// FNV-1a, 64 bits: tells two builds of one file apart; nothing here needs it to be hard to forge.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
