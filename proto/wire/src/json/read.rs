//! Reading, on the deserializer of `serde_json`.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess};

use super::scalar::Scalar;
use super::visit::{MapInto, MessageInto, MessagesInto, ScalarInto, ScalarsInto};
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

impl<'a, 'de, A: MapAccess<'de>> Value<'a, A> {
    pub(super) fn new(map: &'a mut A, path: &'a mut Path) -> Self {
        Self { map, path }
    }

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
