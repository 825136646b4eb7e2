//! chapada-model
#![forbid(unsafe_code)]
