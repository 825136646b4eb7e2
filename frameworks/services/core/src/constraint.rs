//! Where instances may be placed: `[field, operator, value?]`.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// The most memory, in bytes, that one compiled expression may take: a definition may have many.
const MAX_PATTERN: usize = 256 * 1024;

/// One placement rule of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    field: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    Unique,
    Cluster(Option<String>),
    MaxPer(u32),
    Is(String),
    /// Spread evenly over the values there are, or over so many.
    GroupBy(Option<u32>),
    Like(Pattern),
    Unlike(Pattern),
}

/// A regular expression that must match a whole value.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    whole: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// `None` when it is none, or compiles to more than [`MAX_PATTERN`].
    fn parse(text: &str) -> Option<Self> {
        let whole = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(MAX_PATTERN).build().ok()?;
        Some(Self { text: text.to_owned(), whole })
    }
}

/// Why a constraint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConstraint {
    /// Not two or three texts.
    #[error("must have a field, an operator and at most one value")]
    Shape,
    /// No such operator.
    #[error("{0} is not an operator; known are UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER and IS")]
    Operator(String),
    /// The operator wants another value.
    #[error("{operator} wants {wanted}")]
    Value {
        /// Which.
        operator: String,
        /// In words.
        wanted: &'static str,
    },
}

/// What a constraint looks at on an agent.
pub trait Place {
    /// The text of the attribute `field`, or of the host name when that is asked for.
    fn value_of(&self, field: &str) -> Option<String>;
}

impl Constraint {
    /// Reads the two or three words of a definition.
    ///
    /// # Errors
    /// When they are no rule, or one that is not supported.
    pub fn from_words(words: &[&str]) -> Result<Self, InvalidConstraint> {
        let (field, operator, value) = match words {
            [field, operator] => (*field, *operator, None),
            [field, operator, value] => (*field, *operator, Some(*value)),
            _ => return Err(InvalidConstraint::Shape),
        };
        if field.is_empty() {
            return Err(InvalidConstraint::Shape);
        }
        let operator = operator.to_ascii_uppercase();
        let wants = |wanted| InvalidConstraint::Value { operator: operator.clone(), wanted };
        let operator = match operator.as_str() {
            "UNIQUE" if value.is_none_or(str::is_empty) => Operator::Unique,
            "UNIQUE" => return Err(wants("no value")),
            "CLUSTER" => Operator::Cluster(value.filter(|value| !value.is_empty()).map(str::to_owned)),
            "MAX_PER" => {
                let most = value.and_then(|value| value.parse().ok()).filter(|most| *most > 0);
                Operator::MaxPer(most.ok_or_else(|| wants("a whole number above 0"))?)
            }
            "IS" => Operator::Is(value.ok_or_else(|| wants("a value"))?.to_owned()),
            "GROUP_BY" => match value.filter(|value| !value.is_empty()) {
                None => Operator::GroupBy(None),
                Some(value) => {
                    let groups = value.parse().ok().filter(|groups| *groups > 0);
                    Operator::GroupBy(Some(
                        groups.ok_or_else(|| wants("a whole number above 0, or no value"))?,
                    ))
                }
            },
            "LIKE" | "UNLIKE" => {
                let pattern = value.and_then(Pattern::parse);
                let pattern = pattern.ok_or_else(|| wants("a regular expression"))?;
                if operator == "LIKE" { Operator::Like(pattern) } else { Operator::Unlike(pattern) }
            }
            _ => return Err(InvalidConstraint::Operator(operator)),
        };
        Ok(Self { field: field.to_owned(), operator })
    }

