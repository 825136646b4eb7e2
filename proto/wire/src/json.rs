//! JSON as Mesos speaks it, for the generated codec.
//!
//! Names are those of the `.proto` files, enum values their names, 64-bit numbers numbers, bytes base64. Reading is
//! lenient where clients rely on it: `null` is unset anywhere, strings are taken for numbers and booleans, a lone
//! value for a list of one, unknown fields are skipped, and an unknown enum value counts as unset unless the field
//! is required. Writing gives one line of ASCII.
//!
//! Depth is bounded by `serde_json` (128 levels); what is skipped is skipped without recursion.

mod duration;
mod path;
mod read;
mod scalar;
mod visit;
mod write;

use serde::de::MapAccess;

pub(crate) use path::Path;
pub(crate) use read::Value;
pub(crate) use write::Object;

use crate::decode::{DecodeError, check_required};

/// A message with a JSON form.
pub trait Json: JsonFields {
    /// Reads a JSON body and checks that every required field is there.
    ///
    /// # Errors
    /// [`DecodeError::Json`] for what is no JSON or does not suit its field, [`DecodeError::Missing`] for a required
    /// field that is missing. Both name the field.
    fn from_json(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = read::message(bytes)?;
        check_required(&message)?;
        Ok(message)
    }

    /// Appends the message to `out` as one line of ASCII, without a line end.
    fn write_json(&self, out: &mut Vec<u8>) {
        write::message(self, out);
    }

    /// The message as one line of ASCII, without a line end.
    fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write_json(&mut out);
        out
    }
}

impl<T: JsonFields> Json for T {}

/// What the build script generates for each message; use it through [`Json`], [`decode_binary`](crate::decode_binary)
/// and [`check_required`].
#[doc(hidden)]
pub trait JsonFields: Default {
    /// Reads the value of the field of this name.
    fn read_field<'de, A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>)
    -> Result<(), A::Error>;

    /// Writes all fields that are set, or that declare a default.
    fn write_fields(&self, object: &mut Object<'_>);

    /// Whether all required fields are there. If not, `at` is left at the first that is missing.
    fn is_complete(&self, at: &mut Path) -> bool;
}

/// An enum, for reading and writing its values by name.
pub(crate) trait Enumeration {
    /// The name of a value; nothing for a number that is not one.
    fn name_of(number: i32) -> Option<&'static str>;
    /// The value of a name.
    fn number_of(name: &str) -> Option<i32>;
}

impl<T: JsonFields> JsonFields for Box<T> {
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        value: Value<'_, A>,
    ) -> Result<(), A::Error> {
        (**self).read_field(name, value)
    }

    fn write_fields(&self, object: &mut Object<'_>) {
        (**self).write_fields(object);
    }

    fn is_complete(&self, at: &mut Path) -> bool {
        (**self).is_complete(at)
    }
}
