//! Connections that send next to nothing.

use crate::raw::Connection;
use crate::victim::Victim;

/// Of each kind.
const CONNECTIONS: usize = 300;

#[test]
fn slow_heads_and_slow_bodies_and_silence() {
    let victim = Victim::start();
    let beginnings: [&[u8]; 5] = [
        b"",
        b"P",
        b"POST /api/v1/scheduler HTTP/1.1\r\nhost: 127.0.0.1\r\nx: y",
        b"POST /api/v1/scheduler HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\n\r\n{",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0",
    ];
    let mut open: Vec<Connection> = Vec::new();
    for beginning in beginnings {
        for _ in 0..CONNECTIONS {
            let mut connection = Connection::open(victim.address());
            assert!(connection.send(beginning), "it is taken");
            open.push(connection);
        }
    }
    victim.is_well("among connections that send next to nothing");
    for connection in &mut open {
        // One more byte each; those that were cut already take none.
        connection.send(b"x");
    }
    victim.is_well("among connections that send a byte now and then");
}

/// A head of a mebibyte, and ten thousand headers.
#[test]
fn heads_that_are_too_large() {
    let victim = Victim::start();
    let long =
        [b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ", &b"y".repeat(1 << 20)[..], b"\r\n\r\n"].concat();
    let many = [b"GET /health HTTP/1.1\r\n", &b"x: y\r\n".repeat(10_000)[..], b"\r\n"].concat();
    for head in [long, many] {
        let mut connection = Connection::open(victim.address());
        connection.send(&head);
        if let Some(answer) = connection.answer() {
            assert_eq!(answer.status, 431, "{}", answer.head);
        }
        assert!(connection.ends(), "the connection is not used again");
    }
    victim.is_well("after heads that are too large");
}
