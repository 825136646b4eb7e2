//! One port over real sockets: who is let in, what is refused with which status, and what stays usable afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{
    Action, Admission, Call, ContentRule, Credentials, GrpcRoutes, ListenConfig, ListenError, Listener,
    Logging, Policy, RouteEntry, Routes, json, stream, text,
};
use futures_util::StreamExt;
use futures_util::stream::iter;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(10);

struct Server {
    at: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The level of a log that nobody writes, which is 7 at most.
fn logging() -> Logging {
    Logging::with(Arc::new(|level| match level {
        0..=7 => Ok(()),
        _ => Err("there is no such level".to_owned()),
    }))
}

fn routes() -> Routes {
    let own_rule = RouteEntry {
        method: None,
        pattern: "/own",
        action: Action::ActAsFramework,
        content: ContentRule::Handler,
    };
    let routes = logging().routes(Routes::new());
    routes
        .get("/health", Action::ViewHealth, |_call: Call| async { text(StatusCode::OK, "fine") })
        .get("/things/{id}", Action::ViewCluster, |call: Call| async move {
            json(StatusCode::OK, &(call.param("id"), call.query().get("q")))
        })
        .get("/things/{*rest}", Action::ViewCluster, |call: Call| async move {
            text(StatusCode::OK, format!("rest={}", call.param("rest")))
        })
        .post("/things", Action::OperateCluster, |call: Call| async move {
            match call.read_body().await {
                Ok(body) => text(StatusCode::OK, format!("{} bytes", body.len())),
                Err(error) => error.into_response(),
            }
        })
        .on(Method::DELETE, "/things/{id}", Action::OperateCluster, |_call: Call| async {
            text(StatusCode::OK, "deleted")
        })
        .get("/endless", Action::ViewEvents, |call: Call| async move {
            let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(5)));
            let records = ticks.map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"tick\n")));
            stream(StatusCode::OK, "text/plain", records.take_until(call.stop.cancelled_owned()))
        })
        .get("/records", Action::ViewEvents, |_call: Call| async {
            stream(StatusCode::OK, "text/plain", iter(records().map(Ok::<_, std::io::Error>)))
        })
        .add(own_rule, |call: Call| async move { text(StatusCode::OK, call.method.to_string()) })
}

async fn serve(policy: Policy) -> Server {
    let config = ListenConfig { port: Some(0), max_body_bytes: 1_000, ..ListenConfig::default() };
    let listener = Listener::bind(&config, 5050).await.expect("a free port");
    let (at, stop) = (listener.local_addr(), CancellationToken::new());
    let task = tokio::spawn(listener.serve(routes(), GrpcRoutes::new(), policy, stop.clone()));
    Server { at, stop, task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.expect("the server listens")
    }

    async fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut connection = self.connect().await;
        ask(&mut connection, head, body).await
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("ends in time").expect("ends well");
    }
}

/// Sends one request (Host is added) and reads one answer with a Content-Length.
async fn ask(connection: &mut TcpStream, head: &str, body: &str) -> (u16, String) {
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let host = if headers.to_ascii_lowercase().contains("host:") { "" } else { "Host: 127.0.0.1\r\n" };
    let headers = headers.lines().map(|header| format!("{header}\r\n")).collect::<String>();
    let length = match body {
        "" => String::new(),
        _ if headers.contains("Transfer-Encoding") => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let request = format!("{line} HTTP/1.1\r\n{host}{headers}{length}\r\n{body}");
    connection.write_all(request.as_bytes()).await.expect("sent");
    tokio::time::timeout(DEADLINE, answer(connection)).await.expect("an answer in time")
}

async fn answer(connection: &mut TcpStream) -> (u16, String) {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut byte = [0];
        assert_eq!(connection.read(&mut byte).await.expect("readable"), 1, "closed: {read:?}");
        read.push(byte[0]);
    };
    let head = String::from_utf8(read[..end].to_vec()).expect("text").to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().expect("a length")];
    connection.read_exact(&mut body).await.expect("the body");
    (status, String::from_utf8(body).expect("text"))
}

