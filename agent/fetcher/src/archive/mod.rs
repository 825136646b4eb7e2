//! Archives and compressed files, told apart by their names as Mesos does.

mod bundle;
mod compression;
mod zip;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::error::FetchError;
use crate::meter::Meter;
use crate::place::Place;
use compression::Compression;

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tar(Compression),
    Zip,
    /// One file.
    Compressed(Compression),
}

/// Ends of names, the longer before the shorter.
const ENDS: [(&str, Kind); 14] = [
    (".tar", Kind::Tar(Compression::None)),
    (".tar.gz", Kind::Tar(Compression::Gzip)),
    (".tgz", Kind::Tar(Compression::Gzip)),
    (".tar.bz2", Kind::Tar(Compression::Bzip2)),
    (".tbz2", Kind::Tar(Compression::Bzip2)),
    (".tar.xz", Kind::Tar(Compression::Xz)),
    (".txz", Kind::Tar(Compression::Xz)),
    (".tar.zst", Kind::Tar(Compression::Zstd)),
    (".tzst", Kind::Tar(Compression::Zstd)),
    (".zip", Kind::Zip),
    (".gz", Kind::Compressed(Compression::Gzip)),
    (".bz2", Kind::Compressed(Compression::Bzip2)),
    (".xz", Kind::Compressed(Compression::Xz)),
    (".zst", Kind::Compressed(Compression::Zstd)),
];

/// What a file of this name is, and its name without the end; `None` for a plain file.
pub(crate) fn kind_of(name: &str) -> Option<(Kind, &str)> {
    ENDS.iter().find_map(|(end, kind)| {
        let stem = name.strip_suffix(end)?;
        (!stem.is_empty() && !stem.ends_with('/')).then_some((*kind, stem))
    })
}

/// Unpacks a file into a place: an archive right in it, one file under its name without the end.
pub(crate) fn unpack(
    file: &File,
    kind: Kind,
    stem: &str,
    place: &Place,
    meter: &mut Meter,
) -> Result<(), FetchError> {
    match kind {
        Kind::Tar(compression) => bundle::unpack(compression.reader(BufReader::new(file))?, place, meter),
        Kind::Zip => zip::unpack(file, place, meter),
        Kind::Compressed(compression) => {
            meter.add_entry()?;
            let mut reader = compression.reader(BufReader::new(file))?;
            let mut to = place.file(Path::new(stem), 0o644)?;
            meter.copy(&mut reader, &mut to, |_| {})
        }
    }
}

#[cfg(test)]
mod tests;
