//! chapada-system-tests
#![forbid(unsafe_code)]
