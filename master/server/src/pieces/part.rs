//! What an answer consists of, one part after the other.

use std::collections::VecDeque;

use chapada_wire::{Json, JsonFields, Media};
use prost::encoding::message;

/// A part of an answer.
pub(crate) enum Part {
    /// As it is.
    Text(Vec<u8>),
    /// Elements of one list, from the books.
    List(List),
    /// A message in protobuf begins, as a field of this number.
    Begin(u32),
    /// The message that began last ends.
    End,
}

/// Writes elements until there are enough bytes, and goes on from there when it is called again.
pub(crate) type Elements = Box<dyn FnMut(&mut Room<'_>) -> Progress + Send + Sync>;

/// A list, and how far it is.
pub(crate) struct List {
    tag: u32,
    has_element: bool,
    elements: Elements,
}

/// Where a list is.
pub(crate) enum Progress {
    /// There are enough bytes.
    Full,
    /// The next element consists of these parts; then the list goes on.
    Inside(Vec<Part>),
    /// It has no more.
    End,
}

/// Room for elements of a list.
pub(crate) struct Room<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    media: Media,
    tag: u32,
    has_element: &'a mut bool,
}

impl Room<'_> {
    /// Whether there are enough bytes.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= self.limit
    }

    /// The next element is written here, as JSON.
    pub(crate) fn json(&mut self) -> &mut Vec<u8> {
        if std::mem::replace(self.has_element, true) {
            self.out.push(b',');
        }
        self.out
    }

    /// The next element, in the form of the answer.
    pub(crate) fn message<M: prost::Message + JsonFields>(&mut self, element: &M) {
        match self.media {
            Media::Json => element.write_json(self.json()),
            Media::Protobuf => message::encode(self.tag, element, self.out),
        }
    }

    /// The next element consists of parts: those that `fill` puts into it.
    pub(crate) fn inside(&mut self, fill: impl FnOnce(&mut Fields)) -> Progress {
        if self.media == Media::Json {
            self.json();
        }
        Progress::Inside(Fields::message(self.media, self.tag, fill))
    }
}

/// Writes elements until there are enough bytes; then the key of the last one, and nothing when there are no more.
pub(crate) fn fill<K, T>(
    room: &mut Room<'_>,
    elements: impl Iterator<Item = (K, T)>,
    mut write: impl FnMut(T, &mut Room<'_>),
) -> Option<K> {
    for (key, element) in elements {
        write(element, room);
        if room.is_full() {
            return Some(key);
        }
    }
    None
}

/// The fields of one message, in the order in which they are written.
pub(crate) struct Fields {
    media: Media,
    parts: Vec<Part>,
    has_fields: bool,
}

impl Fields {
    /// The parts of a whole answer.
    pub(crate) fn whole(media: Media, fill: impl FnOnce(&mut Self)) -> Vec<Part> {
        let mut fields = Self { media, parts: Vec::new(), has_fields: false };
        fields.braces(fill);
        fields.parts
    }

    fn message(media: Media, tag: u32, fill: impl FnOnce(&mut Self)) -> Vec<Part> {
        let mut fields = Self { media, parts: Vec::new(), has_fields: false };
        fields.enclosed(tag, fill);
        fields.parts
    }

    /// Small fields of the message, all that this one has.
    pub(crate) fn small<M: prost::Message + JsonFields>(&mut self, fields: &M) {
        match self.media {
            Media::Protobuf => self.text(&fields.encode_to_vec()),
            Media::Json => {
                let text = fields.to_json();
                let inside = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
                if let Some(inside) = inside.filter(|inside| !inside.is_empty()) {
                    self.comma();
                    self.text(inside);
                }
            }
        }
    }

    /// A message of its own, with the fields that `fill` puts into it.
    pub(crate) fn field(&mut self, name: &str, tag: u32, fill: impl FnOnce(&mut Self)) {
        self.key(name);
        self.enclosed(tag, fill);
        self.has_fields = true;
    }

    /// A list, which in JSON is there also when it is empty.
    pub(crate) fn list(
        &mut self,
        name: &str,
        tag: u32,
        elements: impl FnMut(&mut Room<'_>) -> Progress + Send + Sync + 'static,
    ) {
        self.key(name);
        self.json_text("[");
        self.parts.push(Part::List(List { tag, has_element: false, elements: Box::new(elements) }));
        self.json_text("]");
    }

    /// JSON text for a field of this name; what is appended must be one value.
    pub(crate) fn json(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(name);
        let mut text = Vec::new();
        write(&mut text);
        self.text(&text);
    }

    /// Fields as JSON, with commas between them.
    pub(crate) fn json_fields(&mut self, fields: &[u8]) {
        self.comma();
        self.text(fields);
    }

    fn enclosed(&mut self, tag: u32, fill: impl FnOnce(&mut Self)) {
        if self.media == Media::Protobuf {
            self.parts.push(Part::Begin(tag));
        }
        self.braces(fill);
        if self.media == Media::Protobuf {
            self.parts.push(Part::End);
        }
    }

    fn braces(&mut self, fill: impl FnOnce(&mut Self)) {
        self.json_text("{");
        self.has_fields = false;
        fill(self);
        self.json_text("}");
    }

    fn key(&mut self, name: &str) {
        self.comma();
        self.json_text("\"");
        self.json_text(name);
        self.json_text("\":");
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.has_fields, true) {
            self.json_text(",");
        }
    }

    fn json_text(&mut self, text: &str) {
        if self.media == Media::Json {
            self.text(text.as_bytes());
        }
    }

    fn text(&mut self, text: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Text(before)) => before.extend_from_slice(text),
            _ => self.parts.push(Part::Text(text.to_vec())),
        }
    }
}

/// What is left of an answer.
pub(super) struct Rest {
    media: Media,
    parts: VecDeque<Part>,
}

/// What was done of it.
pub(super) enum Step {
    /// Something was written, perhaps nothing.
    Wrote,
    /// A message begins.
    Begin(u32),
    /// A message has ended.
    End,
    /// Nothing is left.
    Done,
}

impl Rest {
    pub(super) fn new(media: Media, parts: Vec<Part>) -> Self {
        Self { media, parts: parts.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Writes a part, or as much of a list as there is room for.
    pub(super) fn step(&mut self, out: &mut Vec<u8>, limit: usize) -> Step {
        match self.parts.pop_front() {
            None => return Step::Done,
            Some(Part::Begin(tag)) => return Step::Begin(tag),
            Some(Part::End) => return Step::End,
            Some(Part::Text(text)) => out.extend_from_slice(&text),
            Some(Part::List(mut list)) => {
                let List { tag, has_element, elements } = &mut list;
                let progress = elements(&mut Room { out, limit, media: self.media, tag: *tag, has_element });
                match progress {
                    Progress::End => {}
                    Progress::Full => self.parts.push_front(Part::List(list)),
                    Progress::Inside(parts) => {
                        self.parts.push_front(Part::List(list));
                        parts.into_iter().rev().for_each(|part| self.parts.push_front(part));
                    }
                }
            }
        }
        Step::Wrote
    }
}
