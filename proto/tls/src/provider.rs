//! The cryptography that is spoken: that of aws-lc, of which TLS 1.2 and 1.3 with forward secrecy.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

/// Named here, for what a process has by default depends on all that is linked into it. Post-quantum exchanges are left out: they
/// make each of ten thousand handshakes longer and dearer.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        Arc::new(CryptoProvider { kx_groups, ..default_provider() })
    });
    PROVIDER.clone()
}
