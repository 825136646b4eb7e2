//! What comes from servers, as a plain function of bytes, without a connection or a process of its own. The child uses the same
//! code; fuzzing calls it from here.

use std::fs::File;

use crate::archive;
use crate::error::FetchError;
use crate::meter::Meter;
use crate::order::Limits;
use crate::place::Place;

/// Unpacks a file of this name into a directory. `false`: a file of that name is no archive.
///
/// # Errors
/// Why it is refused; some of it may be there.
pub fn unpack(name: &str, file: &File, directory: File, limits: Limits) -> Result<bool, FetchError> {
    let Some((kind, stem)) = archive::kind_of(name) else { return Ok(false) };
    archive::unpack(file, kind, stem, &Place::new(directory), &mut Meter::new(limits)).map(|()| true)
}
