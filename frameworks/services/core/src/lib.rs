//! chapada-services-core
#![forbid(unsafe_code)]
