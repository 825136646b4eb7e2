//! Recorded HTTP messages.

use std::fs;
use std::path::Path;

use chapada_wire::v1::scheduler::Event;
use chapada_wire::{Json, decode_binary};
use serde_json::Value;

/// A request or a response as it was on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) start: String,
    /// In their order.
    pub(crate) headers: Vec<(String, String)>,
    /// Everything after the blank line, chunk marks included.
    pub(crate) body: Vec<u8>,
}

/// A request and what Mesos answered.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Where it lies below `data/recordings`.
    pub(crate) folder: &'static str,
    /// The files' common name.
    pub(crate) name: String,
    pub(crate) request: Message,
    pub(crate) response: Message,
}

/// All exchanges of a folder below `data/recordings`, in their order.
pub(crate) fn recordings(folder: &'static str) -> Vec<Exchange> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings").join(folder);
    let entries = fs::read_dir(&path).expect("the recordings are part of the repository").flatten();
    let names = entries.filter_map(|entry| {
        entry.file_name().to_str().and_then(|name| name.strip_suffix(".request")).map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    let read = |name: &str, kind: &str| {
        let bytes = fs::read(path.join(format!("{name}.{kind}"))).expect("requests have responses");
        Message::parse(&bytes)
    };
    let exchange = |name: String| Exchange {
        folder,
        request: read(&name, "request"),
        response: read(&name, "response"),
        name,
    };
    names.into_iter().map(exchange).collect()
}

impl Message {
    /// Takes a message apart.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a message has a head");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next().expect("a message has a first line").to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a header is name: value");
            (name.to_owned(), value.trim().to_owned())
        });
        Self { start, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
    }

    /// Of a response.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a response has a status")
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether this is a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        self.header("Transfer-Encoding") == Some("chunked")
    }

    /// The events of a recorded stream, and whether the stream came to its end.
    pub(crate) fn events(&self) -> (Vec<Value>, bool) {
        let mut events = Vec::new();
        let mut rest = self.body.as_slice();
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let size =
                std::str::from_utf8(&rest[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
            let size = size.expect("a chunk begins with its size");
            if size == 0 {
                return (events, true);
            }
            events.push(self.record(&rest[end + 2..end + 2 + size]));
            rest = &rest[end + 2 + size + 2..];
        }
        (events, false)
    }

    /// The event in a chunk of a stream with this head. Published clients need each record in a chunk of its own.
    pub(crate) fn record(&self, chunk: &[u8]) -> Value {
        let shown = String::from_utf8_lossy(chunk);
        let line_end = chunk.iter().position(|byte| *byte == b'\n').expect("a record begins with its length");
        let (length, record) = (&chunk[..line_end], &chunk[line_end + 1..]);
        assert_eq!(length, record.len().to_string().as_bytes(), "a chunk is one record: {shown}");
        let form = match self.header("Content-Type") {
            Some("application/recordio") => self.header("Message-Content-Type"),
            form => form,
        };
        match form {
            Some("application/json") => from_json(record),
            Some("application/x-protobuf") => from_protobuf(record),
            other => panic!("an event is JSON or protobuf, not {other:?}"),
        }
    }
}

/// Published clients need it in ASCII, on one line.
fn from_json(record: &[u8]) -> Value {
    let shown = String::from_utf8_lossy(record);
    assert!(record.is_ascii() && !record.contains(&b'\n'), "a record is ASCII on one line: {shown}");
    serde_json::from_slice(record).expect("a record is JSON")
}

fn from_protobuf(record: &[u8]) -> Value {
    let event: Event = decode_binary(record).expect("a record is an event");
    from_json(&event.to_json())
}
