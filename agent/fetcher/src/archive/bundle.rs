//! tar archives.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Archive, Entry, EntryType};

use crate::error::FetchError;
use crate::meter::Meter;
use crate::place::Place;

pub(super) fn unpack(from: impl Read, place: &Place, meter: &mut Meter) -> Result<(), FetchError> {
    let damaged = |error: std::io::Error| FetchError::Archive(error.to_string());
    let mut archive = Archive::new(from);
    for entry in archive.entries().map_err(damaged)? {
        meter.add_entry()?;
        unpack_entry(entry.map_err(damaged)?, place, meter)?;
    }
    Ok(())
}

fn unpack_entry(mut entry: Entry<'_, impl Read>, place: &Place, meter: &mut Meter) -> Result<(), FetchError> {
    let path = entry.path_bytes().into_owned();
    let path = Path::new(OsStr::from_bytes(&path));
    let link = entry.link_name_bytes().map(|name| name.into_owned());
    let target = || match &link {
        Some(name) => Ok(Path::new(OsStr::from_bytes(name))),
        None => Err(FetchError::Archive(format!("{} is a link to nothing", path.display()))),
    };
    match entry.header().entry_type() {
        EntryType::Directory => place.directory(path).map(drop),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
            let mut file = place.file(path, mode | 0o600)?;
            meter.copy(&mut entry, &mut file, |_| {})
        }
        EntryType::Symlink => place.symlink(path, target()?),
        EntryType::Link => place.hard_link(path, target()?),
        EntryType::XGlobalHeader => Ok(()),
        other => Err(FetchError::Archive(format!(
            "{} is neither file, directory nor link ({other:?})",
            path.display()
        ))),
    }
}
