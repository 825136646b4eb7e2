//! Bodies that are too deep, too long, or badly framed (CVE-2018-1330, CVE-2018-11793, MESOS-9024).

use crate::raw::{Connection, ask};
use crate::victim::Victim;

const DEPTH: usize = 100_000;
const HUGE: usize = 100 * 1024 * 1024;
const APIS: [&str; 2] = ["/api/v1/scheduler", "/api/v1"];

#[test]
fn cve_2018_11793_json_100_000_levels_deep() {
    let victim = Victim::start();
    let shapes = [
        format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)),
        format!("{}1{}", r#"{"type":"#.repeat(DEPTH), "}".repeat(DEPTH)),
        format!(r#"{{"type":"KILL","unknown":{}}}"#, "[".repeat(DEPTH)),
        format!(r#"{{"subscribe":{}}}"#, r#"{"framework_info":"#.repeat(DEPTH)),
    ];
    for api in APIS {
        for shape in &shapes {
            let answer = ask(victim.address(), api, "application/json", "", shape.as_bytes());
            assert_eq!(answer.status, 400, "{api}: {}", answer.body);
            assert!(answer.body.contains("JSON") && answer.body.contains("line 1"), "{api}: {}", answer.body);
        }
    }
    victim.is_well("after deep JSON");
}

/// Groups and messages within messages, in protobuf.
#[test]
fn protobuf_100_000_levels_deep() {
    let victim = Victim::start();
    let mut nested: Vec<u8> = Vec::new();
    // Field 1 of length so much, within field 1 of length so much: as deep as the length lines allow within the limit.
    for _ in 0..10_000 {
        let mut outer = vec![0x0a];
        let mut length = nested.len();
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend_from_slice(&nested);
        nested = outer;
    }
    for api in APIS {
        for body in [&[0x0b; DEPTH][..], &[0x7b; DEPTH], &nested] {
            let answer = ask(victim.address(), api, "application/x-protobuf", "", body);
            assert_eq!(answer.status, 400, "{api}: {}", answer.body);
            assert!(answer.body.contains("protobuf") || answer.body.contains("Expecting"), "{}", answer.body);
        }
    }
    victim.is_well("after deep protobuf");
}

#[test]
fn bodies_of_100_mb() {
    let victim = Victim::start();
    for api in APIS {
        let mut announced = Connection::open(victim.address());
        announced.send(&head(api, &format!("content-length: {HUGE}\r\n")));
        let sent = megabytes(&mut announced, |_| b"x".repeat(1 << 20));
        let answer = announced.answer();
        assert!(answer.is_some() || sent < 100, "an answer, or the end of the connection, after {sent} MB");
        if let Some(answer) = answer {
            assert_eq!(answer.status, 413, "{}", answer.body);
            assert!(answer.body.contains("8388608 bytes that are allowed"), "{}", answer.body);
        }

        let mut chunked = Connection::open(victim.address());
        chunked.send(&head(api, "transfer-encoding: chunked\r\n"));
        let sent = megabytes(&mut chunked, |_| [b"100000\r\n", &b" ".repeat(1 << 20)[..], b"\r\n"].concat());
        assert!(sent < 100 || chunked.answer().is_some_and(|answer| answer.status == 413));
    }
    victim.is_well("after huge bodies");
}

/// How many of a hundred pieces were taken.
fn megabytes(connection: &mut Connection, piece: impl Fn(usize) -> Vec<u8>) -> usize {
    (0..100).take_while(|number| connection.send(&piece(*number))).count()
}

/// An honest answer names the limit also to a client that waits for it before it sends.
#[test]
fn a_body_that_is_announced_as_too_large_is_refused_before_it_comes() {
    let victim = Victim::start();
    let mut connection = Connection::open(victim.address());
    connection.send(&head(APIS[0], &format!("content-length: {HUGE}\r\nexpect: 100-continue\r\n")));
    let answer = connection.answer().expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert!(answer.body.contains("8388608 bytes that are allowed"), "{}", answer.body);
    victim.is_well("after a refusal");
}

#[test]
fn cve_2018_1330_malformed_json_chunks_and_trailers() {
    let victim = Victim::start();
    for body in
        [&b"{"[..], b"\xff\xfe", b"{\"type\":\"\\ud800\"}", b"{\"type\":1e999}", b"nul", b"\0", b"[]", b""]
    {
        for api in APIS {
            let answer = ask(victim.address(), api, "application/json", "", body);
            assert_eq!(answer.status, 400, "{api} {body:?}: {}", answer.body);
            assert!(!answer.body.is_empty(), "{api} {body:?} is answered with words");
        }
    }
    let chunked = |rest: &[u8]| [head(APIS[0], "transfer-encoding: chunked\r\n"), rest.to_vec()].concat();
    let framings: [Vec<u8>; 8] = [
        chunked(b"2\r\n{}\r\n0\r\nx-trailer: y\r\n\r\n"),
        chunked(&[b"2\r\n{}\r\n0\r\n", &b"x-trailer: y\r\n".repeat(10_000)[..], b"\r\n"].concat()),
        chunked(&[b"2\r\n{}\r\n0\r\nx: ", &b"y".repeat(1 << 20)[..], b"\r\n\r\n"].concat()),
        chunked(b"2\r\n{}\r\n0\r\nno colon\r\n\r\n"),
        chunked(b"ffffffffffffffff\r\n{}"),
        chunked(b"-1\r\n{}\r\n0\r\n\r\n"),
        chunked(&[b"2;", &b"x".repeat(1 << 20)[..], b"\r\n{}\r\n0\r\n\r\n"].concat()),
        [head(APIS[0], "transfer-encoding: chunked\r\ncontent-length: 2\r\n"), b"{}0\r\n\r\n".to_vec()]
            .concat(),
    ];
    for framing in framings {
        let mut connection = Connection::open(victim.address());
        connection.send(&framing);
        connection.finish();
        if let Some(answer) = connection.answer() {
            assert_eq!(answer.status, 400, "{}", answer.head);
        }
    }
    victim.is_well("after bad framing");
}

/// A stack that grows with what waits on a connection overflowed in libprocess.
#[test]
fn ticket_9024_ten_thousand_requests_in_one_go() {
    let victim = Victim::start();
    let mut connection = Connection::open(victim.address());
    let one = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    const REQUESTS: usize = 10_000;
    std::thread::scope(|scope| {
        let mut sender = Connection::clone_of(&connection);
        scope.spawn(move || assert!(sender.send(&one.repeat(REQUESTS)), "all are taken"));
        for number in 0..REQUESTS {
            assert_eq!(connection.answer().map(|answer| answer.status), Some(200), "request {number}");
        }
    });
    victim.is_well("after ten thousand requests");
}

fn head(path: &str, headers: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}\r\n")
        .into_bytes()
}
