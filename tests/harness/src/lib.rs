//! chapada-harness
#![forbid(unsafe_code)]
