//! What each kind of field makes of a JSON value, as visitors for the deserializer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::read::Value;
use super::scalar::Scalar;
use super::write::MapValue;
use super::{JsonFields, Path};

/// A field name: borrowed from the body unless it is written with escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Reads an object into a message; `null` leaves it unset.
pub(super) struct MessageInto<'a, T> {
    pub(super) into: &'a mut Option<T>,
    pub(super) path: &'a mut Path,
}

impl<'de, T: JsonFields> DeserializeSeed<'de> for MessageInto<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: JsonFields> Visitor<'de> for MessageInto<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        read_fields(self.into.get_or_insert_with(T::default), map, self.path)
    }
}

fn read_fields<'de, T: JsonFields, A: MapAccess<'de>>(
    message: &mut T,
    mut map: A,
    path: &mut Path,
) -> Result<(), A::Error> {
    while let Some(name) = map.next_key_seed(Key)? {
        message.read_field(&name, Value::new(&mut map, path))?;
    }
    Ok(())
}

/// Reads a list of objects, or a lone object as a list of one. A `null` in the list is skipped.
pub(super) struct MessagesInto<'a, T> {
    pub(super) into: &'a mut Vec<T>,
    pub(super) path: &'a mut Path,
}

impl<'de, T: JsonFields> DeserializeSeed<'de> for MessagesInto<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: JsonFields> Visitor<'de> for MessagesInto<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let mut message = T::default();
        self.path.enter_index(self.into.len());
        read_fields(&mut message, map, self.path)?;
        self.path.leave();
        self.into.push(message);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        loop {
            let mut message = None;
            self.path.enter_index(self.into.len());
            let more =
                elements.next_element_seed(MessageInto { into: &mut message, path: self.path })?.is_some();
            self.path.leave();
            self.into.extend(message);
            if !more {
                return Ok(());
            }
        }
    }
}

/// Reads a scalar; `null` leaves it unset.
pub(super) struct ScalarInto<'a, S>(pub(super) &'a mut Option<S>);

impl<'de, S: Scalar> DeserializeSeed<'de> for ScalarInto<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<S: Scalar> ScalarInto<'_, S> {
    fn take<E: Error>(self, read: Option<S>, found: Unexpected<'_>) -> Result<(), E> {
        *self.0 = Some(read.ok_or_else(|| E::invalid_value(found, &S::EXPECTED))?);
        Ok(())
    }
}

impl<'de, S: Scalar> Visitor<'de> for ScalarInto<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.take(S::from_bool(value), Unexpected::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.take(S::from_unsigned(value), Unexpected::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.take(S::from_signed(value), Unexpected::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.take(S::from_float(value), Unexpected::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let read = S::from_text(value);
        self.take(read, Unexpected::Str(value))
    }
}

/// Reads a list of scalars, or a lone scalar as a list of one. A `null` in the list is skipped.
pub(super) struct ScalarsInto<'a, S> {
    pub(super) into: &'a mut Vec<S>,
    pub(super) path: &'a mut Path,
}

impl<'de, S: Scalar> DeserializeSeed<'de> for ScalarsInto<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<S: Scalar> ScalarsInto<'_, S> {
    fn lone<E>(self, visit: impl FnOnce(ScalarInto<'_, S>) -> Result<(), E>) -> Result<(), E> {
        let mut read = None;
        visit(ScalarInto(&mut read))?;
        self.into.extend(read);
        Ok(())
    }
}

impl<'de, S: Scalar> Visitor<'de> for ScalarsInto<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each of it {}", S::EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.lone(|one| one.visit_bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.lone(|one| one.visit_u64(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.lone(|one| one.visit_i64(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.lone(|one| one.visit_f64(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.lone(|one| one.visit_str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        loop {
            let mut read = None;
            self.path.enter_index(self.into.len());
            let more = elements.next_element_seed(ScalarInto(&mut read))?.is_some();
            self.path.leave();
            self.into.extend(read);
            if !more {
                return Ok(());
            }
        }
    }
}

/// Reads an object into a map; a `null` in it is skipped.
pub(super) struct MapInto<'a, V> {
    pub(super) into: &'a mut BTreeMap<String, V>,
    pub(super) path: &'a mut Path,
}

impl<'de, V: MapValue> DeserializeSeed<'de> for MapInto<'_, V> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, V: MapValue> Visitor<'de> for MapInto<'_, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            self.path.enter_key(&key);
            if let Some(value) = V::read_value(Value::new(&mut map, self.path))? {
                self.into.insert(key.into_owned(), value);
            }
            self.path.leave();
        }
        Ok(())
    }
}
