//! One port under TLS over real sockets: who is served, and what those hear who are not.

use std::net::SocketAddr;
use std::time::Duration;

use chapada_harness::{Authority, Certificate};
use chapada_listener::{Action, Call, GrpcRoutes, ListenConfig, ListenError, Listener, Policy, Routes, text};
use chapada_tls::{Dialer, TlsConfig, TlsFiles};
use http::StatusCode;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

const WITHIN: Duration = Duration::from_secs(20);
const ASKED: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

struct Server {
    at: SocketAddr,
    certificate: Certificate,
    authority: Authority,
    _folder: tempfile::TempDir,
    _stop: DropGuard,
}

fn health(word: &'static str) -> Routes {
    Routes::new().get("/health", Action::ViewHealth, move |_: Call| async move { text(StatusCode::OK, word) })
}

/// A port with a certificate for m1.example and these settings.
async fn serve(tls: TlsConfig, plain: Option<Routes>) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "ca");
    let certificate = authority.issue("m1", &["m1.example"]);
    let config = ListenConfig { port: Some(0), tls: with(tls, &certificate), ..ListenConfig::default() };
    let mut listener = Listener::bind(&config, 0).await.expect("a port");
    if let Some(routes) = plain {
        listener = listener.with_plain_routes(routes);
    }
    let (at, stop) = (listener.local_addr(), CancellationToken::new());
    let served = listener.serve(health("all"), GrpcRoutes::new(), Policy::allow_all(), stop.clone());
    tokio::spawn(served);
    Server { at, certificate, authority, _folder: folder, _stop: stop.drop_guard() }
}

fn with(tls: TlsConfig, certificate: &Certificate) -> TlsConfig {
    let Certificate { cert, key, ca } = certificate.clone();
    TlsConfig { tls_cert: Some(cert), tls_key: Some(key), tls_ca: Some(ca), ..tls }
}

fn dialer(server: &Server, shown: Option<&Certificate>) -> Dialer {
    let files = TlsFiles {
        tls_ca: Some(server.authority.file().to_owned()),
        tls_cert: shown.map(|shown| shown.cert.clone()),
        tls_key: shown.map(|shown| shown.key.clone()),
    };
    Dialer::with(&files).expect("good files")
}

