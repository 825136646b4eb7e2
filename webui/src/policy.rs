//! What a browser may do with the pages of this UI.

/// Value of the `Content-Security-Policy` header to send with every file of this crate: scripts, styles and
/// connections from the master alone, nothing inline, no framing by other pages.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
