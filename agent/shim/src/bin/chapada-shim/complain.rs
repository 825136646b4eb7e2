//! What goes wrong beside a container, for whoever reads `shim.log`.

use std::fmt::Arguments;
use std::io::{self, Write};

/// Says it on standard error. That may be on a disk that is full: then nobody hears of it, and the work goes on.
pub(crate) fn complain(about: Arguments<'_>) {
    let _nobody_hears = writeln!(io::stderr(), "chapada-shim: {about}");
}
