//! chapada-master
#![forbid(unsafe_code)]
