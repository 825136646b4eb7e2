//! What the build script made of the `.proto` files.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated: the documentation of a message is in its .proto file, and the style is the generator's"
)]

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// The JSON codec and the check of required fields of each message.
mod codec {
    use serde::de::MapAccess;

    use crate::json::{Enumeration, JsonFields, Object, Path, Value};

    include!(concat!(env!("OUT_DIR"), "/codec.rs"));
}
