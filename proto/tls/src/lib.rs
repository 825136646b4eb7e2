//! TLS between the processes of a cluster: what a port speaks ([`Acceptor`]) and what dials ([`Dialer`]).
//!
//! Both are made of one [`TlsConfig`], the flags that every daemon has. Start reading there.
#![forbid(unsafe_code)]

mod acceptor;
mod by_uri;
mod config;
mod dialer;
mod error;
mod files;
mod names;
mod places;
mod provider;
mod reason;
mod reread;
mod stream;

pub use acceptor::{Acceptor, HandshakeError, Secured};
pub use by_uri::{ByUri, Towards};
pub use config::{TlsConfig, TlsFiles};
pub use dialer::Dialer;
pub use error::TlsError;
pub use reason::Farewell;
pub use stream::Dialled;

/// What any record of a handshake begins with, and no HTTP request.
pub const HANDSHAKE_BYTE: u8 = 0x16;
