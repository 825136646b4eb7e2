//! Why a daemon cannot listen.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why a port could not be opened. Each message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Listening off loopback needs credentials, certificates or an explicit word.
    #[error(
        "refusing to listen on {0} without credentials: listen on a loopback address (--ip 127.0.0.1), take only callers \
         with a certificate (--tls-cert, --tls-key, --tls-ca and --tls-require-client-cert), or pass --insecure to let \
         everyone who reaches the port command this daemon"
    )]
    Insecure(IpAddr),
    /// Certificates that cannot be used.
    #[error(transparent)]
    Tls(#[from] chapada_tls::TlsError),
    /// Something else has the port.
    #[error("{0} is already in use: stop what listens there or choose another --port")]
    InUse(SocketAddr),
    /// Ports below 1024 need privileges.
    #[error("not permitted to listen on {0}: run as root or choose a --port of 1024 or more")]
    NotPermitted(SocketAddr),
    /// The address is not one of this machine's.
    #[error("{0} is not an address of this machine: give one of its addresses to --ip, or 0.0.0.0 for all")]
    NotOurs(IpAddr),
    /// Any other refusal of the kernel.
    #[error("failed to listen on {at}")]
    Bind {
        /// What was asked for.
        at: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl ListenError {
    pub(crate) fn from_bind(at: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(at),
            io::ErrorKind::PermissionDenied => Self::NotPermitted(at),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs(at.ip()),
            _ => Self::Bind { at, source },
        }
    }
}
