//! chapada-listener
#![forbid(unsafe_code)]
