//! zip archives.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::error::FetchError;
use crate::meter::Meter;
use crate::place::Place;

/// A symbolic link's target is no longer than a path may be.
const MOST_LINK_BYTES: u64 = 4096;

pub(super) fn unpack(file: &File, place: &Place, meter: &mut Meter) -> Result<(), FetchError> {
    let damaged = |error: zip::result::ZipError| FetchError::Archive(error.to_string());
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    for index in 0..archive.len() {
        meter.add_entry()?;
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name().to_owned();
        let path = Path::new(&name);
        if entry.is_dir() {
            place.directory(path)?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            let read = (&mut entry).take(MOST_LINK_BYTES).read_to_string(&mut target);
            read.map_err(|error| FetchError::Archive(format!("{name}: {error}")))?;
            place.symlink(path, Path::new(&target))?;
        } else {
            let mode = entry.unix_mode().unwrap_or(0o644) & 0o777;
            let mut to = place.file(path, mode | 0o600)?;
            meter.copy(&mut entry, &mut to, |_| {})?;
        }
    }
    Ok(())
}
