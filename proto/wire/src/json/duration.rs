//! `google.protobuf.Duration` has no special JSON form here: it is a message as any other.

use prost_types::Duration;
use serde::de::MapAccess;

use super::{JsonFields, Object, Path, Value};

impl JsonFields for Duration {
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        value: Value<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "seconds" => value.plain("seconds", &mut self.seconds),
            "nanos" => value.plain("nanos", &mut self.nanos),
            _ => value.ignore(),
        }
    }

    fn write_fields(&self, object: &mut Object<'_>) {
        object.scalar("\"seconds\":", Some(&self.seconds), None);
        object.scalar("\"nanos\":", Some(&self.nanos), None);
    }

    fn is_complete(&self, _: &mut Path) -> bool {
        true
    }
}
