//! HTTP as bytes, so that a test sends and sees exactly what is on the wire.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::DEADLINE;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A kept connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(at: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(at).await.expect("the master listens"), buffer: Vec::new() }
    }

    /// Sends a head (without the empty line) and a body; `Host` and `Content-Length` are added when they are missing.
    pub(crate) async fn send(&mut self, head: &str, body: &[u8]) {
        let mut text = head.trim_end().lines().collect::<Vec<_>>().join("\r\n");
        let lower = text.to_ascii_lowercase();
        if !lower.contains("\nhost:") {
            text.push_str("\r\nHost: 127.0.0.1");
        }
        if !body.is_empty() && !lower.contains("\ncontent-length:") && !lower.contains("\ntransfer-encoding:")
        {
            text.push_str(&format!("\r\nContent-Length: {}", body.len()));
        }
        text.push_str("\r\n\r\n");
        self.stream.write_all(text.as_bytes()).await.expect("sent");
        self.stream.write_all(body).await.expect("sent");
    }

    /// Reads the head of an answer.
    pub(crate) async fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.fill().await,
                "closed before an answer: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Answer { status, headers, body: Vec::new() }
    }

    /// Reads a whole answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = tokio::time::timeout(DEADLINE, self.head()).await.expect("an answer in time");
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        } else {
            let length =
                answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
            while self.buffer.len() < length {
                assert!(self.fill().await, "closed inside a body");
            }
            answer.body = self.buffer.drain(..length).collect();
        }
        answer
    }

    /// The next HTTP chunk, `None` at the end of the body.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let read = async {
            loop {
                if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                    let size = std::str::from_utf8(&self.buffer[..end]).expect("text");
                    let size = usize::from_str_radix(size, 16).expect("a chunk size");
                    while self.buffer.len() < end + 2 + size + 2 {
                        if !self.fill().await {
                            return None;
                        }
                    }
                    let chunk: Vec<u8> =
                        self.buffer.drain(..end + 2 + size + 2).skip(end + 2).take(size).collect();
                    return (size > 0).then_some(chunk);
                }
                if !self.fill().await {
                    return None;
                }
            }
        };
        tokio::time::timeout(DEADLINE, read).await.expect("a chunk in time")
    }

    async fn fill(&mut self) -> bool {
        let mut piece = [0; 4096];
        let count = self.stream.read(&mut piece).await.expect("readable");
        self.buffer.extend_from_slice(&piece[..count]);
        count > 0
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(at: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let mut connection = Connection::open(at).await;
    connection.send(head, body).await;
    connection.answer().await
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> Answer {
    ask(at, &format!("GET {path} HTTP/1.1"), b"").await
}

pub(crate) async fn post_json(at: SocketAddr, path: &str, body: &str) -> Answer {
    ask(
        at,
        &format!("POST {path} HTTP/1.1\nContent-Type: application/json\nAccept: application/json"),
        body.as_bytes(),
    )
    .await
}
