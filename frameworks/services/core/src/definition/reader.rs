//! Reads typed fields out of a JSON object and notes every one that has the wrong type.

use chapada_model::Milli;
use serde::Serialize;
use serde_json::{Map, Value};

/// What is wrong at one place of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where, as `/env(NAME)` or `/constraints(0)`; `/` for the whole.
    pub path: String,
    /// What, one entry per rule.
    pub errors: Vec<String>,
}

impl FieldError {
    /// One broken rule at `path`.
    pub fn new(path: impl Into<String>, error: impl Into<String>) -> Self {
        Self { path: path.into(), errors: vec![error.into()] }
    }
}

/// An object in a definition, and where it stands.
pub(crate) struct Fields<'a> {
    path: String,
    object: &'a Map<String, Value>,
}

/// The errors noted so far.
pub(crate) type Errors = Vec<FieldError>;

impl<'a> Fields<'a> {
    pub(crate) fn root(object: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), object }
    }

    /// Where the object stands; empty for the root.
    pub(crate) fn at(&self) -> &str {
        &self.path
    }

    /// The object itself.
    pub(crate) fn object_itself(&self) -> &'a Map<String, Value> {
        self.object
    }

    /// The names of its fields that are not null.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.object.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }

    /// The path of a field of this object.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// The field, unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str, errors: &mut Errors) -> Option<String> {
        let value = self.get(name)?;
        let text = value.as_str().map(str::to_owned);
        self.expect(text, name, "error.expected.jsstring", errors)
    }

    pub(crate) fn flag(&self, name: &str, errors: &mut Errors) -> Option<bool> {
        self.expect(self.get(name)?.as_bool(), name, "error.expected.jsboolean", errors)
    }

    pub(crate) fn number(&self, name: &str, errors: &mut Errors) -> Option<f64> {
        self.expect(self.get(name)?.as_f64(), name, "error.expected.jsnumber", errors)
    }

    /// A whole number from 0 to `u32::MAX`. A float without fraction passes: some clients send `2.0`.
    pub(crate) fn count(&self, name: &str, errors: &mut Errors) -> Option<u32> {
        let number = self.number(name, errors)?;
        if number.fract() != 0.0 {
            return self.expect(None, name, "error.expected.jsint", errors);
        }
        let fits = (0.0..=f64::from(u32::MAX)).contains(&number);
        self.expect(
            fits.then_some(number as u32),
            name,
            "error.min: must be greater than or equal to 0",
            errors,
        )
    }

    /// A port, 0 included.
    pub(crate) fn port(&self, name: &str, wrong: &mut Errors, broken: &mut Errors) -> Option<u16> {
        let number = self.count(name, wrong)?;
        self.expect(u16::try_from(number).ok(), name, "must be a port from 0 to 65535", broken)
    }

    /// An amount of a resource, rounded to the nearest thousandth.
    pub(crate) fn amount(&self, name: &str, errors: &mut Errors) -> Option<Milli> {
        let amount = Milli::from_f64(self.number(name, errors)?);
        self.expect(amount, name, "error.min: must be greater than or equal to 0", errors)
    }

    pub(crate) fn list(&self, name: &str, errors: &mut Errors) -> Option<&'a [Value]> {
        let list = self.get(name)?.as_array().map(Vec::as_slice);
        self.expect(list, name, "error.expected.jsarray", errors)
    }

    pub(crate) fn object(&self, name: &str, errors: &mut Errors) -> Option<Fields<'a>> {
        let object = self.get(name)?.as_object();
        let object = self.expect(object, name, "error.expected.jsobject", errors)?;
        Some(Fields { path: self.path(name), object })
    }

    /// The objects of a list.
    pub(crate) fn objects(&self, name: &str, errors: &mut Errors) -> Option<Vec<Fields<'a>>> {
        let mut found = Vec::new();
        for (index, value) in self.list(name, errors)?.iter().enumerate() {
            let path = format!("{}({index})", self.path(name));
            match value.as_object() {
                Some(object) => found.push(Fields { path, object }),
                None => errors.push(FieldError::new(path, "error.expected.jsobject")),
            }
        }
        Some(found)
    }

    /// The objects of a map from names.
    pub(crate) fn object_map(&self, name: &str, errors: &mut Errors) -> Option<Vec<(String, Fields<'a>)>> {
        let object = self.object(name, errors)?;
        let mut found = Vec::new();
        for (key, value) in object.object {
            let path = self.entry(name, key);
            match value.as_object() {
                Some(object) => found.push((key.clone(), Fields { path, object })),
                None => errors.push(FieldError::new(path, "error.expected.jsobject")),
            }
        }
        Some(found)
    }

    /// The path of an entry of the map `name`.
    pub(crate) fn entry(&self, name: &str, key: &str) -> String {
        format!("{}({key})", self.path(name))
    }

    /// Everything in it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.object.iter()
    }

    /// The strings of a list.
    pub(crate) fn texts(&self, name: &str, errors: &mut Errors) -> Option<Vec<String>> {
        let mut found = Vec::new();
        for (index, value) in self.list(name, errors)?.iter().enumerate() {
            match value.as_str() {
                Some(text) => found.push(text.to_owned()),
                None => {
                    let path = format!("{}({index})", self.path(name));
                    errors.push(FieldError::new(path, "error.expected.jsstring"));
                }
            }
        }
        Some(found)
    }

    /// A map from names to strings. Numbers and booleans are taken as they are written, as clients expect of `env`.
    pub(crate) fn text_map(
        &self,
        name: &str,
        errors: &mut Errors,
    ) -> Option<std::collections::BTreeMap<String, String>> {
        let object = self.object(name, errors)?;
        let mut found = std::collections::BTreeMap::new();
        for (key, value) in object.object {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    errors.push(FieldError::new(self.entry(name, key), "error.expected.jsstring"));
                    continue;
                }
            };
            found.insert(key.clone(), text);
        }
        Some(found)
    }

    /// Whether the field says something: it is there and neither null, `""`, `[]`, `{}` nor `false`.
    pub(crate) fn says_something(&self, name: &str) -> bool {
        match self.object.get(name) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(object)) => !object.is_empty(),
            Some(Value::Bool(true) | Value::Number(_)) => true,
        }
    }

    fn expect<T>(&self, value: Option<T>, name: &str, error: &str, errors: &mut Errors) -> Option<T> {
        if value.is_none() {
            errors.push(FieldError::new(self.path(name), error));
        }
        value
    }
}
