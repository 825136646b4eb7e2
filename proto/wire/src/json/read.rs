//! Reading, on the deserializer of `serde_json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::scalar::Scalar;
use super::write::MapValue;
use super::{Enumeration, JsonFields, Path};
use crate::decode::DecodeError;

/// Reads a whole body.
pub(super) fn message<T: JsonFields>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut path = Path::default();
    let mut message = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    MessageInto { into: &mut message, path: &mut path }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| DecodeError::Json { path: path.to_string(), problem: error.to_string() })?;
    message.ok_or_else(|| DecodeError::Json {
        path: String::new(),
        problem: "expected an object, found null".to_owned(),
    })
}

/// The value of one field, not read yet.
pub struct Value<'a, A> {
    map: &'a mut A,
    path: &'a mut Path,
}

impl<'de, A: MapAccess<'de>> Value<'_, A> {
    /// Skips it, at any depth, without keeping anything.
    pub(crate) fn ignore(self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(|_| ())
    }

    pub(crate) fn message<T: JsonFields>(
        self,
        name: &'static str,
        into: &mut Option<T>,
    ) -> Result<(), A::Error> {
        self.path.enter(name);
        self.map.next_value_seed(MessageInto { into, path: self.path })?;
        self.path.leave();
        Ok(())
    }

    pub(crate) fn messages<T: JsonFields>(
        self,
        name: &'static str,
        into: &mut Vec<T>,
    ) -> Result<(), A::Error> {
        self.path.enter(name);
        self.map.next_value_seed(MessagesInto { into, path: self.path })?;
        self.path.leave();
        Ok(())
    }

    pub(crate) fn scalar<S: Scalar>(self, name: &'static str, into: &mut Option<S>) -> Result<(), A::Error> {
        self.path.enter(name);
        self.map.next_value_seed(ScalarInto(into))?;
        self.path.leave();
        Ok(())
    }

    /// A scalar without presence; `null` leaves it as it is.
    pub(crate) fn plain<S: Scalar>(self, name: &'static str, into: &mut S) -> Result<(), A::Error> {
        let mut read = None;
        self.scalar(name, &mut read)?;
        if let Some(read) = read {
            *into = read;
        }
        Ok(())
    }

    pub(crate) fn scalars<S: Scalar>(self, name: &'static str, into: &mut Vec<S>) -> Result<(), A::Error> {
        self.path.enter(name);
        self.map.next_value_seed(ScalarsInto { into, path: self.path })?;
        self.path.leave();
        Ok(())
    }

    pub(crate) fn enumeration<E: Enumeration>(
        self,
        name: &'static str,
        into: &mut Option<i32>,
        required: bool,
    ) -> Result<(), A::Error> {
        self.path.enter(name);
        let mut read: Option<EnumNumber<E>> = None;
        self.map.next_value_seed(ScalarInto(&mut read))?;
        if let Some(EnumNumber(number, _)) = read {
            if number.is_none() && required {
                return Err(A::Error::custom("this is not a value the field can have"));
            }
            *into = number;
        }
        self.path.leave();
        Ok(())
    }

    pub(crate) fn enumerations<E: Enumeration>(
        self,
        name: &'static str,
        into: &mut Vec<i32>,
    ) -> Result<(), A::Error> {
        let mut read: Vec<EnumNumber<E>> = Vec::new();
        self.scalars(name, &mut read)?;
        into.extend(read.into_iter().filter_map(|EnumNumber(number, _)| number));
        Ok(())
    }

    pub(crate) fn map<V: MapValue>(
        self,
        name: &'static str,
        into: &mut BTreeMap<String, V>,
    ) -> Result<(), A::Error> {
        self.path.enter(name);
        self.map.next_value_seed(MapInto { into, path: self.path })?;
        self.path.leave();
        Ok(())
    }

    /// A message whose place the path already shows.
    pub(super) fn message_here<T: JsonFields>(self, into: &mut Option<T>) -> Result<(), A::Error> {
        self.map.next_value_seed(MessageInto { into, path: self.path })
    }

    /// A scalar whose place the path already shows.
    pub(super) fn scalar_here<S: Scalar>(self, into: &mut Option<S>) -> Result<(), A::Error> {
        self.map.next_value_seed(ScalarInto(into))
    }
}

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
struct MessageInto<'a, T> {
    into: &'a mut Option<T>,
    path: &'a mut Path,
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
        message.read_field(&name, Value { map: &mut map, path })?;
    }
    Ok(())
}

/// Reads a list of objects, or a lone object as a list of one. A `null` in the list is skipped.
struct MessagesInto<'a, T> {
    into: &'a mut Vec<T>,
    path: &'a mut Path,
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
struct ScalarInto<'a, S>(&'a mut Option<S>);

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
struct ScalarsInto<'a, S> {
    into: &'a mut Vec<S>,
    path: &'a mut Path,
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
struct MapInto<'a, V> {
    into: &'a mut BTreeMap<String, V>,
    path: &'a mut Path,
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
            if let Some(value) = V::read_value(Value { map: &mut map, path: self.path })? {
                self.into.insert(key.into_owned(), value);
            }
            self.path.leave();
        }
        Ok(())
    }
}

/// An enum's value by its name or number; nothing for one that is unknown.
struct EnumNumber<E>(Option<i32>, PhantomData<E>);

impl<E: Enumeration> Scalar for EnumNumber<E> {
    const EXPECTED: &'static str = "the name of a value";

    fn from_unsigned(value: u64) -> Option<Self> {
        Self::from_signed(value.try_into().ok()?)
    }

    fn from_signed(value: i64) -> Option<Self> {
        let number = i32::try_from(value).ok().filter(|number| E::name_of(*number).is_some());
        Some(Self(number, PhantomData))
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(E::number_of(text), PhantomData))
    }

    fn write(&self, _: &mut Vec<u8>) {}
}
