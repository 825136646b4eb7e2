//! Counts the records of a stream as they arrive, without reading what they say.

/// What comes next in the bytes.
#[derive(Clone, Copy)]
enum At {
    /// The head of the answer; how many bytes of its end have come.
    Head(usize),
    ChunkSize(usize),
    /// So many bytes of a chunk are left.
    Chunk(usize),
    ChunkEnd(usize),
}

/// A stream of records in the chunks of an HTTP answer.
pub(crate) struct Records {
    at: At,
    length: usize,
    left: usize,
    /// Records that are whole, but the first and those shorter than any event.
    pub(crate) events: usize,
    /// Whether the first is whole.
    pub(crate) begun: bool,
}

/// A heartbeat is shorter, every event longer.
const SHORTEST_EVENT: usize = 64;
const HEAD_END: &[u8] = b"\r\n\r\n";

impl Records {
    pub(crate) fn new() -> Self {
        Self { at: At::Head(0), length: 0, left: 0, events: 0, begun: false }
    }

    /// Takes bytes as they came in.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.at {
                At::Chunk(left) => {
                    let here = left.min(bytes.len());
                    self.body(&bytes[..here]);
                    bytes = &bytes[here..];
                    self.at = if here == left { At::ChunkEnd(0) } else { At::Chunk(left - here) };
                    continue;
                }
                At::Head(seen) => {
                    let seen = if byte == HEAD_END[seen] { seen + 1 } else { usize::from(byte == b'\r') };
                    self.at = if seen == HEAD_END.len() { At::ChunkSize(0) } else { At::Head(seen) };
                }
                At::ChunkSize(size) => {
                    self.at = match (byte, char::from(byte).to_digit(16)) {
                        (b'\n', _) => At::Chunk(size),
                        (_, Some(digit)) => At::ChunkSize(size * 16 + digit as usize),
                        (_, None) => At::ChunkSize(size),
                    };
                }
                At::ChunkEnd(seen) => self.at = if seen == 1 { At::ChunkSize(0) } else { At::ChunkEnd(1) },
            }
            bytes = rest;
        }
    }

    fn body(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let here = self.left.min(bytes.len());
                self.left -= here;
                bytes = &bytes[here..];
                if self.left == 0 {
                    let length = std::mem::take(&mut self.length);
                    let is_first = !std::mem::replace(&mut self.begun, true);
                    self.events += usize::from(!is_first && length >= SHORTEST_EVENT);
                }
                continue;
            }
            match bytes[0] {
                b'\n' => self.left = self.length,
                digit => self.length = self.length * 10 + usize::from(digit - b'0'),
            }
            bytes = &bytes[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Records;

    #[test]
    fn counts_events_however_the_bytes_are_cut() {
        let event = "x".repeat(70);
        let body = format!("5\nfirst4\nbeat70\n{event}70\n{event}");
        let (one, two) = body.split_at(40);
        let bytes = format!(
            "HTTP/1.1 200 OK\r\na: b\r\n\r\n{:x}\r\n{one}\r\n{:X}\r\n{two}\r\n",
            one.len(),
            two.len()
        );
        for piece in 1..bytes.len() {
            let mut records = Records::new();
            bytes.as_bytes().chunks(piece).for_each(|piece| records.take(piece));
            assert_eq!((records.begun, records.events), (true, 2), "in pieces of {piece}");
        }
    }
}
