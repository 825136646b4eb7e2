//! Where in a message we are, so that an error can say so; and the checks of required fields, which only walk.

use std::collections::BTreeMap;
use std::fmt;

use super::write::MapValue;
use super::{Enumeration, JsonFields};

/// The way from the message to a field. Steps are taken back only when all went well, so after an error the path
/// still shows where it happened.
#[derive(Debug, Default)]
pub struct Path(Vec<Step>);

#[derive(Debug)]
enum Step {
    Field(&'static str),
    Index(usize),
    Key(String),
}

impl Path {
    pub(super) fn enter(&mut self, field: &'static str) {
        self.0.push(Step::Field(field));
    }

    pub(super) fn enter_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    pub(super) fn enter_key(&mut self, key: &str) {
        self.0.push(Step::Key(key.to_owned()));
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    /// Whether a required field is set.
    pub(crate) fn set(&mut self, field: &'static str, set: bool) -> bool {
        if !set {
            self.enter(field);
        }
        set
    }

    /// A required enum must hold a value that is known.
    pub(crate) fn enumeration<E: Enumeration>(&mut self, field: &'static str, value: Option<i32>) -> bool {
        self.set(field, value.and_then(E::name_of).is_some())
    }

    pub(crate) fn inside<T: JsonFields>(&mut self, field: &'static str, value: &T) -> bool {
        self.enter(field);
        let complete = value.is_complete(self);
        if complete {
            self.leave();
        }
        complete
    }

    pub(crate) fn message<T: JsonFields>(
        &mut self,
        field: &'static str,
        value: Option<&T>,
        required: bool,
    ) -> bool {
        match value {
            Some(value) => self.inside(field, value),
            None => self.set(field, !required),
        }
    }

    pub(crate) fn elements<T: JsonFields>(&mut self, field: &'static str, values: &[T]) -> bool {
        if values.is_empty() {
            return true;
        }
        self.enter(field);
        for (index, value) in values.iter().enumerate() {
            self.enter_index(index);
            if !value.is_complete(self) {
                return false;
            }
            self.leave();
        }
        self.leave();
        true
    }

    pub(crate) fn values<V: MapValue>(&mut self, field: &'static str, values: &BTreeMap<String, V>) -> bool {
        for (key, value) in values {
            self.enter(field);
            self.enter_key(key);
            if !value.is_value_complete(self) {
                return false;
            }
            self.leave();
            self.leave();
        }
        true
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}
