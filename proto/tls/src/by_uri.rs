//! A [`Dialer`] as hyper's and tonic's clients want it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::dialer::{Dialer, HTTP1, HTTP2};
use crate::reason::Farewell;
use crate::stream::Dialled;

type Opening = Pin<Box<dyn Future<Output = io::Result<TokioIo<Dialled>>> + Send>>;

/// Connects to the host of an address for HTTP/1.1: under TLS when it is an `https` one, otherwise plain.
#[derive(Clone, Debug)]
pub struct ByUri {
    dialer: Dialer,
    connector: HttpConnector,
    farewell: Farewell,
}

impl ByUri {
    pub(crate) fn new(dialer: Dialer, within: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(within));
        Self { dialer, connector, farewell: Farewell::default() }
    }

    /// Why a connection ended that it gives.
    pub fn farewell(&self) -> Farewell {
        self.farewell.clone()
    }

    /// With so much time for a connection to be there, before any handshake.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.connector.set_connect_timeout(Some(limit));
        self
    }
}

impl Service<Uri> for ByUri {
    type Response = TokioIo<Dialled>;
    type Error = io::Error;
    type Future = Opening;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.connector.poll_ready(cx).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Opening {
        let (dialer, farewell) = (self.dialer.clone(), self.farewell.clone());
        let connecting = self.connector.call(uri.clone());
        Box::pin(async move {
            let stream = connecting.await.map_err(io::Error::other)?.into_inner();
            if uri.scheme() != Some(&http::uri::Scheme::HTTPS) {
                return Ok(TokioIo::new(Dialled::Plain(stream)));
            }
            let secured = dialer.secure(stream, &[uri.host().unwrap_or_default()], HTTP1, farewell).await;
            secured.map(TokioIo::new)
        })
    }
}

/// Connects to one address for HTTP/2, whatever is asked for, as its [`Dialer`] does.
#[derive(Clone, Debug)]
pub struct Towards {
    dialer: Dialer,
    at: SocketAddr,
    names: Arc<[String]>,
    farewell: Farewell,
}

impl Towards {
    pub(crate) fn new(dialer: Dialer, at: SocketAddr, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { dialer, at, names, farewell: Farewell::default() }
    }

    /// Why a connection ended that it gives.
    pub fn farewell(&self) -> Farewell {
        self.farewell.clone()
    }
}

impl Service<Uri> for Towards {
    type Response = TokioIo<Dialled>;
    type Error = io::Error;
    type Future = Opening;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Opening {
        let Self { dialer, at, names, farewell } = self.clone();
        Box::pin(async move {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            dialer.connect_for(at, &names, HTTP2, farewell).await.map(TokioIo::new)
        })
    }
}
