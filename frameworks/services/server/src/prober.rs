//! Asks tasks how they are, over HTTP or TCP.

use std::sync::Arc;

use chapada_services_core::{Event, Probe, Protocol, ReadinessProbe, ReadinessProtocol, ReadinessResponse};
use http::header;
use reqwest::{Client, Response};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::handle::ServicesHandle;

/// How many questions may be open at once; more wait for their turn.
///
/// Source: Marathon's `max_concurrent_marathon_health_checks`.
const AT_ONCE: usize = 256;

/// How much of an answer to a readiness check is kept.
const KEPT_BODY: usize = 10 << 10;

/// Asks, each question in a task of its own; there is at most one for each check of a running task.
pub(crate) struct Prober {
    services: ServicesHandle,
    slots: Arc<Semaphore>,
    client: Client,
    /// Open questions are dropped with the prober.
    stop: CancellationToken,
    _drop: DropGuard,
}

impl Prober {
    /// # Errors
    /// When TLS cannot be had.
    pub(crate) fn new(services: ServicesHandle) -> Result<Self, reqwest::Error> {
        let stop = CancellationToken::new();
        Ok(Self {
            services,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            client: client()?,
            stop: stop.clone(),
            _drop: stop.drop_guard(),
        })
    }

    /// Asks, and passes the answer on.
    pub(crate) fn ask(&self, probe: Probe) {
        let (services, slots, client) = (self.services.clone(), self.slots.clone(), self.client.clone());
        let asking = async move {
            // The semaphore is never closed; without a slot the question is asked all the same.
            let slot = slots.acquire().await;
            let result = ask(&client, &probe).await;
            drop(slot);
            let Probe { task, check, .. } = probe;
            if let Err(cause) = &result {
                tracing::debug!(task_id = %task, check, cause, "not well");
            }
            services.event(Event::Probed { task, check, result }).await;
        };
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(asking).await });
    }

    /// Asks whether a task is ready, and passes the answer on.
    pub(crate) fn ask_ready(&self, probe: ReadinessProbe) {
        let (services, slots, client) = (self.services.clone(), self.slots.clone(), self.client.clone());
        let asking = async move {
            // As above.
            let slot = slots.acquire().await;
            let result = whether_ready(&client, &probe).await;
            drop(slot);
            let ReadinessProbe { task, check, .. } = probe;
            if let Err(cause) = &result {
                tracing::debug!(task_id = %task, check, cause, "no answer to a readiness check");
            }
            services.event(Event::Readiness { task, check, result }).await;
        };
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(asking).await });
    }
}

/// What a task answers to a readiness check.
async fn whether_ready(client: &Client, probe: &ReadinessProbe) -> Result<ReadinessResponse, String> {
    let limit = probe.how.timeout_seconds.duration();
    let asking = async {
        let tls = probe.how.protocol == ReadinessProtocol::Https;
        let response = get(client, tls, &probe.host, probe.port, &probe.how.path).await?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let (status, content_type) =
            (response.status().as_u16(), kind.unwrap_or("application/octet-stream").to_owned());
        let body = match probe.how.preserve_last_response {
            true => beginning(response).await?,
            false => String::new(),
        };
        Ok(ReadinessResponse { status, content_type, body })
    };
    let answer = tokio::time::timeout(limit, asking).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs_f64())))
}

/// The body, or a word that it is too long to be kept.
async fn beginning(mut response: Response) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + chunk.len() > KEPT_BODY {
            return Ok(format!("(longer than {KEPT_BODY} bytes)"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn ask(client: &Client, probe: &Probe) -> Result<(), String> {
    let limit = probe.how.timeout_seconds.duration();
    let asking = async {
        match probe.how.protocol {
            Protocol::Http => ask_http(client, probe, false).await,
            Protocol::Https => ask_http(client, probe, true).await,
            Protocol::Tcp => {
                let connected = TcpStream::connect((probe.host.as_str(), probe.port)).await;
                connected.map(drop).map_err(|error| error.to_string())
            }
            Protocol::Command | Protocol::MesosHttp | Protocol::MesosHttps | Protocol::MesosTcp => {
                Err("its agent asks, not this framework".to_owned())
            }
        }
    };
    let answer = tokio::time::timeout(limit, asking).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs_f64())))
}

