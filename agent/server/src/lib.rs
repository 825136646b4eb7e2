//! chapada-agent
#![forbid(unsafe_code)]
