//! chapada-sdk
#![forbid(unsafe_code)]
