//! HTTP over bare sockets, so that nothing repairs what is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use chapada_wire::recordio::Decoder;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

/// No answer and no event takes longer, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);
/// No event is longer.
const MAX_EVENT: usize = 64 * 1024 * 1024;

/// A connection to the master.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: BufReader<TcpStream>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Self {
        Self::try_open(address).expect("the master listens")
    }

    /// Nothing when nobody listens.
    pub(crate) fn try_open(address: &str) -> Option<Self> {
        let socket = TcpStream::connect(address).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        Some(Self { socket: BufReader::new(socket) })
    }

    /// Another handle of the same connection, for a thread that sends while this one reads.
    pub(crate) fn clone_of(other: &Self) -> Self {
        let socket = other.socket.get_ref().try_clone().expect("a second handle");
        Self { socket: BufReader::new(socket) }
    }

    /// Sends bytes; false when the other end takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.get_mut().write_all(bytes).is_ok()
    }

    /// The next line; empty at the end.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        // A reset is an end.
        drop(self.socket.read_until(b'\n', &mut line));
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Status line and headers; nothing when the connection ends first.
    pub(crate) fn head(&mut self) -> Option<(u16, String)> {
        let status = self.line();
        let number = status.split(' ').nth(1)?.parse().ok()?;
        let mut head = status;
        loop {
            let line = self.line();
            if line.is_empty() {
                return Some((number, head));
            }
            head.push('\n');
            head.push_str(&line.to_lowercase());
        }
    }

    /// An answer with a length; nothing when the connection ends first.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let (status, head) = self.head()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.socket.read_exact(&mut body).ok()?;
        Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// One chunk of a stream; nothing at its end.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.socket.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// Whether the other end has ended the connection; waits for it.
    pub(crate) fn ends(&mut self) -> bool {
        self.socket.read_to_end(&mut Vec::new()).is_ok() || self.socket.get_ref().peek(&mut [0]).is_err()
    }

    /// Whether the other end has ended the connection by now; reads nothing of what waits.
    pub(crate) fn has_ended(&self) -> bool {
        let ends = PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut asked = [PollFd::new(self.socket().as_fd(), ends)];
        poll(&mut asked, PollTimeout::ZERO).expect("a socket can be asked");
        asked[0].revents().is_some_and(|found| found.intersects(ends))
    }

    /// Says that no more will be sent.
    pub(crate) fn finish(&mut self) {
        // One that was reset already has nothing to finish.
        drop(self.socket().shutdown(Shutdown::Write));
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}

/// A POST of a body, with these further headers.
pub(crate) fn post(path: &str, content: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content}\r\naccept: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A POST on a connection of its own, and the answer.
pub(crate) fn ask(address: &str, path: &str, content: &str, headers: &str, body: &[u8]) -> Answer {
    let mut connection = Connection::open(address);
    connection.send(&post(path, content, headers, body));
    connection.answer().unwrap_or_else(|| panic!("no answer to {} bytes for {path}", body.len()))
}

/// A subscription to the scheduler API, or to the operator's.
#[derive(Debug)]
pub(crate) struct Stream {
    connection: Connection,
    decoder: Decoder,
    /// `Mesos-Stream-Id`, when there is one.
    pub(crate) id: String,
}

impl Stream {
    /// Sends a SUBSCRIBE. Panics unless a stream begins.
    pub(crate) fn open(address: &str, path: &str, subscribe: &Value) -> Self {
        let mut connection = Connection::open(address);
        connection.send(&post(path, "application/json", "", subscribe.to_string().as_bytes()));
        let (status, head) = connection.head().expect("a stream begins");
        assert_eq!(status, 200, "{head}");
        let id = head.lines().find_map(|line| line.strip_prefix("mesos-stream-id: ")).unwrap_or_default();
        Self { id: id.to_owned(), connection, decoder: Decoder::new(MAX_EVENT) }
    }

    /// The next event; nothing when the stream has ended.
    pub(crate) fn event(&mut self) -> Option<Value> {
        loop {
            if let Some(record) = self.decoder.next_record().expect("a stream of records") {
                return Some(serde_json::from_slice(&record).expect("an event is JSON"));
            }
            let chunk = self.connection.chunk()?;
            self.decoder.push(&chunk);
        }
    }

    /// The next event of this type; panics when the stream ends before.
    pub(crate) fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The socket itself, past what was read of it.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.connection.socket()
    }
}
