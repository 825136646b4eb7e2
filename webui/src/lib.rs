//! The web UI as bytes: what the master serves at `/` and `/assets/…`. Knows nothing of HTTP servers; start at [`asset`].
#![forbid(unsafe_code)]

mod content_type;
mod files;
mod policy;

pub use files::{Asset, asset, index, is_built};
pub use policy::CONTENT_SECURITY_POLICY;
