//! chapada-sdk-core
#![forbid(unsafe_code)]
