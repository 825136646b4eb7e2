//! Each test has one connection whose head never ends: when that one is cut, the time that a head has is over, and the
//! connections beside it must still be of use.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const LIMIT: Duration = Duration::from_millis(60);

/// Answers POST with the length of its body, `/endless` with one chunk and no end, all else with `fine`.
async fn answer(
    request: Request<Incoming>,
) -> Response<http_body_util::combinators::BoxBody<Bytes, Infallible>> {
    if request.uri().path() == "/endless" {
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
        return Response::new(BodyExt::boxed(StreamBody::new(first.chain(futures_util::stream::pending()))));
    }
    if request.uri().path() == "/switch" {
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(async move { echo(TokioIo::new(upgrade.await.expect("it is switched"))).await });
        let answer = Response::builder().status(101).header("upgrade", "echo");
        return answer.body(Full::<Bytes>::default().boxed()).expect("a valid answer");
    }
    let text = match request.method() == http::Method::POST {
        true => {
            format!("{} bytes", request.into_body().collect().await.expect("a whole body").to_bytes().len())
        }
        false => "fine".to_owned(),
    };
    Response::new(Full::from(text).boxed())
}

async fn echo(mut stream: TokioIo<hyper::upgrade::Upgraded>) {
    let mut piece = [0; 16];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        drop(stream.write_all(&piece[..length]).await);
    }
}

fn connect() -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    let progress = Progress::default();
    let timed = TimedHeads::new(server, progress.clone(), LIMIT);
    let service = service_fn(move |request| {
        let answering = progress.answering();
        async move { Ok::<_, Infallible>(answering.until_end_of(answer(request).await)) }
    });
    tokio::spawn(async move {
        let builder = Builder::new(TokioExecutor::new());
        drop(builder.serve_connection_with_upgrades(TokioIo::new(timed), service).await);
    });
    client
}

/// Reads until `end` was read.
async fn read_to(client: &mut DuplexStream, end: &str) -> String {
    let (mut read, mut piece) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&read).contains(end) {
        let length = client.read(&mut piece).await.expect("the connection lasts");
        assert_ne!(length, 0, "it ended after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(read).expect("text")
}

async fn ask(client: &mut DuplexStream) {
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the connection lasts");
    read_to(client, "fine").await;
}

/// Sends a head byte by byte for ever; returns what was answered when it was cut.
async fn dribble() -> String {
    let client = connect();
    let (mut reader, mut writer) = tokio::io::split(client);
    let sending = tokio::spawn(async move {
        let mut sent = writer.write_all(b"GET / HTTP/1.1\r\nx: ").await;
        while sent.is_ok() {
            tokio::time::sleep(LIMIT / 20).await;
            sent = writer.write_all(b"y").await;
        }
    });
    let mut answer = Vec::new();
    drop(reader.read_to_end(&mut answer).await);
    sending.await.expect("the writer was cut too");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_with_408() {
    let answer = dribble().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
}

#[tokio::test]
async fn a_first_line_that_never_ends_is_cut_before_the_protocol_is_known() {
    let mut client = connect();
    client.write_all(b"PRI * HTT").await.expect("it is taken");
    let mut answer = String::new();
    drop(client.read_to_string(&mut answer).await);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_second_head_that_never_ends_is_cut_as_well() {
    let mut client = connect();
    ask(&mut client).await;
    client.write_all(b"GET / HTTP/1.1\r\n").await.expect("it is taken");
    read_to(&mut client, "408").await;
}

#[tokio::test]
async fn an_idle_connection_stays() {
    let mut idle = connect();
    ask(&mut idle).await;
    dribble().await;
    ask(&mut idle).await;
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_peace() {
    let mut client = connect();
    let two = b"GET / HTTP/1.1\r\nhost: x\r\n\r\nPOST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\na";
    client.write_all(two).await.expect("it is taken");
    read_to(&mut client, "fine").await;
    client.write_all(b"b").await.expect("it is taken");
    dribble().await;
    client.write_all(b"cd").await.expect("the body may take its time");
    read_to(&mut client, "4 bytes").await;
}

#[tokio::test]
async fn a_slow_body_and_an_endless_answer_are_none_of_its_business() {
    let (mut body, mut endless) = (connect(), connect());
    body.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na").await.expect("it is taken");
    endless.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is taken");
    read_to(&mut endless, "first").await;
    dribble().await;
    body.write_all(b"b").await.expect("the body may take its time");
    read_to(&mut body, "2 bytes").await;
    let mut piece = [0; 16];
    assert!(endless.read(&mut piece).now_or_never().is_none(), "the endless answer has ended");
}

#[tokio::test]
async fn another_protocol_takes_its_time() {
    let mut client = connect();
    let switch = b"GET /switch HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.write_all(switch).await.expect("it is taken");
    read_to(&mut client, "\r\n\r\n").await;
    client.write_all(b"one").await.expect("it is taken");
    read_to(&mut client, "one").await;
    dribble().await;
    client.write_all(b"two").await.expect("it is taken");
    read_to(&mut client, "two").await;
}

#[tokio::test]
async fn http2_is_left_to_its_pings() {
    // The client's own pings are bytes between requests.
    let mut http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    http2.timer(TokioTimer::new()).keep_alive_interval(LIMIT / 4).keep_alive_while_idle(true);
    let (mut sender, connection) = http2.handshake(TokioIo::new(connect())).await.expect("HTTP/2 is spoken");
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get("http://x/").body(Full::<Bytes>::default()).expect("a valid request");
        let answer = sender.send_request(request).await.expect("it is answered");
        assert_eq!(answer.into_body().collect().await.expect("a whole body").to_bytes(), "fine");
        dribble().await;
        dribble().await;
    }
}
