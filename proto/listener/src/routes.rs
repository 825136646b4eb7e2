//! The table of HTTP routes: pattern, methods, action, handler.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use http::header::{ALLOW, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio_util::sync::CancellationToken;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::{Filter, Reply};

use crate::arriving::Arriving;
use crate::authority::{Action, Decision, Object, Policy, Principal};
use crate::body::RequestBody;
use crate::call::{Call, HangUp, Peer};
use crate::guard::{ContentRule, check_content_type, check_form};
use crate::pattern::{Params, Pattern};
use crate::reply::{HttpResponse, text};
use crate::shares::Party;

type Answering = Pin<Box<dyn Future<Output = HttpResponse> + Send>>;
type Handler = Arc<dyn Fn(Call) -> Answering + Send + Sync>;
type Around = Arc<dyn Fn(Call, Next) -> Answering + Send + Sync>;

/// How a refusal looks that no handler made: a status and a sentence, which may be empty.
pub(crate) type Refuse = fn(StatusCode, String) -> HttpResponse;

struct Route {
    entry: RouteEntry,
    pattern: Pattern,
    handler: Handler,
}

/// One row of the table, for tests and documents that walk through all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// The method; `None` for all of them.
    pub method: Option<Method>,
    /// The pattern, which is also the object that the policy is asked about.
    pub pattern: &'static str,
    /// What calls of this route do.
    pub action: Action,
    /// Who checks the content type.
    pub content: ContentRule,
}

/// The HTTP routes of a daemon. There is no way to add one without an action.
pub struct Routes {
    routes: Vec<Route>,
    around: Option<Around>,
    refuse: Refuse,
}

impl Default for Routes {
    fn default() -> Self {
        Self { routes: Vec::new(), around: None, refuse: text }
    }
}

/// The routes behind what stands around them.
pub struct Next(Arc<Routes>);

impl Next {
    /// What the route that the call belongs to answers; 404 or 405 when there is none, 403 when the policy denies it.
    pub async fn answer(self, call: Call) -> HttpResponse {
        self.0.answer(call).await
    }
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.table()).finish()
    }
}

