//! chapada-agent-core
#![forbid(unsafe_code)]
