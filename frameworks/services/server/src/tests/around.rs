//! What stands around every call: who leads, headers, compression, limits.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use chapada_listener::{GrpcRoutes, ListenConfig, Listener, Policy, Routes};
use chapada_tls::{Dialer, TlsConfig, TlsFiles};
use futures_util::FutureExt;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use crate::config::ServicesConfig;
use crate::standing::Standing;

async fn following(leader: &str) -> Cluster {
    let cluster = Cluster::start().await;
    cluster.turn.set(Standing::Following(leader.to_owned()));
    cluster
}

#[tokio::test]
async fn who_waits_for_its_turn_asks_the_leader() {
    let leader = Cluster::start().await;
    let standby = following(&format!("http://{}", leader.address)).await;
    let body = json!({"id": "/a", "cmd": "sleep 100", "mem": 32});
    let made = standby.post("/v2//apps", &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("location"), "/v2/apps/a");
    assert_eq!(made.header("x-marathon-leader"), format!("http://{}", leader.address));
    assert_eq!(made.header("x-marathon-via"), format!("1.1 {}", standby.address));
    assert_eq!(leader.get("/v2/apps/a").await.status, 200);
    assert_eq!(standby.get("/v2/apps/a?embed=app.counts").await.json()["app"]["id"], "/a");
    assert_eq!(standby.send(Method::POST, "/v2/apps", "{").await.status, 400);
    assert_eq!(standby.get("/v2/apps/b").await.status, 404);
    let stream = standby.get("/v2/events?event_type=x").await;
    assert_eq!(
        (stream.status.as_u16(), stream.header("location").to_owned()),
        (302, format!("http://{}/v2/events?event_type=x", leader.address))
    );
    for own in ["/ping", "/metrics", "/metrics/prometheus", "/status", "/logging", "/help"] {
        let answer = standby.get(own).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-marathon-via")), (200, ""), "{own}");
    }
    assert_eq!(standby.get("/status").await.json()["leading"], false);
}

#[tokio::test]
async fn a_request_that_comes_back_ends() {
    let (one, two) = (Cluster::start().await, Cluster::start().await);
    one.turn.set(Standing::Following(format!("http://{}", two.address)));
    two.turn.set(Standing::Following(format!("http://{}", one.address)));
    let answer = one.get("/v2/apps").await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert!(answer.json()["message"].is_string());
    let via: Vec<_> = answer.headers.get_all("x-marathon-via").iter().collect();
    assert_eq!(via.len(), 3, "{via:?}");
}

#[tokio::test]
async fn a_leader_that_is_gone_or_silent_or_nobody_is_told_apart() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = gone.local_addr().expect("bound");
    drop(gone);
    let answer = following(&format!("http://{address}")).await.get("/v2/apps").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text.contains("Connection refused"), "{}", answer.text);
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound");
    let config = ServicesConfig {
        leader_proxy_read_timeout: std::time::Duration::from_millis(50),
        ..ServicesConfig::default()
    };
    let standby = Cluster::with_config(config).await;
    standby.turn.set(Standing::Following(format!("http://{address}")));
    assert_eq!(standby.get("/v2/apps").await.status, 504);
    standby.turn.set(Standing::Unknown);
    let nobody = standby.get("/v2/apps").await;
    assert_eq!((nobody.status.as_u16(), nobody.header("x-marathon-leader")), (502, ""));
}

#[tokio::test]
async fn a_leader_that_takes_only_callers_with_a_certificate_is_heard() {
    let folder = std::env::temp_dir().join(format!("chapada-around-{}", uuid::Uuid::new_v4()));
    fs::create_dir_all(&folder).expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("our own file");
    let tls = TlsConfig {
        tls_cert: Some(cert.clone()),
        tls_key: Some(key),
        tls_ca: Some(cert.clone()),
        tls_require_client_cert: true,
        ..TlsConfig::default()
    };
    let config = ListenConfig { port: Some(0), tls, ..ListenConfig::default() };
    let leader = Listener::bind(&config, 0).await.expect("loopback");
    let (address, stop) = (leader.local_addr(), CancellationToken::new());
    tokio::spawn(leader.serve(Routes::new(), GrpcRoutes::default(), Policy::allow_all(), stop.clone()));
    let _ends = stop.drop_guard();
    let believes = TlsFiles { tls_ca: Some(cert), ..TlsFiles::default() };
    let standby = Cluster::dialling(&Dialer::with(&believes).expect("good files")).await;
    standby.turn.set(Standing::Following(format!("https://{address}")));
    let answer = standby.get("/v2/apps").await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert!(answer.text.contains("takes only callers with a certificate"), "{}", answer.text);
    fs::remove_dir_all(folder).expect("our own folder");
}

