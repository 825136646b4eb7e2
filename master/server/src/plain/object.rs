//! JSON written straight into the bytes of a body, field by field.

use chapada_wire::{Json, JsonFields};
use serde::Serialize;

/// An object in the making. Keys are names of fields: nothing in them needs an escape.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    has_fields: bool,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, has_fields: false }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// Writes a key; what follows must be one value.
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if std::mem::replace(&mut self.has_fields, true) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn value<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        write(self.key(key), value);
    }

    /// A field that is left out when there is nothing.
    pub(super) fn optional<T: Serialize>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.value(key, &value);
        }
    }

    /// A message of the API, left out when there is none.
    pub(super) fn message<M: JsonFields>(&mut self, key: &str, message: Option<&M>) {
        if let Some(message) = message {
            message.write_json(self.key(key));
        }
    }

    /// A list, each element written by `write`.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(T, &mut Vec<u8>),
    ) {
        let out = self.key(key);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(item, out);
        }
        out.push(b']');
    }
}

/// Appends a value.
pub(super) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // A Vec takes any bytes, and what is written here has only text for keys: this cannot fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}
