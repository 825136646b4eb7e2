//! Who comes in at all, before any rule about what they may do.

use crate::credentials::Credentials;

/// What a listener asks of callers beyond where they come from. The default asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Whoever calls needs one of these.
    pub credentials: Option<Credentials>,
    /// Pages of these origins may read (GET, HEAD, OPTIONS), beside our own; `*` for all.
    pub origins: Vec<String>,
}