#[tokio::test]
async fn requests_find_their_routes() {
    let server = serve(Policy::allow_all()).await;
    assert_eq!(server.ask("GET /health", "").await, (200, "fine".into()));
    assert_eq!(server.ask("GET /health/", "").await, (200, "fine".into()));
    assert_eq!(server.ask("GET /things/a%2Fb?q=x+y", "").await, (200, r#"["a/b","x y"]"#.into()));
    assert_eq!(server.ask("GET /things/a/b", "").await, (200, "rest=a/b".into()));
    assert_eq!(server.ask("GET /nothing", "").await.0, 404);
    let (status, body) = server.ask("PUT /health\nContent-Type: application/json", "{}").await;
    assert_eq!((status, body.contains("'GET'")), (405, true), "{body}");
    server.end().await;
}

#[tokio::test]
async fn web_pages_are_kept_out() {
    let server = serve(Policy::allow_all()).await;
    assert_eq!(server.ask("GET /health\nHost: evil.example", "").await.0, 403);
    assert_eq!(server.ask("GET /health\nHost: localhost:1234", "").await.0, 200);
    assert_eq!(server.ask("GET /health\nOrigin: http://evil.example", "").await.0, 403);
    assert_eq!(server.ask("GET /health\nOrigin: http://127.0.0.1", "").await.0, 200);
    assert_eq!(server.ask("POST /things", "x").await.0, 400);
    assert_eq!(server.ask("POST /things\nContent-Type: text/plain", "x").await.0, 415);
    assert_eq!(
        server.ask("POST /things\nContent-Type: application/json", "x").await,
        (200, "1 bytes".into())
    );
    assert_eq!(server.ask("DELETE /things/a", "").await.0, 200);
    assert_eq!(server.ask("DELETE /things/a\nSec-Fetch-Site: cross-site", "").await.0, 400);
    assert_eq!(server.ask("PATCH /own", "x").await, (200, "PATCH".into()));
    server.end().await;
}

#[tokio::test]
async fn a_connection_stays_usable_after_a_refusal() {
    let server = serve(Policy::allow_all()).await;
    let mut connection = server.connect().await;
    let large = "x".repeat(3_000_000);
    assert_eq!(ask(&mut connection, "POST /things\nContent-Type: application/json", &large).await.0, 413);
    assert_eq!(ask(&mut connection, "POST /things\nContent-Type: text/plain", &large).await.0, 415);
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let head = "POST /things\nContent-Type: application/json\nTransfer-Encoding: chunked";
    assert_eq!(ask(&mut connection, head, &chunked).await.0, 413);
    assert_eq!(ask(&mut connection, "GET /health", "").await, (200, "fine".into()));
    server.end().await;
}

#[tokio::test]
async fn every_route_is_denied_in_its_turn() {
    for entry in routes().table() {
        for policy in
            [Policy::allow_all().deny_endpoint(entry.pattern), Policy::allow_all().deny_action(entry.action)]
        {
            let server = serve(policy).await;
            let method = entry.method.clone().unwrap_or(Method::POST);
            let path = entry.pattern.replace("{*rest}", "a/b").replace("{id}", "a");
            let (status, body) =
                server.ask(&format!("{method} {path}\nContent-Type: application/json"), "{}").await;
            assert_eq!(status, 403, "{entry:?}: {body}");
            server.end().await;
        }
    }
}

#[tokio::test]
async fn an_unknown_grpc_method_has_a_grpc_status() {
    let server = serve(Policy::allow_all()).await;
    let mut connection = server.connect().await;
    let request = "POST /chapada.v1.Nothing/Here HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                   Content-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut read = vec![0; 4096];
    let count =
        tokio::time::timeout(DEADLINE, connection.read(&mut read)).await.expect("in time").expect("readable");
    let head = String::from_utf8_lossy(&read[..count]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("grpc-status: 12"), "{head}");
    server.end().await;
}

#[tokio::test]
async fn an_endless_answer_does_not_hold_up_the_end() {
    let server = serve(Policy::allow_all()).await;
    let mut connection = server.connect().await;
    connection.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut read = [0; 64];
    assert!(connection.read(&mut read).await.expect("readable") > 0);
    server.end().await;
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).await.expect("readable");
    assert!(rest.ends_with(b"0\r\n\r\n"), "it ends whole, and is not cut off after a while");
}

/// Enough of them for several writes, some too long for one.
fn records() -> impl Iterator<Item = Bytes> {
    (1..200).map(|number| vec![b'x'; if number % 50 == 0 { 300_000 } else { number }].into())
}

#[tokio::test]
async fn items_that_are_there_at_once_are_chunks_of_their_own() {
    let server = serve(Policy::allow_all()).await;
    let mut connection = server.connect().await;
    let request = b"GET /records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, connection.read_to_end(&mut answer)).await;
    read.expect("in time").expect("readable");
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let mut expected: Vec<u8> = Vec::new();
    for record in records() {
        expected.extend([format!("{:X}\r\n", record.len()).as_bytes(), &record, b"\r\n"].concat());
    }
    expected.extend(b"0\r\n\r\n");
    assert!(answer[body..] == expected, "{}", String::from_utf8_lossy(&answer[..300]));
    server.end().await;
}

#[tokio::test]
async fn a_port_that_cannot_be_had_is_explained() {
    let server = serve(Policy::allow_all()).await;
    let taken = ListenConfig { port: Some(server.at.port()), ..ListenConfig::default() };
    let error = Listener::bind(&taken, 0).await.expect_err("taken");
    assert!(matches!(error, ListenError::InUse(_)) && error.to_string().contains("--port"), "{error}");
    let open =
        ListenConfig { ip: "0.0.0.0".parse().expect("an address"), port: Some(0), ..ListenConfig::default() };
    let error = Listener::bind(&open, 0).await.expect_err("insecure");
    assert!(error.to_string().contains("--insecure"), "{error}");
    assert!(Listener::bind(&ListenConfig { insecure: true, ..open }, 0).await.is_ok());
    server.end().await;
}

#[tokio::test]
async fn the_log_is_made_more_talkative_for_a_while_and_by_no_page() {
    let server = serve(Policy::allow_all()).await;
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
    for (request, status, words) in [
        ("GET /logging/toggle".to_owned(), 200, "0\n"),
        ("GET /logging/toggle?level=3&duration=1hrs".to_owned(), 405, "POST"),
        ("POST /logging/toggle?level=3&duration=1hrs".to_owned(), 400, "Content-Type"),
        (format!("POST /logging/toggle?level=3&duration=1hrs\n{FORM}\nReferer: http://x"), 415, "pages"),
        (format!("POST /logging/toggle?level=3\n{FORM}"), 400, "Expecting 'duration=value' in query.\n"),
        (format!("POST /logging/toggle?duration=1hrs\n{FORM}"), 400, "Expecting 'level=value' in query.\n"),
        (format!("POST /logging/toggle?level=-1&duration=1hrs\n{FORM}"), 400, "Invalid level '-1'"),
        (format!("POST /logging/toggle?level=1&duration=soon\n{FORM}"), 400, "Invalid duration 'soon'"),
        (format!("POST /logging/toggle?level=9&duration=1hrs\n{FORM}"), 501, "no such level"),
        (format!("POST /logging/toggle?level=3&duration=15mins\n{FORM}"), 200, ""),
        ("GET /logging/toggle".to_owned(), 200, "3\n"),
    ] {
        let (seen, body) = server.ask(&request, "").await;
        assert!(seen == status && body.contains(words), "{request}: {seen} {body}");
    }
    server.end().await;
}

#[tokio::test]
async fn who_has_no_credentials_is_told_so_before_any_route_is_looked_for() {
    use std::os::unix::fs::PermissionsExt;
    let file = std::env::temp_dir().join(format!("chapada-doors-{}", std::process::id()));
    std::fs::write(&file, "ann:secret\n").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("changed");
    let credentials = Credentials::read(&file, "Chapada").expect("usable").open(&["/health"]);
    std::fs::remove_file(&file).expect("removed");
    let admission = Admission { credentials: Some(credentials), origins: Vec::new() };
    let config =
        ListenConfig { ip: "0.0.0.0".parse().expect("an address"), port: Some(0), ..ListenConfig::default() };
    let listener =
        Listener::bind_with(&config, 0, admission).await.expect("credentials are enough off loopback");
    let at = (std::net::Ipv4Addr::LOCALHOST, listener.local_addr().port()).into();
    let stop = CancellationToken::new();
    let routes =
        routes().refusing(|status, why| text(status, format!("so: {why}"))).around(|call, next| async move {
            match call.path.as_str() {
                "/around" => text(StatusCode::OK, call.principal.to_string()),
                _ => next.answer(call).await,
            }
        });
    let task = tokio::spawn(listener.serve(routes, GrpcRoutes::new(), Policy::allow_all(), stop.clone()));
    let server = Server { at, stop, task };
    let (status, body) = server.ask("GET /around", "").await;
    assert_eq!(status, 401, "{body}");
    assert!(body.starts_with("so: "), "{body}");
    let known = "Authorization: Basic YW5uOnNlY3JldA==";
    assert_eq!(server.ask(&format!("GET /around\n{known}"), "").await, (200, "ann".to_owned()));
    assert_eq!(server.ask(&format!("GET /nowhere\n{known}"), "").await.0, 404);
    assert_eq!(server.ask("GET /nowhere\nAuthorization: Basic YW5uOnNlY3JldB==", "").await.0, 401);
    assert_eq!(server.ask("GET /health", "").await.0, 200, "open to all");
    assert_eq!(server.ask("GET /health\nAuthorization: Basic x", "").await.0, 401, "wrong is wrong");
    server.end().await;
}
