//! JSON written straight into the bytes of a body, field by field.

use chapada_model::Milli;
use serde::Serialize;

/// An object in the making. Keys are names of fields: nothing in them needs an escape.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    has_fields: bool,
}

impl<'a> Object<'a> {
    /// One that begins with these fields.
    pub(super) fn open_with(out: &'a mut Vec<u8>, fields: &[u8]) -> Self {
        out.push(b'{');
        out.extend_from_slice(fields);
        Self { out, has_fields: !fields.is_empty() }
    }

    /// Goes on with the fields of an object whose braces others write.
    pub(super) fn fields(out: &'a mut Vec<u8>) -> Self {
        let has_fields = !out.is_empty();
        Self { out, has_fields }
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

    /// A list, each element written by `write`.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(T, &mut Vec<u8>),
    ) {
        list(self.key(key), items, write);
    }
}

/// Appends a list, each element written by `write`.
pub(super) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Appends a text. Most have nothing that needs an escape.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |found, byte| found | special(byte)) {
        return write(out, text);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Where a thousandth of a number has more digits than a float tells apart.
const MOST_EXACT: u64 = 1_000_000_000_000_000;

/// Appends a quantity as the float that the API shows, without making one of it.
pub(super) fn quantity(out: &mut Vec<u8>, amount: Milli) {
    if amount.0 >= MOST_EXACT {
        return write(out, &amount.to_f64());
    }
    write(out, &(amount.0 / 1_000));
    let thousandths = amount.0 % 1_000;
    out.push(b'.');
    let digits = [thousandths / 100, thousandths / 10 % 10, thousandths % 10];
    let count = digits.iter().rposition(|digit| *digit > 0).map_or(1, |last| last + 1);
    out.extend(digits[..count].iter().map(|digit| b"0123456789"[*digit as usize]));
}

/// Appends a value.
pub(super) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // A Vec takes any bytes, and what is written here has only text for keys: this cannot fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_and_texts_are_what_serde_writes() {
        for thousandths in (0..5_000).chain([31_999_999, MOST_EXACT - 1, MOST_EXACT, 1 << 53, u64::MAX]) {
            let (mut ours, amount) = (Vec::new(), Milli(thousandths));
            quantity(&mut ours, amount);
            assert_eq!(String::from_utf8(ours).unwrap(), serde_json::to_string(&amount.to_f64()).unwrap());
        }
        for one in ["", "plain", "a \"quoted\" one", "back\\slash", "new\nline", "größer", "\u{7f}"] {
            let mut ours = Vec::new();
            text(&mut ours, one);
            assert_eq!(String::from_utf8(ours).unwrap(), serde_json::to_string(one).unwrap());
        }
    }
}
