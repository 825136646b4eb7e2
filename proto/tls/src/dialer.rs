//! Dialling the others of the cluster.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::by_uri::{ByUri, Towards};
use crate::config::{TlsConfig, TlsFiles};
use crate::error::TlsError;
use crate::files;
use crate::names::{AnyOf, server_names};
use crate::provider::provider;
use crate::reason::{Farewell, explained};
use crate::reread::{LOOK_EVERY, Reread};
use crate::stream::Dialled;

/// How long a connection may take to be there.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the handshake may take: a server that all agents of a cluster dial at once lets them wait their turn.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(30);

/// Which protocol is spoken on a connection that was dialled.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
pub(crate) const HTTP2: &[u8] = b"h2";

/// Opens connections to others of the cluster: plain ones, or under TLS where authorities are named. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Dialer(Option<Arc<Reread<Keys>>>);

/// What one dials with.
struct Keys {
    config: ClientConfig,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Dialer {
    /// Without TLS.
    pub fn plain() -> Self {
        Self::default()
    }

    /// For a program that only dials: under TLS when authorities are named (`--tls-ca`), showing the certificate if there is one.
    ///
    /// # Errors
    /// [`TlsError`]: flags or files that do not go together.
    pub fn with(files: &TlsFiles) -> Result<Self, TlsError> {
        files.check()?;
        Self::with_checked(files.clone())
    }

    /// The same for a daemon, which may have a certificate only to listen with.
    ///
    /// # Errors
    /// As [`Dialer::with`].
    pub fn of_daemon(config: &TlsConfig) -> Result<Self, TlsError> {
        config.check()?;
        Self::with_checked(config.files())
    }

    fn with_checked(files: TlsFiles) -> Result<Self, TlsError> {
        if files.tls_ca.is_none() {
            return Ok(Self::plain());
        }
        Ok(Self(Some(Arc::new(Reread::new(files, LOOK_EVERY, Box::new(keys))?))))
    }

    /// Whether it dials under TLS.
    pub fn is_tls(&self) -> bool {
        self.0.is_some()
    }

    /// What the addresses of those whom it dials begin with: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// Connects to `at` for HTTP/1.1, where somebody of one of these names must be. The address is one of them only if it is named:
    /// DNS may have given it.
    ///
    /// # Errors
    /// That of the connection, or of the handshake in a sentence.
    pub async fn connect(&self, at: SocketAddr, names: &[&str]) -> io::Result<Dialled> {
        self.connect_for(at, names, HTTP1, Farewell::default()).await
    }

    /// What gives connections for HTTP/2 to `at`, whatever address is asked of it, where somebody of one of these names must be.
    pub fn towards(&self, at: SocketAddr, names: &[&str]) -> Towards {
        Towards::new(self.clone(), at, names)
    }

    /// What gives connections for HTTP/1.1 to the host of an address: under TLS when it is an `https` one, otherwise plain.
    pub fn by_uri(&self) -> ByUri {
        ByUri::new(self.clone(), CONNECT_WITHIN)
    }

    pub(crate) async fn connect_for(
        &self,
        at: SocketAddr,
        names: &[&str],
        speaking: &[u8],
        farewell: Farewell,
    ) -> io::Result<Dialled> {
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect(at)).await;
        let stream = connected.unwrap_or_else(|_| Err(late("took no connection", CONNECT_WITHIN)))?;
        stream.set_nodelay(true)?;
        if !self.is_tls() {
            return Ok(Dialled::Plain(stream));
        }
        self.secure(stream, names, speaking, farewell).await
    }

    /// Has a connection speak TLS.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        names: &[&str],
        speaking: &[u8],
        farewell: Farewell,
    ) -> io::Result<Dialled> {
        let Some(keys) = &self.0 else {
            let why = "it is to be reached under TLS (https), and nothing says whose certificates to believe: give --tls-ca";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        };
        let names = server_names(names);
        let Some(first) = names.first().cloned() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it has no name that a certificate could have",
            ));
        };
        let keys = keys.now();
        let mut config = keys.config.clone();
        config.alpn_protocols = vec![speaking.to_vec()];
        config.dangerous().set_certificate_verifier(Arc::new(AnyOf::new(keys.verifier.clone(), names)));
        let handshake = TlsConnector::from(Arc::new(config)).connect(first, stream);
        match timeout(HANDSHAKE_WITHIN, Box::pin(handshake)).await {
            Ok(Ok(stream)) => Ok(Dialled::Tls(Box::new(stream), farewell)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(io::Error::new(
                error.kind(),
                "the other side hung up in the TLS handshake: it may speak no TLS, or be overloaded",
            )),
            Ok(Err(error)) => Err(explained(error)),
            Err(_) => Err(late("did not finish the TLS handshake", HANDSHAKE_WITHIN)),
        }
    }
}

fn late(what: &str, limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the other side {what} within {} s", limit.as_secs()))
}

fn keys(named: &TlsFiles) -> Result<Keys, TlsError> {
    let nobody = || TlsError::Together { given: "https", missing: "--tls-ca" };
    let roots = files::authorities(named)?.ok_or_else(nobody)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider()).build();
    let verifier = verifier.map_err(|_| nobody())?;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Protocol)?.with_root_certificates(roots);
    let mut made = match files::identity(named)? {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    made.resumption = Resumption::disabled();
    Ok(Keys { config: made, verifier })
}
