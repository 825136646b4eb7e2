//! The proxy: only to the address a framework registered, and without what is the caller's own.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::TestMaster;
use crate::support::http::{Connection, ask, get};
use crate::support::stream::{Subscription, subscribe_body};

/// Answers each connection by what its path says, with the request it saw as the body.
async fn framework() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let mut length = 0;
            while !String::from_utf8_lossy(&request[..length]).contains("\r\n\r\n") {
                length += stream.read(&mut request[length..]).await.expect("readable");
            }
            let seen = String::from_utf8_lossy(&request[..length]).into_owned();
            let answer = if seen.contains("/events") {
                // It never ends; a proxy that waits for the end never shows it.
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: first\ndata: {}\n\n"
                    .to_owned()
            } else if seen.contains("/moved") {
                format!(
                    "HTTP/1.1 302 Found\r\nLocation: http://{at}/base/elsewhere\r\nContent-Length: 0\r\n\r\n"
                )
            } else {
                let body = serde_json::to_string(&seen).expect("text");
                format!(
                    "HTTP/1.1 201 Created\r\nSet-Cookie: a=b\r\nX-Own: yes\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
            };
            stream.write_all(answer.as_bytes()).await.expect("written");
            if seen.contains("/events") {
                let _end = stream.read(&mut request).await;
            }
        }
    });
    (at, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_is_reached_through_the_master() {
    let master = TestMaster::start().await;
    let (at, task) = framework().await;
    let url = format!("http://{at}/base/");
    let mut subscription = Subscription::open(master.at, &subscribe_body("paged", Some(&url))).await;
    let mut seen = Vec::new();
    subscription.wait_for("SUBSCRIBED", &mut seen).await;

    let head = "POST /proxy/paged/v2/apps//a%2Fb?force=true HTTP/1.1\nContent-Type: application/json\n\
                Cookie: secret=1\nAuthorization: Basic eA==\nX-Mine: 1\nConnection: X-Hop\nX-Hop: 1";
    let answer = ask(master.at, head, b"{\"id\":1}").await;
    assert_eq!((answer.status, answer.header("x-own")), (201, Some("yes")));
    assert_eq!(answer.header("set-cookie"), None);
    assert!(answer.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")));
    let Value::String(request) = answer.json() else { panic!("the request as text") };
    let request = request.to_ascii_lowercase();
    assert!(request.starts_with("post /base/v2/apps//a%2fb?force=true http/1.1"), "{request}");
    assert!(request.contains("x-mine: 1") && request.contains(&format!("host: {at}")), "{request}");
    for hidden in ["secret", "basic", "x-hop"] {
        assert!(!request.contains(hidden), "{hidden}: {request}");
    }

    let moved = get(master.at, "/proxy/paged/moved").await;
    assert_eq!((moved.status, moved.header("location")), (302, Some("/proxy/paged/elsewhere")));

    let mut events = Connection::open(master.at).await;
    events.send("GET /proxy/paged/events HTTP/1.1", b"").await;
    assert_eq!(events.head().await.header("content-type"), Some("text/event-stream"));
    assert_eq!(events.chunk().await.as_deref(), Some(&b"event: first\ndata: {}\n\n"[..]));

    drop((events, subscription));
    task.abort();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_registered_http_address_is_reached() {
    let master = TestMaster::start().await;
    let mut seen = Vec::new();
    for (name, url) in
        [("none", None), ("file", Some("file:///etc/passwd")), ("user", Some("http://a:b@127.0.0.1:1/"))]
    {
        let mut subscription = Subscription::open(master.at, &subscribe_body(name, url)).await;
        subscription.wait_for("SUBSCRIBED", &mut seen).await;
        let answer = get(master.at, &format!("/proxy/{name}/x")).await;
        assert_eq!(answer.status, 404, "{name}: {}", answer.text());
    }
    let mut gone = Subscription::open(master.at, &subscribe_body("gone", Some("http://127.0.0.1:1"))).await;
    gone.wait_for("SUBSCRIBED", &mut seen).await;
    assert_eq!(get(master.at, "/proxy/gone/x").await.status, 502);
    let (at, task) = framework().await;
    let url = format!("https://{at}/");
    let mut secure = Subscription::open(master.at, &subscribe_body("secure", Some(&url))).await;
    secure.wait_for("SUBSCRIBED", &mut seen).await;
    let answer = get(master.at, "/proxy/secure/x").await;
    assert_eq!(answer.status, 502, "never without TLS");
    assert!(answer.text().contains("give --tls-ca"), "{}", answer.text());
    task.abort();
    master.end().await;
}