async fn asked(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(WITHIN, stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends")?;
    Ok(answer)
}

async fn secure(dialer: &Dialer, at: SocketAddr, name: &str, request: &str) -> std::io::Result<String> {
    let answer = asked(dialer.connect(at, &[name]).await?, request.as_bytes()).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn plain(at: SocketAddr, request: &[u8]) -> String {
    let stream = TcpStream::connect(at).await.expect("the port is open");
    String::from_utf8_lossy(&asked(stream, request).await.expect("an answer")).into_owned()
}

#[tokio::test]
async fn who_speaks_tls_is_served_and_who_does_not_hears_that_it_is_spoken() {
    let server = serve(TlsConfig::default(), None).await;
    let answer = secure(&dialer(&server, None), server.at, "m1.example", ASKED).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("all"), "{answer}");
    let answer = plain(server.at, ASKED.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("use an https:// address"), "{answer}");
    let told = answer.split("\r\n\r\n").nth(1).expect("a body");
    assert!(answer.contains(&format!("content-length: {}\r\n", told.len())), "{answer}");
    let answer = plain(server.at, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1") && answer.ends_with("this port speaks TLS"), "{answer}");
}

#[tokio::test]
async fn a_grpc_client_without_tls_hears_that_it_is_spoken() {
    let server = serve(TlsConfig::default(), None).await;
    let stream = TcpStream::connect(server.at).await.expect("the port is open");
    let io = TokioIo::new(stream);
    let handshake = http2::handshake(TokioExecutor::new(), io);
    let (_sender, connection): (http2::SendRequest<String>, _) =
        handshake.await.expect("nothing was heard yet");
    let ended = tokio::time::timeout(WITHIN, connection).await.expect("the connection ends");
    let error = std::error::Error::source(&ended.expect_err("it is refused")).map(ToString::to_string);
    assert!(error.as_ref().is_some_and(|error| error.contains("this port speaks TLS")), "{error:?}");
}

#[tokio::test]
async fn who_is_silent_after_the_handshake_is_cut() {
    let server = serve(TlsConfig::default(), None).await;
    let dialer = dialer(&server, None);
    let mut silent = dialer.connect(server.at, &["m1.example"]).await.expect("a handshake");
    // Meanwhile the server is through with it.
    secure(&dialer, server.at, "m1.example", ASKED).await.expect("an answer");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    let ended = tokio::time::timeout(Duration::from_secs(600), silent.read(&mut [0])).await;
    assert!(!matches!(ended.expect("it ends"), Ok(1..)));
}

#[tokio::test]
async fn where_certificates_are_required_nobody_is_served_without_one() {
    let server = serve(TlsConfig { tls_require_client_cert: true, ..TlsConfig::default() }, None).await;
    let client = server.authority.issue("client", &[]);
    let answer = secure(&dialer(&server, Some(&client)), server.at, "m1.example", ASKED).await;
    assert!(answer.expect("an answer").ends_with("all"));
    let why = secure(&dialer(&server, None), server.at, "m1.example", ASKED).await.expect_err("refused");
    assert!(why.to_string().contains("takes only callers with a certificate"), "{why}");
}

#[tokio::test]
async fn plain_callers_have_the_routes_that_are_theirs_or_all_while_a_cluster_changes_over() {
    let required = TlsConfig { tls_require_client_cert: true, ..TlsConfig::default() };
    let server = serve(required, Some(health("few"))).await;
    assert!(plain(server.at, ASKED.as_bytes()).await.ends_with("few"));
    let client = server.authority.issue("client", &[]);
    let answer = secure(&dialer(&server, Some(&client)), server.at, "m1.example", ASKED).await;
    assert!(answer.expect("an answer").ends_with("all"));

    let both = TlsConfig { tls_also_plain: true, ..TlsConfig::default() };
    let server = serve(both, Some(health("few"))).await;
    assert!(plain(server.at, ASKED.as_bytes()).await.ends_with("all"));
    let answer = secure(&dialer(&server, None), server.at, "m1.example", ASKED).await;
    assert!(answer.expect("an answer").ends_with("all"));
}

#[tokio::test]
async fn tls_at_a_plain_port_fails_at_once_and_says_so() {
    let listener = Listener::bind(&ListenConfig { port: Some(0), ..ListenConfig::default() }, 0).await;
    let listener = listener.expect("a port");
    let (at, stop) = (listener.local_addr(), CancellationToken::new());
    tokio::spawn(listener.serve(health("all"), GrpcRoutes::new(), Policy::allow_all(), stop.clone()));
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "ca");
    let files = TlsFiles { tls_ca: Some(authority.file().to_owned()), ..TlsFiles::default() };
    let dialer = Dialer::with(&files).expect("good files");
    let why = secure(&dialer, at, "m1.example", ASKED).await.expect_err("no TLS there").to_string();
    assert!(why.contains("speaks no TLS"), "{why}");
    stop.cancel();
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart() {
    let server = serve(TlsConfig::default(), None).await;
    let dialer = dialer(&server, None);
    let why = secure(&dialer, server.at, "m2.example", ASKED).await.expect_err("not its name").to_string();
    assert!(why.contains("not for m2.example"), "{why}");
    let renewed = server.authority.issue("m1", &["m2.example"]);
    assert_eq!(renewed.cert, server.certificate.cert);
    let replaced = async { while secure(&dialer, server.at, "m2.example", ASKED).await.is_err() {} };
    tokio::time::timeout(WITHIN, replaced).await.expect("it is read again");
}

#[tokio::test]
async fn off_loopback_callers_must_be_known_by_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Authority::new(folder.path(), "ca").issue("m1", &["m1.example"]);
    let bind = async |tls: TlsConfig| {
        let ip = "0.0.0.0".parse().expect("an address");
        let tls = with(tls, &certificate);
        Listener::bind(&ListenConfig { ip, port: Some(0), tls, ..ListenConfig::default() }, 0).await
    };
    let error = bind(TlsConfig::default()).await.expect_err("everyone could command it");
    assert!(error.to_string().contains("--tls-require-client-cert"), "{error}");
    assert!(bind(TlsConfig { tls_require_client_cert: true, ..TlsConfig::default() }).await.is_ok());
    let both = TlsConfig { tls_require_client_cert: true, tls_also_plain: true, ..TlsConfig::default() };
    assert!(matches!(bind(both).await, Err(ListenError::Tls(_))));
}

#[tokio::test]
async fn a_page_that_came_without_tls_is_another_sites() {
    let server = serve(TlsConfig::default(), None).await;
    let dialer = dialer(&server, None);
    for (origin, status) in [("https://localhost", "200"), ("http://localhost", "403")] {
        let request = ASKED.replace("connection:", &format!("origin: {origin}\r\nconnection:"));
        let answer = secure(&dialer, server.at, "m1.example", &request).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
    }
}
