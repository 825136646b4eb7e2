//! chapada-services
#![forbid(unsafe_code)]
