//! chapada-allocator
#![forbid(unsafe_code)]