#[tokio::test]
async fn the_body_and_the_caller_reach_the_leader() {
    let leader = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let standby = following(&format!("http://{}", leader.local_addr().expect("bound"))).await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = leader.accept().await.expect("a connection");
        let mut text = String::new();
        let mut buffer = [0; 4_096];
        while !text.ends_with("{\"instances\":1}") {
            let count = stream.read(&mut buffer).await.expect("readable");
            text.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
        }
        stream.write_all(b"HTTP/1.1 299 Odd\r\nx-own: 1\r\ncontent-length: 2\r\n\r\nok").await.expect("sent");
        text
    });
    let answer = standby.put("/v2/apps/a?force=true", &json!({"instances": 1})).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-own"), answer.text.as_str()), (299, "1", "ok"));
    let text = serving.await.expect("served").to_ascii_lowercase();
    assert!(text.starts_with("put /v2/apps/a?force=true http/1.1\r\n"), "{text}");
    for header in [
        "x-forwarded-for: 127.0.0.1",
        "x-marathon-via: 1.1 ",
        "content-type: application/json",
        "content-length: 15",
    ] {
        assert!(text.contains(header), "no {header} in {text}");
    }
}

#[tokio::test]
async fn every_answer_has_marathons_headers_and_every_refusal_its_body() {
    let cluster = Cluster::start().await;
    let cases = [
        (Method::GET, "/v2/apps", 200),
        (Method::GET, "/v2/apps/", 200),
        (Method::GET, "//v2//apps//", 200),
        (Method::GET, "/nowhere", 404),
        (Method::PATCH, "/nowhere", 404),
        (Method::PATCH, "/v2/tasks", 405),
        (Method::DELETE, "/v2/info", 405),
        (Method::GET, "/v2/apps/%FF", 404),
        (Method::OPTIONS, "/v2/apps", 200),
        (Method::GET, "/", 302),
        (Method::GET, "/ui/", 302),
        (Method::GET, "/help", 200),
    ];
    for (method, path, status) in cases {
        let answer = cluster.ask(method.clone(), path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path} {}", answer.text);
        for header in
            ["x-marathon-leader", "x-frame-options", "x-xss-protection", "cache-control", "pragma", "expires"]
        {
            assert_ne!(answer.header(header), "", "{header} of {method} {path}");
        }
        if status >= 400 {
            assert_eq!(answer.header("content-type"), "application/json", "{method} {path}");
            assert!(answer.json()["message"].is_string(), "{}", answer.text);
        }
    }
    let allow = cluster.ask(Method::OPTIONS, "/v2/tasks", &[], "").await;
    assert_eq!(allow.header("allow"), "GET, HEAD, OPTIONS");
    let head = cluster.ask(Method::HEAD, "/v2/apps", &[], "").await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_asks() {
    let cluster = Cluster::without_offers().await;
    let app = json!({"id": "/a", "cmd": "sleep 1", "labels": {"LONG": "x".repeat(60_000)}});
    let made = cluster.post("/v2/apps", &app).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let plain = cluster.get("/v2/apps").await;
    assert_eq!(plain.header("content-encoding"), "");
    let (headers, bytes) = cluster.raw("/v2/apps", &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(header(&headers, "content-encoding"), "gzip");
    assert!(bytes.len() < 10_000, "{} bytes", bytes.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_ref()).read_to_string(&mut text).expect("gzip");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), plain.json());
    let (headers, _) = cluster.raw("/ping", &[("accept-encoding", "gzip")]).await;
    assert_eq!(header(&headers, "content-encoding"), "", "what is small is not");
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map_or(String::new(), |value| value.to_str().expect("text").to_owned())
}

