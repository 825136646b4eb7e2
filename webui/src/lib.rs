//! chapada-webui
#![forbid(unsafe_code)]
