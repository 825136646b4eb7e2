//! The Rust names that prost gives to what is in a `.proto` file.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};

/// Keywords that prost writes as raw identifiers.
const KEYWORDS: [&str; 11] =
    ["as", "const", "enum", "fn", "in", "loop", "match", "mod", "move", "ref", "type"];

/// Path of a message or enum from the root of this crate, for a full name such as `.chapada.v1.Offer.Operation`.
/// `package` is the one it is defined in.
pub(crate) fn type_path(full_name: &str, package: &str) -> String {
    let inner = full_name
        .strip_prefix(&format!(".{package}."))
        .expect("the full name of a type begins with its package");
    let mut path = String::from("crate::generated");
    for module in package.split('.') {
        path.push_str("::");
        path.push_str(module);
    }
    let parts: Vec<&str> = inner.split('.').collect();
    let (last, parents) = parts.split_last().expect("split yields at least one part");
    for parent in parents {
        path.push_str("::");
        path.push_str(&parent.to_snake_case());
    }
    path.push_str("::");
    path.push_str(&last.to_upper_camel_case());
    path
}

/// Path of the enum that stands for a oneof.
pub(crate) fn oneof_path(message_path: &str, message: &str, oneof: &str) -> String {
    let parent = message_path.rsplit_once("::").map_or("", |(parent, _)| parent);
    format!("{parent}::{}::{}", message.to_snake_case(), oneof.to_upper_camel_case())
}

/// Name of a variant of the enum that stands for a oneof.
pub(crate) fn variant(field: &str) -> String {
    field.to_upper_camel_case()
}

/// Name of a struct's field.
pub(crate) fn field(name: &str) -> String {
    let name = name.to_snake_case();
    if KEYWORDS.contains(&name.as_str()) { format!("r#{name}") } else { name }
}