#[tokio::test]
async fn pages_of_named_origins_may_read() {
    let config = ServicesConfig {
        access_control_allow_origin: vec!["http://board.example".to_owned()],
        ..ServicesConfig::default()
    };
    let cluster = Cluster::with_config(config).await;
    let page = ("origin", "http://board.example");
    let read = cluster.ask(Method::GET, "/v2/apps", &[page], "").await;
    assert_eq!(
        (read.status.as_u16(), read.header("access-control-allow-origin")),
        (200, "http://board.example")
    );
    let asked = [page, ("access-control-request-headers", "x-one")];
    let preflight = cluster.ask(Method::OPTIONS, "/v2/apps", &asked, "").await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert_eq!(preflight.header("access-control-allow-headers"), "x-one");
    assert_eq!(preflight.header("access-control-max-age"), "86400");
    let evil = [("origin", "http://evil.example")];
    let refused = cluster.ask(Method::GET, "/v2/apps", &evil, "").await;
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (403, ""));
    let json = ("content-type", "application/json");
    assert_eq!(cluster.ask(Method::POST, "/v2/apps", &[page, json], "{}").await.status, 403);
}

#[tokio::test]
async fn only_so_many_requests_are_answered_at_once() {
    let config = ServicesConfig { http_max_concurrent_requests: Some(1), ..ServicesConfig::default() };
    let cluster = Cluster::with_config(config).await;
    let mut slow = tokio::net::TcpStream::connect(cluster.address).await.expect("a connection");
    let head = "POST /v2/apps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    slow.write_all(head.as_bytes()).await.expect("sent");
    let mut busy = cluster.get("/ping").await;
    while busy.status == 200 {
        busy = cluster.get("/ping").await;
    }
    assert_eq!(busy.status, 503);
    drop(slow);
    while busy.status == 503 {
        busy = cluster.get("/ping").await;
    }
    assert_eq!(busy.status, 200);
}

/// More than what needs no turn.
const LARGE: usize = 1 << 20;

/// A place is held until the answer: held up by nobody who asks for little, and free again for the next.
#[tokio::test]
async fn large_bodies_take_turns() {
    let cluster = Cluster::start().await;
    let large = json!({"id": "/a", "cmd": "x".repeat(LARGE), "nonsense": 1});
    for _ in 0..30 {
        assert_eq!(cluster.post("/v2/apps", &large).await.status, 422, "each leaves its place");
    }
    let mut held = Vec::new();
    let full = loop {
        let call = cluster.bodies.of_call();
        match call.take_turn(LARGE).now_or_never() {
            Some(taken) => taken.expect("there is room"),
            None => break held.len(),
        }
        held.push(call);
    };
    assert_eq!(full, 2, "all places are free again");
    let calls: Vec<_> = (0..20).map(|_| cluster.bodies.of_call()).collect();
    let mut waiting: Vec<_> = calls.iter().map(|call| Box::pin(call.take_turn(LARGE))).collect();
    waiting.retain_mut(|one| one.now_or_never().is_none());
    let answer = cluster.post("/v2/apps", &large).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(cluster.post("/v2/apps", &json!({"id": "/a", "nonsense": 1})).await.status, 422);
    drop((waiting, held));
    assert_eq!(cluster.post("/v2/apps", &large).await.status, 422);
}

#[tokio::test]
async fn the_level_of_the_log_is_changed_for_a_while() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.get("/logging").await.json(), json!({"ROOT": "INFO"}));
    let change = json!({"logger": "ROOT", "level": "debug", "durationSeconds": 60});
    assert_eq!(cluster.post("/logging", &change).await.json(), json!({"ROOT": "DEBUG"}));
    assert_eq!(cluster.post("/logging", &json!({"logger": "x", "level": "debug"})).await.status, 422);
    assert_eq!(cluster.post("/logging", &json!({"logger": "ROOT", "level": "loud"})).await.status, 422);
}

#[tokio::test]
async fn pongs_come_in_the_form_that_is_asked_for() {
    let cluster = Cluster::start().await;
    for (accept, status, text) in [
        ("*/*", 200, "pong"),
        ("text/plain", 200, "pong"),
        ("application/json", 200, "\"pong\""),
        ("image/png", 204, ""),
    ] {
        let answer = cluster.ask(Method::GET, "/ping", &[("accept", accept)], "").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, text), "{accept}");
    }
}
