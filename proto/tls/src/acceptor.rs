//! The handshakes of those who call.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{TlsConfig, TlsFiles};
use crate::dialer::{HTTP1, HTTP2};
use crate::error::TlsError;
use crate::files;
use crate::places::{Place, Places};
use crate::provider::provider;
use crate::reason::explained;
use crate::reread::{LOOK_EVERY, Reread};

/// Handshakes at once. Each may take some 32 KiB; a processor does this many in well under a second.
const HANDSHAKES: usize = 256;
/// How long a caller waits for a place among them.
const PLACE_WITHIN: Duration = Duration::from_secs(30);
/// How long a handshake may take,
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// and how long at least: beyond it, it goes when all places are taken, or all of its address, so that slow ones make room.
const AT_LEAST: Duration = Duration::from_secs(3);
/// How often a slow one is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes that wait to be written on a connection: one record.
const UNWRITTEN: usize = 16 * 1024;
/// How long whoever was refused may take to read why,
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// and how much of what they say meanwhile is read away. Closing a connection with bytes unread would lose what was written.
const READ_AWAY: u64 = 64 * 1024;

/// A connection under TLS.
pub type Secured<S> = Box<TlsStream<S>>;

/// Takes handshakes, with the certificate that the files have now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Reread<ServerConfig>,
    places: Places,
    also_plain: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// What the handshake ended with, in a sentence.
    #[error("{0}")]
    Failed(io::Error),
    /// They said too little.
    #[error("the TLS handshake was not over within {} s", .0.as_secs())]
    Slow(Duration),
    /// Too many others were before them.
    #[error("no turn for the TLS handshake within {} s", PLACE_WITHIN.as_secs())]
    Busy,
}

impl Acceptor {
    /// What a port with `config` takes handshakes with; nothing when it speaks no TLS.
    ///
    /// # Errors
    /// [`TlsError`]: flags or files that do not go together.
    pub fn new(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        Self::looking_every(config, LOOK_EVERY, HANDSHAKES)
    }

    pub(crate) fn looking_every(
        config: &TlsConfig,
        every: Duration,
        places: usize,
    ) -> Result<Option<Self>, TlsError> {
        config.check()?;
        if !config.serves() {
            return Ok(None);
        }
        let require = config.tls_require_client_cert;
        let make = move |files: &TlsFiles| server(files, require);
        let inner = Inner {
            config: Reread::new(config.files(), every, Box::new(make))?,
            places: Places::new(places),
            also_plain: config.tls_also_plain,
        };
        Ok(Some(Self(Arc::new(inner))))
    }

    /// Whether plain callers are to be served, too.
    pub fn takes_plain(&self) -> bool {
        self.0.also_plain
    }

    /// Waits for a place, then speaks TLS on a connection from this address. Nothing is read of it while it waits.
    ///
    /// # Errors
    /// [`HandshakeError`]. After a failed handshake the caller was told why; who was late is only hung up on.
    pub async fn accept<S>(&self, stream: S, from: IpAddr) -> Result<Secured<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let place = timeout(PLACE_WITHIN, self.0.places.take(from)).await;
        let Ok(Some(place)) = place else { return Err(HandshakeError::Busy) };
        let config = self.0.config.now();
        let made = TlsAcceptor::from(config).accept_with(stream, |connection| {
            connection.set_buffer_limit(Some(UNWRITTEN));
        });
        let mut handshake = Box::pin(made.into_fallible());
        let mut took = AT_LEAST;
        let mut done = timeout(AT_LEAST, handshake.as_mut()).await;
        while done.is_err() {
            if took >= HANDSHAKE_WITHIN || place.is_wanted() {
                return Err(HandshakeError::Slow(took));
            }
            took += LOOK;
            done = timeout(LOOK, handshake.as_mut()).await;
        }
        match done {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err((error, stream))) => {
                refuse(stream, place).await;
                Err(HandshakeError::Failed(explained(error)))
            }
            Err(_) => Err(HandshakeError::Slow(took)),
        }
    }
}

/// Lets them read why, which is written already. Others may have the place meanwhile.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, place: Place<'_>) {
    drop(place);
    let reading = async {
        stream.shutdown().await?;
        let mut rest = stream.take(READ_AWAY);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whether they read it is theirs.
    drop(timeout(REFUSED_WITHIN, reading).await);
}

fn server(named: &TlsFiles, require: bool) -> Result<ServerConfig, TlsError> {
    let missing = |given, missing| TlsError::Together { given, missing };
    let identity = files::identity(named)?.ok_or_else(|| missing("--tls-key", "--tls-cert"))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Protocol)?;
    let nobody = || missing("--tls-require-client-cert", "--tls-ca");
    let builder = if require {
        let roots = files::authorities(named)?.ok_or_else(nobody)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        builder.with_client_cert_verifier(verifier.map_err(|_| nobody())?)
    } else {
        builder.with_no_client_auth()
    };
    let mut made = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    made.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    // Links stand for months: to take one up again sooner is not worth what would be kept for each.
    made.session_storage = Arc::new(NoServerSessionStorage {});
    made.send_tls13_tickets = 0;
    Ok(made)
}

#[cfg(test)]
mod tests;
