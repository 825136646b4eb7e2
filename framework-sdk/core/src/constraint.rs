//! Where a task may be placed: conditions on the agent, and on how many of its kind are there already.

mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chapada_model::Text;
use regex::{Regex, RegexBuilder};

use crate::placed::Tally;

pub use words::InvalidConstraint;

/// The most memory, in bytes, that one compiled expression may take: a request may have many.
const MAX_PATTERN: usize = 256 * 1024;

/// What a constraint looks at on an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Its host name; in words `hostname` or `@hostname`.
    Hostname,
    /// The region it is in; in words `@region`.
    Region,
    /// The zone it is in; in words `@zone`.
    Zone,
    /// Its id; in words `@agent`.
    Agent,
    /// What its operator says under that name.
    Attribute(Text),
}

/// Something that is, or may be, on an agent: an offer, a task.
pub trait Place {
    /// What the agent says of the field; the first when it says several things.
    fn value_of(&self, field: &Field) -> Option<Text>;
}

/// One condition. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    field: Field,
    /// The field as it was written.
    written: Text,
    rule: Rule,
}

/// What has to hold of a field. An agent that lacks the field satisfies [`Rule::Unlike`], [`Rule::NoneOf`] and [`Rule::Home`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is there.
    Exists,
    /// It says one of these.
    OneOf(BTreeSet<Text>),
    /// It says none of these.
    NoneOf(BTreeSet<Text>),
    /// It says this, as text or as a number rounded to three decimals.
    Is(Text),
    /// All of what it says matches.
    Like(Pattern),
    /// Not all of what it says matches.
    Unlike(Pattern),
    /// No other of the kind has the same.
    Unique,
    /// Fewer than so many of the kind have the same.
    MaxPer(u32),
    /// The kind is spread evenly over the values that are known, or over so many.
    GroupBy(Option<u32>),
    /// All of the kind have the same, or this very one.
    Cluster(Option<Text>),
    /// It says this, or nothing: who does not say where it is, is at home.
    Home(Text),
}

/// A regular expression that must match a whole value.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Text,
    whole: Regex,
}

impl Pattern {
    /// `None` when it is no regular expression, or one too large to keep.
    pub fn new(text: impl Into<Text>) -> Option<Self> {
        let text = text.into();
        let whole = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(MAX_PATTERN).build().ok()?;
        Some(Self { text, whole })
    }