    /// Whether one more instance may go to `candidate` beside those that are at `taken`.
    pub fn allows(&self, candidate: &dyn Place, taken: &[&dyn Place]) -> bool {
        let Some(value) = candidate.value_of(&self.field) else {
            return matches!(self.operator, Operator::Unlike(_));
        };
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for place in taken {
            if let Some(value) = place.value_of(&self.field) {
                *counts.entry(value).or_default() += 1;
            }
        }
        let here = counts.get(&value).copied().unwrap_or(0);
        match &self.operator {
            Operator::Unique => here == 0,
            Operator::MaxPer(most) => here < *most,
            Operator::Is(wanted) => same(wanted, &value),
            Operator::Cluster(Some(wanted)) => *wanted == value,
            Operator::GroupBy(groups) => {
                let all_seen = counts.len() >= groups.unwrap_or(0) as usize;
                let least = if all_seen { counts.values().min().copied().unwrap_or(0) } else { 0 };
                here <= least
            }
            Operator::Like(pattern) => pattern.whole.is_match(&value),
            Operator::Unlike(pattern) => !pattern.whole.is_match(&value),
            Operator::Cluster(None) => counts.keys().all(|other| *other == value),
        }
    }
}

/// Equal as text, or as numbers rounded to three decimals.
fn same(wanted: &str, value: &str) -> bool {
    let thousandths = |text: &str| text.parse::<f64>().ok().map(|number| (number * 1_000.0).round());
    wanted == value || thousandths(wanted).is_some_and(|number| thousandths(value) == Some(number))
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, value) = match &self.operator {
            Operator::Unique => ("UNIQUE", None),
            Operator::Cluster(value) => ("CLUSTER", value.clone()),
            Operator::MaxPer(most) => ("MAX_PER", Some(most.to_string())),
            Operator::Is(value) => ("IS", Some(value.clone())),
            Operator::GroupBy(groups) => ("GROUP_BY", groups.map(|groups| groups.to_string())),
            Operator::Like(pattern) => ("LIKE", Some(pattern.text.clone())),
            Operator::Unlike(pattern) => ("UNLIKE", Some(pattern.text.clone())),
        };
        let mut words = vec![self.field.as_str(), name];
        words.extend(value.as_deref());
        words.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host(&'static str);
    impl Place for Host {
        fn value_of(&self, field: &str) -> Option<String> {
            (field == "hostname").then(|| self.0.to_owned())
        }
    }

    #[test]
    fn each_operator_counts_what_is_there() {
        for (words, allowed) in [
            (vec!["hostname", "UNIQUE"], ["c"].as_slice()),
            (vec!["hostname", "max_per", "2"], &["b", "c"]),
            (vec!["hostname", "CLUSTER", "b"], &["b"]),
            (vec!["hostname", "CLUSTER"], &[]),
            (vec!["hostname", "IS", "a"], &["a"]),
            (vec!["rack", "IS", "a"], &[]),
            (vec!["hostname", "GROUP_BY"], &["b", "c"]),
            (vec!["hostname", "GROUP_BY", "3"], &["c"]),
            (vec!["hostname", "LIKE", "a|b.*"], &["a", "b"]),
            (vec!["hostname", "LIKE", "."], &["a", "b", "c"]),
            (vec!["hostname", "LIKE", ""], &[]),
            (vec!["hostname", "UNLIKE", "[ab]"], &["c"]),
            (vec!["rack", "UNLIKE", "a"], &["a", "b", "c"]),
        ] {
            let constraint = Constraint::from_words(&words).unwrap();
            let taken: [&dyn Place; 3] = [&Host("a"), &Host("a"), &Host("b")];
            let got: Vec<_> =
                ["a", "b", "c"].into_iter().filter(|host| constraint.allows(&Host(host), &taken)).collect();
            assert_eq!(got, allowed, "{words:?}");
        }
        assert!(same("1.0", "1") && !same("1.001", "1"));
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            vec!["hostname"],
            vec!["hostname", "UNIQUE", "x"],
            vec!["a", "MAX_PER", "0"],
            vec!["a", "LIKE"],
            vec!["a", "LIKE", "("],
            vec!["a", "GROUP_BY", "0"],
            vec!["a", "LIKE", "(a{1000}){1000}"],
            vec!["a", "NEAR"],
        ] {
            assert!(Constraint::from_words(&words).is_err(), "{words:?}");
        }
    }
}
