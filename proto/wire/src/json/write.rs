//! Writing: straight into the body's bytes, nothing built in between.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::MapAccess;

use super::read::Value;
use super::scalar::Scalar;
use super::{Enumeration, JsonFields, Path};

/// Writes a message with its braces.
pub(super) fn message<T: JsonFields>(message: &T, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut object = Object { first: true, out };
    message.write_fields(&mut object);
    out.push(b'}');
}

/// A number in the shortest form that reads back the same.
pub(super) fn display<T: Serialize>(number: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, number).expect("a number has a JSON form and a Vec takes any bytes");
}

/// A string in quotes, all of it ASCII.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let plain = rest.bytes().position(needs_escape).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(plain);
        out.extend_from_slice(head.as_bytes());
        let mut chars = tail.chars();
        let Some(next) = chars.next() else { break };
        escape(next, out);
        rest = chars.as_str();
    }
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\'
}

fn escape(character: char, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(HEX[usize::from(*unit >> shift & 0xf)]);
                }
            }
        }
    }
}

/// The fields of one object. Keys come with their quotes and colon.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn key(&mut self, key: &'static str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(key.as_bytes());
    }

    fn list<T>(&mut self, values: impl Iterator<Item = T>, write: impl Fn(T, &mut Vec<u8>)) {
        self.out.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write(value, self.out);
        }
        self.out.push(b']');
    }

    pub(crate) fn message<T: JsonFields>(&mut self, key: &'static str, value: Option<&T>) {
        if let Some(value) = value {
            self.key(key);
            message(value, self.out);
        }
    }

    pub(crate) fn messages<T: JsonFields>(&mut self, key: &'static str, values: &[T], always: bool) {
        if always || !values.is_empty() {
            self.key(key);
            self.list(values.iter(), message);
        }
    }

    pub(crate) fn scalar<S: Scalar>(
        &mut self,
        key: &'static str,
        value: Option<&S>,
        default: Option<&'static str>,
    ) {
        if let Some(value) = value {
            self.key(key);
            value.write(self.out);
        } else {
            self.default(key, default);
        }
    }

    pub(crate) fn scalars<S: Scalar>(&mut self, key: &'static str, values: &[S], always: bool) {
        if always || !values.is_empty() {
            self.key(key);
            self.list(values.iter(), Scalar::write);
        }
    }

    /// A number that is no value of the enum counts as unset.
    pub(crate) fn enumeration<E: Enumeration>(
        &mut self,
        key: &'static str,
        value: Option<i32>,
        default: Option<&'static str>,
    ) {
        if let Some(name) = value.and_then(E::name_of) {
            self.key(key);
            enum_name(name, self.out);
        } else {
            self.default(key, default);
        }
    }

    pub(crate) fn enumerations<E: Enumeration>(&mut self, key: &'static str, values: &[i32]) {
        if !values.is_empty() {
            self.key(key);
            self.list(values.iter().filter_map(|value| E::name_of(*value)), enum_name);
        }
    }

    pub(crate) fn map<V: MapValue>(&mut self, key: &'static str, values: &BTreeMap<String, V>) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        self.out.push(b'{');
        for (index, (name, value)) in values.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            string(name, self.out);
            self.out.push(b':');
            value.write_value(self.out);
        }
        self.out.push(b'}');
    }

    fn default(&mut self, key: &'static str, default: Option<&'static str>) {
        if let Some(default) = default {
            self.key(key);
            self.out.extend_from_slice(default.as_bytes());
        }
    }
}

fn enum_name(name: &'static str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
}

/// What a map field may hold.
pub(crate) trait MapValue: Sized {
    /// Nothing for `null`.
    fn read_value<'de, A: MapAccess<'de>>(value: Value<'_, A>) -> Result<Option<Self>, A::Error>;
    fn write_value(&self, out: &mut Vec<u8>);
    fn is_value_complete(&self, at: &mut Path) -> bool;
}

impl MapValue for String {
    fn read_value<'de, A: MapAccess<'de>>(value: Value<'_, A>) -> Result<Option<Self>, A::Error> {
        let mut read = None;
        value.scalar_here(&mut read)?;
        Ok(read)
    }

    fn write_value(&self, out: &mut Vec<u8>) {
        string(self, out);
    }

    fn is_value_complete(&self, _: &mut Path) -> bool {
        true
    }
}

impl<T: JsonFields> MapValue for T {
    fn read_value<'de, A: MapAccess<'de>>(value: Value<'_, A>) -> Result<Option<Self>, A::Error> {
        let mut read = None;
        value.message_here(&mut read)?;
        Ok(read)
    }

    fn write_value(&self, out: &mut Vec<u8>) {
        message(self, out);
    }

    fn is_value_complete(&self, at: &mut Path) -> bool {
        self.is_complete(at)
    }
}
