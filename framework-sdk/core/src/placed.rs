//! How many of one kind run where, as far as its constraints ask.

use std::collections::BTreeMap;

use chapada_model::Text;

use crate::constraint::{Constraint, Field, Place};

/// How many of one kind have which value of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    by_value: BTreeMap<Text, u32>,
    /// How many values have so many.
    by_count: BTreeMap<u32, u32>,
}

/// Where others of a kind are. Kept while tasks come and go, or counted anew; either costs little for fields that no
/// constraint looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    fields: Vec<(Field, Tally)>,
}

static EMPTY: Tally = Tally { by_value: BTreeMap::new(), by_count: BTreeMap::new() };

impl Placed {
    /// Counts those at `places`, by the fields of those constraints that depend on others.
    pub fn of<'a, P: Place + ?Sized + 'a>(
        constraints: &[Constraint],
        places: impl IntoIterator<Item = &'a P>,
    ) -> Self {
        let mut placed = Self::default();
        for constraint in constraints.iter().filter(|constraint| constraint.rule().counts_others()) {
            if !placed.fields.iter().any(|(field, _)| field == constraint.field()) {
                placed.fields.push((constraint.field().clone(), Tally::default()));
            }
        }
        if !placed.fields.is_empty() {
            places.into_iter().for_each(|place| placed.add(place));
        }
        placed
    }

    /// One more is there.
    pub fn add(&mut self, place: &(impl Place + ?Sized)) {
        self.add_values(&self.values_of(place));
    }

    /// One is not there any more.
    pub fn remove(&mut self, place: &(impl Place + ?Sized)) {
        self.remove_values(&self.values_of(place));
    }

    /// What the place says of the fields that are counted, for those who keep it until the place changes.
    pub fn values_of(&self, place: &(impl Place + ?Sized)) -> Vec<Option<Text>> {
        self.fields.iter().map(|(field, _)| place.value_of(field)).collect()
    }

    /// As [`Placed::add`], by what [`Placed::values_of`] gave.
    pub fn add_values(&mut self, values: &[Option<Text>]) {
        self.count(values, |count| count.saturating_add(1));
    }

    /// As [`Placed::remove`], by what [`Placed::values_of`] gave.
    pub fn remove_values(&mut self, values: &[Option<Text>]) {
        self.count(values, |count| count.saturating_sub(1));
    }

    fn count(&mut self, values: &[Option<Text>], change: impl Fn(u32) -> u32) {
        for ((_, tally), value) in self.fields.iter_mut().zip(values) {
            if let Some(value) = value {
                let before = tally.count(value);
                tally.set(Text::clone(value), before, change(before));
            }
        }
    }

    /// The counts of one field; empty when no constraint depends on it.
    pub fn tally(&self, field: &Field) -> &Tally {
        self.fields.iter().find(|(counted, _)| counted == field).map_or(&EMPTY, |(_, tally)| tally)
    }
}

impl Tally {
    /// How many have this value.
    pub fn count(&self, value: &str) -> u32 {
        self.by_value.get(value).copied().unwrap_or(0)
    }

    /// How many the value has that has the fewest: none while fewer than `groups` values are known.
    pub fn least(&self, groups: u32) -> u32 {
        match self.by_value.len() >= groups as usize {
            true => self.by_count.first_key_value().map_or(0, |(count, _)| *count),
            false => 0,
        }
    }

    /// Whether nobody has another value than this.
    pub fn is_all_at(&self, value: &str) -> bool {
        self.by_value.len() <= 1 && self.by_value.keys().all(|known| **known == *value)
    }

    /// The values that any have, each with how many.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, u32)> {
        self.by_value.iter().map(|(value, count)| (value, *count))
    }

    fn set(&mut self, value: Text, before: u32, after: u32) {
        if let Some(values) = self.by_count.get_mut(&before) {
            *values -= 1;
            if *values == 0 {
                self.by_count.remove(&before);
            }
        }
        match after {
            0 => {
                self.by_value.remove(&value);
            }
            after => {
                *self.by_count.entry(after).or_default() += 1;
                self.by_value.insert(value, after);
            }
        }
    }
}
