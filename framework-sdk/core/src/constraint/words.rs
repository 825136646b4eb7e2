//! Constraints in words, as Marathon's app definitions have them: `[field, operator, value?]`.

use chapada_model::Text;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Constraint, Field, Parts, Pattern, Rule};

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

impl Constraint {
    /// Reads two or three words: a field, one of UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER and IS in any case, and a
    /// value for those that want one. The field is `hostname`, `@region`, `@zone` or the name of an attribute.
    ///
    /// # Errors
    /// When they are no constraint.
    pub fn from_words(words: &[&str]) -> Result<Self, InvalidConstraint> {
        let (field, operator, value) = match words {
            [field, operator] => (*field, *operator, None),
            [field, operator, value] => (*field, *operator, Some(*value)),
            _ => return Err(InvalidConstraint::Shape),
        };
        if field.is_empty() {
            return Err(InvalidConstraint::Shape);
        }
        let rule = rule(operator.to_ascii_uppercase(), value)?;
        Ok(Self(Parts { field: Field::named(field), written: field.into(), rule }.into()))
    }

    /// The two or three words. Rules that have no operator of their own are said by LIKE and UNLIKE.
    pub fn words(&self) -> Vec<Text> {
        let any_of = |values: &std::collections::BTreeSet<Text>| {
            let escaped: Vec<String> = values.iter().map(|value| regex::escape(value)).collect();
            Text::from(escaped.join("|"))
        };
        let number = |number: &u32| Text::from(number.to_string());
        let (name, value) = match self.rule() {
            Rule::Exists => ("LIKE", Some("(?s).*".into())),
            Rule::OneOf(values) => ("LIKE", Some(any_of(values))),
            Rule::NoneOf(values) => ("UNLIKE", Some(any_of(values))),
            Rule::Unique => ("UNIQUE", None),
            Rule::Cluster(value) => ("CLUSTER", value.clone()),
            Rule::MaxPer(most) => ("MAX_PER", Some(number(most))),
            Rule::Is(value) | Rule::Home(value) => ("IS", Some(value.clone())),
            Rule::GroupBy(groups) => ("GROUP_BY", groups.as_ref().map(number)),
            Rule::Like(pattern) => ("LIKE", Some(pattern.text.clone())),
            Rule::Unlike(pattern) => ("UNLIKE", Some(pattern.text.clone())),
        };
        [self.0.written.clone(), name.into()].into_iter().chain(value).collect()
    }
}

fn rule(operator: String, value: Option<&str>) -> Result<Rule, InvalidConstraint> {
    let wants = |wanted| InvalidConstraint::Value { operator: operator.clone(), wanted };
    let said = value.filter(|value| !value.is_empty());
    let above_zero = |value: &str| value.parse().ok().filter(|number| *number > 0);
    Ok(match operator.as_str() {
        "UNIQUE" if said.is_none() => Rule::Unique,
        "UNIQUE" => return Err(wants("no value")),
        "CLUSTER" => Rule::Cluster(said.map(Text::from)),
        "MAX_PER" => {
            let most = value.and_then(above_zero);
            Rule::MaxPer(most.ok_or_else(|| wants("a whole number above 0"))?)
        }
        "IS" => {
            let plain = |value: &&str| value.chars().all(|c| c.is_ascii_alphanumeric() || "_/.-".contains(c));
            let value = value.filter(plain);
            Rule::Is(value.ok_or_else(|| wants("a value of letters, digits, '_', '/', '.' and '-'"))?.into())
        }
        "GROUP_BY" => match said {
            None => Rule::GroupBy(None),
            Some(value) => Rule::GroupBy(Some(
                above_zero(value).ok_or_else(|| wants("a whole number above 0, or no value"))?,
            )),
        },
        "LIKE" | "UNLIKE" => {
            let pattern = value.and_then(Pattern::new);
            let pattern = pattern.ok_or_else(|| wants("a regular expression"))?;
            if operator == "LIKE" { Rule::Like(pattern) } else { Rule::Unlike(pattern) }
        }
        _ => return Err(InvalidConstraint::Operator(operator)),
    })
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.words().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Self::from_words(&words).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn words_are_given_back_as_they_were_written() {
        for words in [
            vec!["@hostname", "UNIQUE"],
            vec!["hostname", "CLUSTER", "b"],
            vec!["@zone", "GROUP_BY", "3"],
            vec!["rack", "LIKE", "r[0-9]"],
        ] {
            let constraint = Constraint::from_words(&words).unwrap();
            let json = serde_json::to_value(&constraint).unwrap();
            assert_eq!(json, serde_json::json!(words));
            assert_eq!(serde_json::from_value::<Constraint>(json).unwrap(), constraint);
        }
    }

    #[test]
    fn a_list_of_values_is_a_pattern_of_them() {
        let constraint = Constraint::new(Field::named("disk"), Rule::one_of(["a.b", "c"]));
        assert_eq!(constraint.words().join(" "), r"disk LIKE a\.b|c");
    }
}
