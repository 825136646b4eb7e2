//! chapada-coordination
#![forbid(unsafe_code)]
