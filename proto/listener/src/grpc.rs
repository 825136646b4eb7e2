//! The table of gRPC methods.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower_service::Service;

use crate::authority::{Action, Decision, Object, Policy, Principal};

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Serve = Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

struct Method {
    path: String,
    action: Action,
    serve: Serve,
}

/// The gRPC methods of a daemon. A method that is not declared here with its action does not exist (status 12).
#[derive(Default)]
pub struct GrpcRoutes {
    methods: Vec<Method>,
}

impl std::fmt::Debug for GrpcRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.table()).finish()
    }
}

impl GrpcRoutes {
    /// No methods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated tonic service with the methods that are served and what each of them does.
    /// A handler finds [`crate::Peer`], [`Principal`] and `Arc<`[`Policy`]`>` in the extensions of its request; the last
    /// for questions about single objects.
    #[must_use]
    pub fn service<S>(mut self, service: S, methods: &[(&str, Action)]) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let serve: Serve = Arc::new(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                match service.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            })
        });
        for (method, action) in methods {
            let path = format!("/{}/{method}", S::NAME);
            self.methods.push(Method { path, action: *action, serve: serve.clone() });
        }
        self
    }

    /// The path and the action of every method.
    pub fn table(&self) -> Vec<(String, Action)> {
        self.methods.iter().map(|method| (method.path.clone(), method.action)).collect()
    }

    pub(crate) async fn answer(
        &self,
        mut request: Request<Body>,
        principal: &Principal,
        policy: &Arc<Policy>,
    ) -> Response<Body> {
        let path = request.uri().path();
        let Some(method) = self.methods.iter().find(|method| method.path == path) else {
            return tonic::Status::unimplemented(format!("there is no method {path} here")).into_http();
        };
        match policy.authorise(principal, method.action, &Object::Endpoint(&method.path)) {
            Decision::Deny(why) => tonic::Status::permission_denied(why).into_http(),
            Decision::Allow => {
                request.extensions_mut().insert(policy.clone());
                (method.serve)(request).await
            }
        }
    }
}
