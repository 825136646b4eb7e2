//! Secrets: named once, then referred to by environments and volumes. What they are worth is never in a definition.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::reader::{Errors, FieldError, Fields};

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// As it is written.
    Text(String),
    /// That of the secret of this name among those of the same definition.
    Secret(String),
}

impl Serialize for EnvValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Secret(name) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("secret", name)?;
                map.end()
            }
        }
    }
}

/// A secret that a definition uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Where its value is kept, in the terms of whoever keeps it.
    pub source: String,
}

/// Variables. Numbers and booleans are taken as they are written, as clients expect.
pub(crate) fn read_env(
    fields: &Fields<'_>,
    name: &str,
    wrong: &mut Errors,
) -> Option<BTreeMap<String, EnvValue>> {
    let object = fields.object(name, wrong)?;
    let mut found = BTreeMap::new();
    for (key, value) in object.entries() {
        let value = match value {
            Value::Object(secret) => match secret.get("secret").and_then(Value::as_str) {
                Some(secret) => EnvValue::Secret(secret.to_owned()),
                None => {
                    wrong.push(FieldError::new(fields.entry(name, key), "error.expected.jsstring"));
                    continue;
                }
            },
            Value::String(text) => EnvValue::Text(text.clone()),
            Value::Number(number) => EnvValue::Text(number.to_string()),
            Value::Bool(flag) => EnvValue::Text(flag.to_string()),
            Value::Null | Value::Array(_) => {
                wrong.push(FieldError::new(fields.entry(name, key), "error.expected.jsstring"));
                continue;
            }
        };
        found.insert(key.clone(), value);
    }
    Some(found)
}

/// The secrets of a definition.
pub(crate) fn read_secrets(fields: &Fields<'_>, wrong: &mut Errors) -> BTreeMap<String, Secret> {
    let mut found = BTreeMap::new();
    for (name, secret) in fields.object_map("secrets", wrong).unwrap_or_default() {
        match secret.text("source", wrong) {
            Some(source) => {
                found.insert(name, Secret { source });
            }
            None if secret.get("source").is_none() => {
                wrong.push(FieldError::new(secret.path("source"), "error.path.missing"));
            }
            None => {}
        }
    }
    found
}

/// What is wrong with the secrets themselves.
pub(crate) fn secret_rules(secrets: &BTreeMap<String, Secret>) -> Errors {
    let mut errors = Errors::new();
    for (name, secret) in secrets {
        if name.is_empty() {
            errors.push(FieldError::new("/secrets()", "must have a name"));
        }
        if secret.source.is_empty() || secret.source.contains('\0') {
            errors.push(FieldError::new(format!("/secrets({name})/source"), "must not be empty"));
        }
    }
    errors
}

/// What is wrong with an environment that stands at `path` and may refer to `secrets`.
pub(crate) fn env_rules(
    path: &str,
    env: &BTreeMap<String, EnvValue>,
    secrets: &BTreeMap<String, Secret>,
) -> Errors {
    let mut errors = Errors::new();
    for (name, value) in env {
        let path = format!("{path}({name})");
        if name.is_empty() || name.contains(['=', '\0']) {
            errors.push(FieldError::new(&path, "must not be empty nor contain `=` or NUL"));
        }
        match value {
            EnvValue::Text(text) if text.contains('\0') => {
                errors.push(FieldError::new(path, "must not contain a NUL character"));
            }
            EnvValue::Secret(secret) if !secrets.contains_key(secret) => {
                errors
                    .push(FieldError::new(path, format!("references an undefined secret named '{secret}'")));
            }
            EnvValue::Text(_) | EnvValue::Secret(_) => {}
        }
    }
    errors
}