/// The body is not read.
async fn ask_http(client: &Client, probe: &Probe, tls: bool) -> Result<(), String> {
    let path = probe.how.path.as_deref().unwrap_or("/");
    let response = get(client, tls, &probe.host, probe.port, path).await?;
    match response.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("answered with status {status}")),
    }
}

/// One request over a connection of its own. Redirects are answers like others.
async fn get(client: &Client, tls: bool, host: &str, port: u16, path: &str) -> Result<Response, String> {
    let scheme = if tls { "https" } else { "http" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let asked = client.get(format!("{scheme}://{host}:{port}{path}")).send().await;
    asked.map_err(|error| {
        let innermost = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        innermost.last().map(ToString::to_string).unwrap_or_default()
    })
}

/// Whoever answers is asked whether it is well, not who it is: certificates are not looked at.
fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .http1_only()
        .build()
}

#[cfg(test)]
mod tests {
    use chapada_services_core::AppDefinition;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn probe(port: u16, check: Value) -> Probe {
        let json = json!({"id": "/a", "cmd": "x", "healthChecks": [check]});
        let app = AppDefinition::from_json(json.as_object().unwrap(), "*").unwrap();
        let how = app.health_checks[0].clone();
        Probe { task: "t".parse().unwrap(), check: 0, host: "127.0.0.1".to_owned(), port, how }
    }

    /// A server that answers one request with `answer`, or never when it is empty; gives its port.
    async fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let count = stream.read(&mut request).await.unwrap();
            assert!(request[..count].starts_with(b"GET /up HTTP/1.1\r\n") || count == 0);
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn http_is_well_from_200_to_399() {
        let http = || json!({"path": "/up", "timeoutSeconds": 1});
        for (answer, well) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false),
            ("nonsense\r\n\r\n", false),
            ("", false),
        ] {
            let result = ask(&client().unwrap(), &probe(server(answer).await, http())).await;
            assert_eq!(result.is_ok(), well, "{answer}: {result:?}");
        }
    }

    #[tokio::test]
    async fn a_readiness_check_hears_status_and_body_or_why_there_is_no_answer() {
        let probe = |port: u16| {
            let check =
                json!({"portName": "http", "path": "/up", "timeoutSeconds": 1, "preserveLastResponse": true});
            let ports = json!([{"name": "http", "port": 0}]);
            let json = json!({"id": "/a", "cmd": "x", "portDefinitions": ports, "readinessChecks": [check]});
            let app = AppDefinition::from_json(json.as_object().unwrap(), "*").unwrap();
            let (task, how) = ("t".parse().unwrap(), app.readiness_checks[0].clone());
            ReadinessProbe { task, check: 0, host: "127.0.0.1".to_owned(), port, how }
        };
        let answer = "HTTP/1.1 503 Busy\r\ncontent-type: text/x\r\ncontent-length: 4\r\n\r\nwait";
        let heard = whether_ready(&client().unwrap(), &probe(server(answer).await)).await.unwrap();
        assert_eq!((heard.status, heard.content_type.as_str(), heard.body.as_str()), (503, "text/x", "wait"));
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n".to_owned() + &"x".repeat(20_000);
        let heard = whether_ready(&client().unwrap(), &probe(server(long.leak()).await)).await.unwrap();
        assert_eq!((heard.status, heard.body.as_str()), (200, "(longer than 10240 bytes)"));
        let silent = whether_ready(&client().unwrap(), &probe(server("").await)).await;
        assert_eq!(silent, Err("no answer within 1 s".to_owned()));
    }

    /// A server whose certificate nobody vouches for; gives its port.
    async fn tls_server() -> u16 {
        let made = rcgen::generate_simple_self_signed(vec!["somebody.else".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            let mut request = [0; 1_024];
            let count = stream.read(&mut request).await.unwrap();
            assert!(request[..count].starts_with(b"GET /up HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn https_does_not_look_at_certificates() {
        let check = json!({"protocol": "HTTPS", "path": "/up", "timeoutSeconds": 10});
        assert_eq!(ask(&client().unwrap(), &probe(tls_server().await, check)).await, Ok(()));
    }

    #[tokio::test]
    async fn tcp_is_well_when_a_connection_is_taken() {
        let port = server("x").await;
        let tcp = || json!({"protocol": "TCP"});
        let client = client().unwrap();
        assert_eq!(ask(&client, &probe(port, tcp())).await, Ok(()));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        assert!(ask(&client, &probe(closed, tcp())).await.is_err());
    }
}
