//! A call as a handler sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::authority::{Action, Caller, Decision, Object, Policy, Principal};
use crate::body::{BodyError, RequestBody};
use crate::pattern::Params;
use crate::query::Query;
use crate::reply::{HttpResponse, text};

/// The two ends of a connection. Also put into the extensions of every gRPC request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who called.
    pub remote: SocketAddr,
    /// The address of ours that was called.
    pub local: SocketAddr,
    /// The bytes came through an [`Entrance`](crate::Entrance), from whom another daemon has let in, and not by a socket of these
    /// ends.
    pub is_brought: bool,
}

/// Ends a connection at once, whatever waits to be written on it: for a reader that does not read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HangUp(CancellationToken);

impl HangUp {
    /// Ends the connection. What was written and not read yet is lost. Harmless when it has ended.
    pub fn now(&self) {
        self.0.cancel();
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(crate) async fn asked(&self) {
        self.0.cancelled().await;
    }
}

/// A call that passed the listener's checks.
#[derive(Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path as it came, percent-encoded.
    pub path: String,
    /// The query string as it came, without the question mark; empty if there was none.
    pub raw_query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// Who calls.
    pub principal: Principal,
    /// Both ends of the connection.
    pub peer: Peer,
    /// The body, not read yet.
    pub body: RequestBody,
    /// Cancelled when the daemon stops; an endless answer ends then.
    pub stop: CancellationToken,
    /// Ends the connection that this came on.
    pub hang_up: HangUp,
    pub(crate) params: Params,
    pub(crate) policy: Arc<Policy>,
    pub(crate) upgrade: Option<hyper::upgrade::OnUpgrade>,
}

impl Call {
    /// What the route's pattern left open under `name`, percent-decoded; empty if the pattern has no such name.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// The decoded query string.
    pub fn query(&self) -> Query {
        Query::parse(&self.raw_query)
    }

    /// The header's value if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`BodyError`] if it is too large, too slow or broken; [`BodyError::into_response`] is the answer.
    pub async fn read_body(&self) -> Result<Bytes, BodyError> {
        self.body.read().await
    }

    /// Who calls, with the rules that it is held against, to be asked later.
    pub fn caller(&self) -> Caller {
        Caller::new(self.principal.clone(), self.policy.clone())
    }

    /// Asks the policy about one object of this call, beyond the check of the route itself.
    ///
    /// # Errors
    /// The 403 to answer with.
    #[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
    pub fn authorise(&self, action: Action, object: &Object<'_>) -> Result<(), HttpResponse> {
        match self.policy.authorise(&self.principal, action, object) {
            Decision::Allow => Ok(()),
            Decision::Deny(why) => Err(text(StatusCode::FORBIDDEN, why)),
        }
    }

    /// The connection itself, if the caller wants to switch protocols; resolves after a 101 was answered.
    pub fn upgrade(&mut self) -> Option<hyper::upgrade::OnUpgrade> {
        self.upgrade.take()
    }
}
