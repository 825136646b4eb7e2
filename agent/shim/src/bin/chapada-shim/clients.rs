//! Those who listen to this shim: the agent that started it, and whoever connects later.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use chapada_shim::{Event, Request};

/// An agent needs one; a stale one and an operator's tool may be there too.
const MAX_CLIENTS: usize = 8;
/// A request is tens of bytes.
const MAX_LINE_BYTES: usize = 4096;

/// The connections of a shim, and where new ones come from.
pub(crate) struct Clients {
    listener: Option<UnixListener>,
    connected: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Clients {
    /// Begins with the connection to the agent that started this shim. All of them must be non-blocking.
    pub(crate) fn new(listener: Option<UnixListener>, first: UnixStream) -> Self {
        Self { listener, connected: vec![Client { stream: first, received: Vec::new() }] }
    }

    /// What to poll for reading.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let streams = self.connected.iter().map(|client| client.stream.as_fd());
        self.listener.iter().map(AsFd::as_fd).chain(streams).collect()
    }

    /// Takes everything that has come without waiting. New connections are told `standing`.
    pub(crate) fn requests(&mut self, standing: &Event) -> Vec<Request> {
        let mut requests = Vec::new();
        self.connected.retain_mut(|client| client.read(&mut requests));
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            let mut client = Client { stream, received: Vec::new() };
            let usable = client.stream.set_nonblocking(true).is_ok() && self.connected.len() < MAX_CLIENTS;
            if usable && client.write(&line(standing)) {
                self.connected.push(client);
            }
        }
        requests
    }

    /// Tells everybody. A client that does not read loses its connection, and is told on its next one.
    pub(crate) fn tell(&mut self, event: &Event) {
        let line = line(event);
        self.connected.retain_mut(|client| client.write(&line));
    }
}

impl Client {
    /// Whether the connection is still of use.
    fn read(&mut self, requests: &mut Vec<Request>) -> bool {
        let mut chunk = [0; 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(request) => requests.push(request),
                    Err(_) => return false,
                }
            }
            if self.received.len() > MAX_LINE_BYTES {
                return false;
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> bool {
        self.stream.write(line).is_ok_and(|count| count == line.len())
    }
}

fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event has only string keys");
    line.push(b'\n');
    line
}