impl Routes {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route for one method; GET answers HEAD too. In `pattern`, `{name}` stands for one segment and a last
    /// `{*name}` for everything below (see [`Call::param`]). The most specific pattern that fits wins, so the order
    /// of declaration does not matter.
    #[must_use]
    pub fn on<H, F, R>(self, method: Method, pattern: &'static str, action: Action, handler: H) -> Self
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static,
    {
        self.add(
            RouteEntry { method: Some(method), pattern, action, content: ContentRule::Listener },
            handler,
        )
    }

    /// As [`Routes::on`] with GET.
    #[must_use]
    pub fn get<H, F, R>(self, pattern: &'static str, action: Action, handler: H) -> Self
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static,
    {
        self.on(Method::GET, pattern, action, handler)
    }

    /// As [`Routes::on`] with POST.
    #[must_use]
    pub fn post<H, F, R>(self, pattern: &'static str, action: Action, handler: H) -> Self
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static,
    {
        self.on(Method::POST, pattern, action, handler)
    }

    /// Adds a route as `entry` says.
    #[must_use]
    pub fn add<H, F, R>(mut self, entry: RouteEntry, handler: H) -> Self
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Reply + 'static,
    {
        let handler = Arc::new(handler);
        let handler: Handler = Arc::new(move |call| {
            let answer = handler(call);
            Box::pin(async move { answer.await.into_response() })
        });
        self.routes.push(Route { pattern: Pattern::parse(entry.pattern), entry, handler });
        self
    }

    /// Every call goes through `around` before its route is looked for, also one that has none. It must not answer by itself
    /// what the policy has to be asked about.
    #[must_use]
    pub fn around<H, F>(mut self, around: H) -> Self
    where
        H: Fn(Call, Next) -> F + Send + Sync + 'static,
        F: Future<Output = HttpResponse> + Send + 'static,
    {
        self.around = Some(Arc::new(move |call, next| Box::pin(around(call, next))));
        self
    }

    /// Refusals that no handler makes (401, 403, 404, 405, 415) look like this instead of plain text.
    #[must_use]
    pub fn refusing(mut self, refuse: fn(StatusCode, String) -> HttpResponse) -> Self {
        self.refuse = refuse;
        self
    }

    pub(crate) fn refuses_with(&self) -> Refuse {
        self.refuse
    }

    /// Every route, in order of declaration.
    pub fn table(&self) -> Vec<RouteEntry> {
        self.routes.iter().map(|route| route.entry.clone()).collect()
    }

    /// The routes as one warp filter that answers everything.
    pub(crate) fn into_filter(
        mut self,
        policy: Arc<Policy>,
        limit: u64,
        stop: CancellationToken,
    ) -> BoxedFilter<(HttpResponse,)> {
        self.routes.sort_by_key(|route| std::cmp::Reverse(route.pattern.specificity()));
        let table = Arc::new(self);
        let arriving = Arriving::new(limit);
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::stream())
            .and(warp::ext::get::<Peer>())
            .and(warp::ext::get::<Party>())
            .and(warp::ext::get::<Principal>())
            .and(warp::ext::get::<HangUp>())
            .and(warp::ext::optional::<hyper::upgrade::OnUpgrade>())
            .then(
                move |method,
                      path: FullPath,
                      raw_query,
                      headers: HeaderMap,
                      chunks,
                      peer,
                      party,
                      principal,
                      hang_up,
                      upgrade| {
                    let announced =
                        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
                    let chunks = as_bytes(chunks);
                    let call = Call {
                        method,
                        path: path.as_str().to_owned(),
                        raw_query,
                        headers,
                        principal,
                        peer,
                        body: RequestBody::new(Box::pin(chunks), announced, limit, party, arriving.clone()),
                        stop: stop.clone(),
                        hang_up,
                        params: Params::new(),
                        policy: policy.clone(),
                        upgrade,
                    };
                    let table = table.clone();
                    async move { enter(table, call).await }
                },
            )
            .boxed()
    }

    async fn answer(&self, call: Call) -> HttpResponse {
        match self.route(call) {
            Ok((handler, call)) => handler(call).await,
            Err(refusal) => refusal,
        }
    }

    #[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
    fn route(&self, mut call: Call) -> Result<(&Handler, Call), HttpResponse> {
        let mut refused: Option<&'static str> = None;
        let mut known = Vec::new();
        for route in &self.routes {
            // A less specific pattern does not take over another method of a more specific one.
            if refused.is_some_and(|pattern| pattern != route.entry.pattern) {
                continue;
            }
            let Some(params) = route.pattern.matches(&call.path) else { continue };
            match &route.entry.method {
                Some(method) if !answers(method, &call.method) => {
                    refused = Some(route.entry.pattern);
                    known.push(method.clone());
                }
                Some(_) | None => {
                    call.params = params;
                    return self.permit(route, call);
                }
            }
        }
        match refused {
            None => Err((self.refuse)(StatusCode::NOT_FOUND, String::new())),
            Some(_) => Err(wrong_method(self.refuse, &call.method, &known)),
        }
    }

    #[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
    fn permit<'a>(&self, route: &'a Route, call: Call) -> Result<(&'a Handler, Call), HttpResponse> {
        let object = Object::Endpoint(route.entry.pattern);
        if let Decision::Deny(why) = call.policy.authorise(&call.principal, route.entry.action, &object) {
            return Err((self.refuse)(StatusCode::FORBIDDEN, why));
        }
        match route.entry.content {
            ContentRule::Listener => {
                let has_body = call.body.announced().is_some_and(|length| length > 0)
                    || call.headers.contains_key(http::header::TRANSFER_ENCODING);
                check_content_type(&call.method, &call.headers, has_body)?;
            }
            ContentRule::Form => check_form(&call.headers)?,
            ContentRule::Handler => {}
        }
        Ok((&route.handler, call))
    }
}

async fn enter(table: Arc<Routes>, call: Call) -> HttpResponse {
    let body = call.body.clone();
    let waits = call.headers.contains_key(EXPECT);
    let response = match table.around.clone() {
        Some(around) => around(call, Next(table)).await,
        None => table.answer(call).await,
    };
    if body.is_given_up() || (response.status().is_client_error() && !waits) {
        body.drain().await;
    }
    response
}

fn answers(declared: &Method, asked: &Method) -> bool {
    declared == asked || (declared == Method::GET && asked == Method::HEAD)
}

fn wrong_method(refuse: Refuse, asked: &Method, known: &[Method]) -> HttpResponse {
    let quoted: Vec<_> = known.iter().map(|method| format!("'{method}'")).collect();
    let message = format!(
        "405 Method Not Allowed. Expecting one of {{ {} }}, but received '{asked}'.",
        quoted.join(", ")
    );
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, message);
    let allow = known.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

fn as_bytes<B: Buf>(
    chunks: impl futures_util::Stream<Item = Result<B, warp::Error>>,
) -> impl futures_util::Stream<Item = Result<Bytes, warp::Error>> {
    chunks.map(|chunk| chunk.map(|mut buffer| buffer.copy_to_bytes(buffer.remaining())))
}
