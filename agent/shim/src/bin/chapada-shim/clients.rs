//! Those who listen to this shim: the agent that started it, and whoever connects later.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use chapada_shim::{Event, Request, descriptors};

/// An agent needs one, and one for each program that it runs in the container beside the command.
const MAX_CLIENTS: usize = 64;
/// A program with its environment; see [`chapada_shim::ExecSpec`].
const MAX_LINE_BYTES: usize = 160 * 1024;

/// Tells one connection from all others, also later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId(u64);

/// The connections of a shim, and where new ones come from.
pub(crate) struct Clients {
    listener: Option<UnixListener>,
    connected: Vec<Client>,
    next: u64,
}

struct Client {
    id: ClientId,
    stream: UnixStream,
    received: Vec<u8>,
    files: Vec<OwnedFd>,
}

/// What one of them wants.
pub(crate) struct Asked {
    pub(crate) by: ClientId,
    pub(crate) request: Request,
    /// The open files that came along.
    pub(crate) files: Vec<OwnedFd>,
}

impl Clients {
    /// Begins with the connection to the agent that started this shim. All of them must be non-blocking.
    pub(crate) fn new(listener: Option<UnixListener>, first: UnixStream) -> Self {
        let mut clients = Self { listener, connected: Vec::new(), next: 0 };
        clients.add(first);
        clients
    }

    fn add(&mut self, stream: UnixStream) {
        let id = ClientId(self.next);
        self.next += 1;
        self.connected.push(Client { id, stream, received: Vec::new(), files: Vec::new() });
    }

    /// What to poll for reading.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let streams = self.connected.iter().map(|client| client.stream.as_fd());
        self.listener.iter().map(AsFd::as_fd).chain(streams).collect()
    }

    /// Takes everything that has come without waiting. New connections are told `standing`.
    pub(crate) fn requests(&mut self, standing: &Event) -> Vec<Asked> {
        let mut requests = Vec::new();
        self.connected.retain_mut(|client| client.read(&mut requests));
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            let usable = stream.set_nonblocking(true).is_ok() && self.connected.len() < MAX_CLIENTS;
            if usable && write(&stream, &line(standing)) {
                self.add(stream);
            }
        }
        requests
    }

    /// Tells everybody. A client that does not read loses its connection, and is told on its next one.
    pub(crate) fn tell(&mut self, event: &Event) {
        let line = line(event);
        self.connected.retain(|client| write(&client.stream, &line));
    }

    /// Tells one, if it is still there.
    pub(crate) fn tell_one(&mut self, id: ClientId, event: &Event) {
        let line = line(event);
        self.connected.retain(|client| client.id != id || write(&client.stream, &line));
    }

    /// Ends a connection.
    pub(crate) fn part_with(&mut self, id: ClientId) {
        self.connected.retain(|client| client.id != id);
    }

    /// Its connection, if it is still there.
    pub(crate) fn stream(&self, id: ClientId) -> Option<&UnixStream> {
        self.connected.iter().find(|client| client.id == id).map(|client| &client.stream)
    }
}

impl Client {
    /// Whether the connection is still of use.
    fn read(&mut self, requests: &mut Vec<Asked>) -> bool {
        let mut chunk = [0; 4096];
        loop {
            match descriptors::receive(&self.stream, &mut chunk, &mut self.files) {
                Ok(0) => return false,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(request) => {
                        let files = std::mem::take(&mut self.files);
                        requests.push(Asked { by: self.id, request, files });
                    }
                    Err(_) => return false,
                }
            }
            if self.received.len() > MAX_LINE_BYTES {
                return false;
            }
        }
    }
}

fn write(mut stream: &UnixStream, line: &[u8]) -> bool {
    std::io::Write::write(&mut stream, line).is_ok_and(|count| count == line.len())
}

/// An event as it is sent.
pub(crate) fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event has only string keys");
    line.push(b'\n');
    line
}
