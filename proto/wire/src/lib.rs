//! chapada-wire
#![forbid(unsafe_code)]
