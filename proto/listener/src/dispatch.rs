//! Sends each request to the door it knocks at: gRPC by content type, everything else to the HTTP routes.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tower_service::Service;
use warp::filters::BoxedFilter;

use crate::authority::{Policy, Principal};
use crate::call::{HangUp, Peer};
use crate::credentials::{Credentials, Verdict};
use crate::grpc::GrpcRoutes;
use crate::guard::Guard;
use crate::reply::HttpResponse;
use crate::routes::Refuse;
use crate::shares::Party;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// Everything a connection needs to answer requests.
pub(crate) struct Dispatch {
    /// Nothing where no web page can call.
    pub(crate) guard: Option<Guard>,
    /// Nothing where nobody needs any.
    pub(crate) credentials: Option<Credentials>,
    /// How refusals over HTTP look.
    pub(crate) refuse: Refuse,
    pub(crate) policy: Arc<Policy>,
    pub(crate) http: BoxedFilter<(HttpResponse,)>,
    pub(crate) grpc: GrpcRoutes,
}

/// Who is at the other end of a connection, as far as is known before a request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) party: Party,
    pub(crate) hang_up: HangUp,
    /// The connection is under TLS.
    pub(crate) is_secure: bool,
}

impl Dispatch {
    pub(crate) async fn answer(&self, caller: Caller, request: Request<Incoming>) -> Response<ResponseBody> {
        let Caller { peer, party, hang_up, is_secure } = caller;
        let (mut parts, body) = request.into_parts();
        let is_grpc = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/grpc"));
        if let Some(Err(why)) = self.guard.as_ref().map(|guard| guard.check(&parts, is_secure)) {
            tracing::debug!(%peer.remote, %why, "refused a request");
            return match is_grpc {
                true => tonic::Status::permission_denied(why).into_http::<tonic::body::Body>().map(boxed),
                false => (self.refuse)(StatusCode::FORBIDDEN, why).map(boxed),
            };
        }
        let principal = match self.authenticate(&parts).await {
            Ok(principal) => principal,
            Err(_) if is_grpc => {
                let status = tonic::Status::unauthenticated("credentials are needed");
                return status.into_http::<tonic::body::Body>().map(boxed);
            }
            Err(refusal) => return refusal.map(boxed),
        };
        parts.extensions.insert(peer);
        parts.extensions.insert(party.known_as(&principal));
        parts.extensions.insert(hang_up);
        parts.extensions.insert(principal.clone());
        if is_grpc {
            let request = Request::from_parts(parts, tonic::body::Body::new(body));
            return self.grpc.answer(request, &principal, &self.policy).await.map(boxed);
        }
        let mut service = warp::service(self.http.clone());
        match service.call(Request::from_parts(parts, body)).await {
            Ok(response) => response.map(boxed),
            Err(never) => match never {},
        }
    }

    /// Who calls. A question about methods (OPTIONS) carries no credentials and learns nothing.
    async fn authenticate(&self, parts: &Parts) -> Result<Principal, HttpResponse> {
        let Some(credentials) = &self.credentials else { return Ok(Principal::Anonymous) };
        match credentials.check(&parts.headers).await {
            Verdict::Known(name) => Ok(Principal::Named(name)),
            Verdict::Busy => {
                let why = "too many passwords are being checked; try again later";
                Err((self.refuse)(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()))
            }
            Verdict::Missing if parts.method == Method::OPTIONS || credentials.is_open(parts.uri.path()) => {
                Ok(Principal::Anonymous)
            }
            Verdict::Missing | Verdict::Wrong => {
                let why = "a name and its password are needed (HTTP basic authentication)";
                let mut response = (self.refuse)(StatusCode::UNAUTHORIZED, why.to_owned());
                if let Ok(challenge) = HeaderValue::from_str(&credentials.challenge()) {
                    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                }
                Err(response)
            }
        }
    }
}

fn boxed<B>(body: B) -> ResponseBody
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}
