//! Why certificates cannot be used.

use std::io;
use std::path::PathBuf;

/// Why the configuration of TLS is not one. Each message names the flag, the file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One flag needs another.
    #[error("{given} needs {missing}: give both, or neither")]
    Together {
        /// The flag that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// Nobody would need the certificate that is required.
    #[error(
        "--tls-require-client-cert and --tls-also-plain contradict each other: plain callers show no certificate; leave out one"
    )]
    Contradiction,
    /// The file cannot be read.
    #[error("cannot read {flag} {}: {source}; name a file that this process may read", path.display())]
    Read {
        /// Which flag names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Others may read the private key.
    #[error("{flag} {} may be read by others (mode {mode:o}): run `chmod 600 {}`, and have a new key made if others had access", path.display(), path.display())]
    Open {
        /// Which flag names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Something else than what is expected.
    #[error("{flag} {} holds no {wanted}{hint}: it must be PEM, with a line `-----BEGIN {label}-----`", path.display())]
    Lacks {
        /// Which flag names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What it must hold.
        wanted: &'static str,
        /// How that begins.
        label: &'static str,
        /// What is known of what it holds instead.
        hint: &'static str,
    },
    /// PEM or a certificate that is broken.
    #[error("{flag} {} is damaged: {why}; have it written again", path.display())]
    Damaged {
        /// Which flag names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The key is another one's.
    #[error("the key in --tls-key {} does not belong to the certificate in --tls-cert {}: give the key with which it was requested", key.display(), cert.display())]
    Mismatch {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// What this program was built with.
    #[error("no version of TLS can be spoken: {0}")]
    Protocol(rustls::Error),
}
