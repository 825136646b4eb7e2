//! What costs its sender next to nothing costs the server no more: streams that are opened and reset at once (CVE-2023-44487),
//! bodies that would unpack to far more than they are, and bodies that are begun and not ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chapada_listener::{
    Action, Call, DEFAULT_MAX_BODY, GrpcRoutes, ListenConfig, Listener, Policy, Routes, text,
};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

/// Far more than a server need put up with.
const STREAMS: u32 = 200_000;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Source: RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

async fn serve() -> (SocketAddr, CancellationToken) {
    let routes = Routes::new()
        .get("/health", Action::ViewHealth, |_call: Call| async { text(StatusCode::OK, "fine") })
        .post("/things", Action::OperateCluster, |call: Call| async move {
            match call.read_body().await {
                Ok(body) => text(StatusCode::OK, format!("{} bytes", body.len())),
                Err(error) => error.into_response(),
            }
        });
    let config = ListenConfig { port: Some(0), ..ListenConfig::default() };
    let listener = Listener::bind(&config, 5050).await.expect("a free port");
    let (at, stop) = (listener.local_addr(), CancellationToken::new());
    tokio::spawn(listener.serve(routes, GrpcRoutes::new(), Policy::allow_all(), stop.clone()));
    (at, stop)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The kind and payload of the next frame; nothing at the end.
async fn next(from: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    from.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
    from.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

/// `GET /health` in HPACK, without touching the table.
fn head() -> Vec<u8> {
    let mut head = vec![0x82, 0x86, 0x04, 7];
    head.extend(b"/health");
    head.extend([0x01, 9]);
    head.extend(b"localhost");
    head
}

async fn asked(at: SocketAddr, request: &[u8]) -> String {
    let asking = async {
        let mut other = TcpStream::connect(at).await.expect("it listens");
        other.write_all(request).await.expect("sent");
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    tokio::time::timeout(DEADLINE, asking).await.expect("it answers")
}

#[tokio::test]
async fn who_opens_streams_only_to_reset_them_is_cut_and_others_are_answered() {
    let (at, stop) = serve().await;
    let mut flood = TcpStream::connect(at).await.expect("it listens");
    flood.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    flood.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("sent");
    let head = head();
    // One that is meant is answered.
    flood.write_all(&frame(HEADERS, 0x5, 1, &head)).await.expect("sent");
    while next(&mut flood).await.expect("an answer").0 != HEADERS {}
    let (mut reading, mut writing) = flood.split();
    let sent = async {
        for number in 0..STREAMS {
            let stream = 2 * number + 3;
            let mut both = frame(HEADERS, 0x5, stream, &head);
            both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            if writing.write_all(&both).await.is_err() {
                return number;
            }
        }
        STREAMS
    };
    let read = async {
        let mut said = None;
        while let Some((kind, payload)) = next(&mut reading).await {
            if kind == GOAWAY {
                said = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("four bytes")));
            }
        }
        said
    };
    let health = asked(at, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let flooding = async { tokio::join!(sent, read) };
    let (flooded, health) = tokio::join!(tokio::time::timeout(DEADLINE, flooding), health);
    let (sent, said) = flooded.expect("the connection ends");
    assert!(sent < STREAMS, "all of them were taken");
    assert!(said.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{said:?}");
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("fine"), "{health}");
    stop.cancel();
}

/// Nothing here unpacks a body, so none can be larger than it came: the handler sees the bytes that were sent.
#[tokio::test]
async fn a_body_that_says_it_is_packed_is_not_unpacked() {
    let (at, stop) = serve().await;
    // A mebibyte of zeros, as gzip has it, would begin so; what follows does not matter to whoever does not look.
    let body = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 1, 1, 0];
    let mut request = format!(
        "POST /things HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    let answer = asked(at, &request).await;
    let is_refused = answer.starts_with("HTTP/1.1 415");
    assert!(is_refused || answer.ends_with(&format!("\r\n{} bytes", body.len())), "{answer}");
    stop.cancel();
}

/// A connection from an address of this machine.
async fn connect_from(last: u8, at: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).expect("all of 127 is this machine");
    socket.connect(at).await.expect("it listens")
}

fn upload(length: usize) -> String {
    format!(
        "POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Sends a whole body and gives the status of the answer; what it said stays to be read away by its length.
async fn send(connection: &mut TcpStream, length: usize) -> String {
    let sending = async {
        connection.write_all(upload(length).as_bytes()).await.expect("sent");
        connection.write_all(&vec![b'x'; length]).await.expect("the body is read to its end");
        answer(connection).await
    };
    tokio::time::timeout(DEADLINE, sending).await.expect("it answers")
}

/// One answer with its body.
async fn answer(connection: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let head = text.find("\r\n\r\n").map(|end| end + 4);
        let length =
            text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
        if head.is_some_and(|head| read.len() == head + length.unwrap_or(0)) {
            return text;
        }
        read.push(connection.read_u8().await.expect("an answer"));
    }
}

#[tokio::test]
async fn one_address_with_bodies_that_do_not_end_is_refused_in_words_and_others_are_served() {
    let (at, stop) = serve().await;
    let largest = usize::try_from(DEFAULT_MAX_BODY).expect("small");
    // A quarter of the 256 MiB that all may have.
    let mut unfinished = Vec::new();
    for _ in 0..64 * 1024 * 1024 / largest {
        let mut connection = connect_from(2, at).await;
        connection.write_all(upload(largest).as_bytes()).await.expect("sent");
        connection.write_all(&vec![b'x'; largest - 1]).await.expect("sent");
        unfinished.push(connection);
    }
    // What is on its way is there at some time.
    let mut same = connect_from(2, at).await;
    let filled = async { while !send(&mut same, 100).await.starts_with("http/1.1 503") {} };
    tokio::time::timeout(DEADLINE, filled).await.expect("its part is taken");
    // It is in the middle of this one when it is refused, and goes on with the same connection.
    let refused = send(&mut same, 2 * 1024 * 1024).await;
    assert!(refused.starts_with("http/1.1 503") && refused.contains("too much is being sent"), "{refused}");
    same.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    assert!(answer(&mut same).await.ends_with("fine"));
    let other = send(&mut connect_from(3, at).await, 2 * 1024 * 1024).await;
    assert!(other.starts_with("http/1.1 200") && other.ends_with("2097152 bytes"), "{other}");
    stop.cancel();
}
