//! Requests over a bare socket, so that nothing adds a header or repairs an answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::message::Message;

/// No answer and no event takes longer, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer whose head has been read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The head; its body is empty.
    pub(crate) head: Message,
    socket: BufReader<TcpStream>,
}

/// Sends a request on a connection of its own and reads the answer's head.
pub(crate) fn send(address: &str, request: &Message) -> Answer {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let mut bytes = format!("{}\r\n", request.start).into_bytes();
    for (name, value) in &request.headers {
        let value = if name == "Content-Length" { request.body.len().to_string() } else { value.clone() };
        bytes.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(&request.body);
    socket.write_all(&bytes).expect("the server reads");
    let mut socket = BufReader::new(socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = socket.read_until(b'\n', &mut head).expect("an answer comes");
        assert!(read > 0, "{} was cut off after {:?}", request.start, String::from_utf8_lossy(&head));
    }
    Answer { head: Message::parse(&head), socket }
}

impl Answer {
    /// The rest of an answer that is no stream.
    pub(crate) fn body(mut self) -> Vec<u8> {
        let mut body = Vec::new();
        match self.head.header("Content-Length").and_then(|length| length.parse().ok()) {
            Some(length) => {
                body.resize(length, 0);
                self.socket.read_exact(&mut body).expect("the body comes");
            }
            None => {
                while let Some(chunk) = self.chunk() {
                    body.extend(chunk);
                }
            }
        }
        body
    }

    /// The next event of a stream; none at its end.
    pub(crate) fn event(&mut self) -> Option<Value> {
        self.chunk().map(|chunk| self.head.record(&chunk))
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.socket.read_line(&mut line).expect("a chunk comes");
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk begins with its size");
        let mut chunk = vec![0; size + 2];
        self.socket.read_exact(&mut chunk).expect("a chunk is whole");
        assert!(chunk.ends_with(b"\r\n"), "a chunk has its mark at the end");
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }
}
