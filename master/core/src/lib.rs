//! chapada-master-core
#![forbid(unsafe_code)]