    fn matches(&self, value: &str) -> bool {
        self.whole.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Field {
    /// By its name in words.
    pub fn named(name: &str) -> Self {
        match name {
            "hostname" | "@hostname" => Self::Hostname,
            "@region" => Self::Region,
            "@zone" => Self::Zone,
            "@agent" => Self::Agent,
            name => Self::Attribute(name.into()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Hostname => "hostname",
            Self::Region => "@region",
            Self::Zone => "@zone",
            Self::Agent => "@agent",
            Self::Attribute(name) => name,
        })
    }
}

impl Rule {
    /// [`Rule::OneOf`].
    pub fn one_of(values: impl IntoIterator<Item = impl Into<Text>>) -> Self {
        Self::OneOf(values.into_iter().map(Into::into).collect())
    }

    /// [`Rule::NoneOf`].
    pub fn none_of(values: impl IntoIterator<Item = impl Into<Text>>) -> Self {
        Self::NoneOf(values.into_iter().map(Into::into).collect())
    }

    /// Whether it depends on where others of the kind are.
    pub fn counts_others(&self) -> bool {
        matches!(self, Self::Unique | Self::MaxPer(_) | Self::GroupBy(_) | Self::Cluster(None))
    }
}

impl Constraint {
    /// The rule about the field: `Constraint::new(Field::named("rack"), Rule::Unique)`.
    pub fn new(field: Field, rule: Rule) -> Self {
        Self(Arc::new(Parts { written: field.to_string().into(), field, rule }))
    }

    /// What it looks at.
    pub fn field(&self) -> &Field {
        &self.0.field
    }

    /// What has to hold.
    pub fn rule(&self) -> &Rule {
        &self.0.rule
    }

    /// Whether one more may go where the field says `value`, with the others of its kind where `others` says.
    pub(crate) fn allows(&self, value: Option<&str>, others: &Tally) -> bool {
        let Some(value) = value else {
            return matches!(self.rule(), Rule::Unlike(_) | Rule::NoneOf(_) | Rule::Home(_));
        };
        match self.rule() {
            Rule::Exists => true,
            Rule::OneOf(values) => values.contains(value),
            Rule::NoneOf(values) => !values.contains(value),
            Rule::Is(wanted) => same(wanted, value),
            Rule::Like(pattern) => pattern.matches(value),
            Rule::Unlike(pattern) => !pattern.matches(value),
            Rule::Unique => others.count(value) == 0,
            Rule::MaxPer(most) => others.count(value) < *most,
            Rule::GroupBy(groups) => others.count(value) <= others.least(groups.unwrap_or(0)),
            Rule::Cluster(Some(wanted)) | Rule::Home(wanted) => **wanted == *value,
            Rule::Cluster(None) => others.is_all_at(value),
        }
    }
}

/// Equal as text, or as numbers rounded to three decimals.
fn same(wanted: &str, value: &str) -> bool {
    let thousandths = |text: &str| text.parse::<f64>().ok().map(|number| (number * 1_000.0).round());
    wanted == value || thousandths(wanted).is_some_and(|number| thousandths(value) == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placed::Placed;

    struct Host(&'static str);
    impl Place for Host {
        fn value_of(&self, field: &Field) -> Option<Text> {
            (*field == Field::Hostname).then(|| self.0.into())
        }
    }

    fn allowed(constraint: &Constraint) -> Vec<&'static str> {
        let placed = Placed::of(std::slice::from_ref(constraint), [&Host("a"), &Host("a"), &Host("b")]);
        let value = |host: &str| (*constraint.field() == Field::Hostname).then_some(host.to_owned());
        ["a", "b", "c"]
            .into_iter()
            .filter(|host| constraint.allows(value(host).as_deref(), placed.tally(constraint.field())))
            .collect()
    }

    #[test]
    fn each_operator_counts_what_is_there() {
        for (words, expected) in [
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
            assert_eq!(allowed(&constraint), expected, "{words:?}");
        }
        assert!(same("1.0", "1") && !same("1.001", "1"));
    }

    #[test]
    fn who_does_not_say_where_it_is_is_at_home() {
        let at = |field: &str| Constraint::new(Field::named(field), Rule::Home("a".into()));
        assert_eq!(allowed(&at("hostname")), ["a"]);
        assert_eq!(allowed(&at("@region")), ["a", "b", "c"]);
        assert_eq!(at("@region").words().join(" "), "@region IS a");
    }

    #[test]
    fn a_group_without_anyone_is_filled_first_and_one_value_holds_all_of_a_cluster() {
        let (a, b): (&dyn Place, &dyn Place) = (&Host("a"), &Host("b"));
        let cluster = Constraint::new(Field::Hostname, Rule::Cluster(None));
        let spread = Constraint::new(Field::Hostname, Rule::GroupBy(None));
        let both = [cluster.clone(), spread.clone()];
        let mut placed = Placed::of(&both, [a]);
        let hosts = |constraint: &Constraint, placed: &Placed| -> Vec<&str> {
            let tally = placed.tally(&Field::Hostname);
            ["a", "b"].into_iter().filter(|host| constraint.allows(Some(host), tally)).collect()
        };
        assert_eq!(hosts(&cluster, &placed), ["a"]);
        placed.add(a);
        placed.add(b);
        assert_eq!((hosts(&cluster, &placed), hosts(&spread, &placed)), (vec![], vec!["b"]));
        placed.remove(a);
        assert_eq!(hosts(&spread, &placed), ["a", "b"]);
        placed.remove(a);
        assert_eq!(hosts(&cluster, &placed), ["b"], "nobody is at a any more");
    }
}
