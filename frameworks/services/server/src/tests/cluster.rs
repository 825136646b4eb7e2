//! Starts the loop and its API, and asks it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{Admission, GrpcRoutes, ListenConfig, Listener, Logging, Policy, RouteEntry};
use chapada_model::Role;
use chapada_services_core::{Event, Seed, Services};
use chapada_tls::Dialer;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pretended::{self, Agents, Calls, Memory};
use crate::actor::Actor;
use crate::clock::Clock;
use crate::config::ServicesConfig;
use crate::figures::Figures;
use crate::handle::ServicesHandle;
use crate::http::{Api, Bodies, Looks, Surroundings, routes};
use crate::hub::Hub;
use crate::identity::Identity;
use crate::prober::Prober;
use crate::secrets::Secrets;
use crate::standing::{Standing, Turn};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running services framework. It ends with the test.
pub(crate) struct Cluster {
    pub(crate) address: SocketAddr,
    pub(crate) services: ServicesHandle,
    pub(crate) turn: Turn,
    pub(crate) bodies: Bodies,
    pub(crate) table: Vec<RouteEntry>,
    _stop: DropGuard,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

impl Cluster {
    /// A cluster on which everything starts.
    pub(crate) async fn start() -> Self {
        Self::with(Memory::default(), true).await
    }

    /// A cluster that offers nothing.
    pub(crate) async fn without_offers() -> Self {
        Self::with(Memory::default(), false).await
    }

    pub(crate) async fn with(store: Memory, works: bool) -> Self {
        Self::with_policy(store, works, Policy::allow_all()).await
    }

    pub(crate) async fn with_policy(store: Memory, works: bool, policy: Policy) -> Self {
        let agents = if works { Agents::One } else { Agents::None };
        Self::start_with(store, agents, policy, ServicesConfig::default()).await
    }

    pub(crate) async fn with_config(config: ServicesConfig) -> Self {
        Self::start_with(Memory::default(), Agents::One, Policy::allow_all(), config).await
    }

    pub(crate) async fn start_with(
        store: Memory,
        agents: Agents,
        policy: Policy,
        services_config: ServicesConfig,
    ) -> Self {
        Self::start_dialling(store, agents, policy, services_config, &Dialer::plain()).await
    }

    /// One that asks the leader through this.
    pub(crate) async fn dialling(dialer: &Dialer) -> Self {
        let config = ServicesConfig::default();
        Self::start_dialling(Memory::default(), Agents::None, Policy::allow_all(), config, dialer).await
    }

    async fn start_dialling(
        store: Memory,
        agents: Agents,
        policy: Policy,
        services_config: ServicesConfig,
        dialer: &Dialer,
    ) -> Self {
        let stop = CancellationToken::new();
        let clock = Clock::new();
        let records = store.0.lock().expect("unbroken").clone();
        let seed = Seed::new(chapada_sdk::random(), chapada_sdk::random());
        let core = Services::restore(Role::star(), seed, clock.now(), records)
            .expect("own records")
            .with_settings(services_config.settings());
        let (services, inputs) = ServicesHandle::new();
        let (calls, queue) = mpsc::unbounded_channel();
        let secrets = Secrets::new(services_config.secrets_dir.clone());
        tokio::spawn(pretended::master(queue, services.clone(), agents, secrets.clone()));
        let hub = Hub::new(chapada_sdk::random(), services_config.event_stream_max_outstanding_messages);
        let prober = Prober::new(services.clone()).expect("TLS");
        let figures = Figures::default();
        let actor = Actor {
            services: core,
            clock,
            store,
            master: Calls(calls),
            prober,
            hub: hub.clone(),
            figures: figures.clone(),
            inputs,
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(actor.run()));
        services.event(Event::Subscribed).await;
        let config = ListenConfig { port: Some(0), ..ListenConfig::default() };
        let admission =
            Admission { credentials: None, origins: services_config.access_control_allow_origin.clone() };
        let listener = Listener::bind_with(&config, 0, admission).await.expect("loopback");
        let address = listener.local_addr();
        let identity = Identity::new(address.to_string(), services_config);
        identity.turn.set(Standing::Leading);
        let turn = identity.turn.clone();
        let surroundings = Arc::new(Surroundings::new(&identity.config, dialer, &identity.host_port));
        let logging = Logging::with(Arc::new(|_| Ok(())));
        let bodies = Bodies::default();
        let api = Api {
            services: services.clone(),
            hub,
            identity,
            figures,
            surroundings,
            logging,
            secrets,
            bodies: bodies.clone(),
            looks: Looks::default(),
        };
        let routes = routes(Arc::new(api));
        let table = routes.table();
        tokio::spawn(listener.serve(routes, GrpcRoutes::default(), policy, stop.clone()));
        Self { address, services, turn, bodies, table, _stop: stop.drop_guard() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, &[], "").await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &str) -> Answer {
        self.ask(method, path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (status, headers, bytes) = self.exchange(method, path, headers, body).await;
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).expect("text") }
    }

    /// What a GET brings, as it came.
    pub(crate) async fn raw(&self, path: &str, headers: &[(&str, &str)]) -> (HeaderMap, Bytes) {
        let (_, headers, bytes) = self.exchange(Method::GET, path, headers, "").await;
        (headers, bytes)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request");
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, bytes)
    }

    /// Asks until the answer is as it should be.
    pub(crate) async fn eventually(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let last = self.get(path).await.json();
            if good(&last) {
                return last;
            }
            assert!(tokio::time::Instant::now() < end, "{path} stayed at {last:#}");
            tokio::task::yield_now().await;
        }
    }
}
