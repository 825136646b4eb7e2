//! Offer constraints: which agents a framework wants to be offered at all.
//!
//! Source: Mesos 1.11. Any one group must hold; a group holds when all of its constraints do. A constraint speaks of the first
//! attribute of a name, or of the agent's host name, region or zone. Predicates on text hold for an attribute of another kind,
//! so that a framework may judge it itself.

mod expressions;

use std::sync::Arc;

use chapada_model::{AttributeValue, Text};
use regex::Regex;

use crate::AgentInput;
pub use expressions::Expressions;

/// The most constraints that one role may have, all groups together.
pub const MAX_CONSTRAINTS: usize = 1_000;

/// What a constraint speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The first attribute of this name.
    Attribute(Text),
    /// The agent's host name.
    Hostname,
    /// The region it stands in.
    Region,
    /// The zone it stands in.
    Zone,
}

/// What must hold for the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It is there and is this text.
    TextEquals(Text),
    /// It is not there or is another text.
    TextNotEquals(Text),
    /// It is there and the whole of it matches this regular expression.
    TextMatches(Text),
    /// It is not there or not the whole of it matches this regular expression.
    TextNotMatches(Text),
}

/// One condition on an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// What it speaks of.
    pub subject: Subject,
    /// What must hold.
    pub predicate: Predicate,
}

/// Why constraints are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConstraint {
    /// The expression is wrong, or would take too much memory or time.
    #[error("regular expression '{pattern}' is refused: {reason}")]
    Regex {
        /// Which group, counted from zero.
        group: usize,
        /// Which of its constraints, counted from zero.
        index: usize,
        /// The expression, or its beginning.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There are more than [`MAX_CONSTRAINTS`].
    #[error("there are {0} constraints for one role; give at most {MAX_CONSTRAINTS}")]
    TooMany(usize),
}

/// The constraints of a framework in one role, ready for use.
#[derive(Clone, Debug)]
pub struct Constraints {
    groups: Vec<Vec<Compiled>>,
}

#[derive(Clone, Debug)]
struct Compiled {
    constraint: Constraint,
    /// Present for the predicates that match; shared with all who say the same.
    regex: Option<Arc<Regex>>,
}

/// What an agent has of a subject.
enum Found<'a> {
    Nothing,
    Text(&'a str),
    /// An attribute of another kind.
    Other,
}

impl Constraints {
    /// Takes groups of which any one must hold. No groups hold for no agent.
    ///
    /// # Errors
    /// [`InvalidConstraint`] when an expression cannot be compiled within its bounds, or there are too many constraints.
    pub fn new(groups: Vec<Vec<Constraint>>, expressions: &Expressions) -> Result<Self, InvalidConstraint> {
        let count = groups.iter().map(Vec::len).sum();
        if count > MAX_CONSTRAINTS {
            return Err(InvalidConstraint::TooMany(count));
        }
        let compile_group = |(at, group): (usize, Vec<Constraint>)| {
            let each = group.into_iter().enumerate();
            each.map(|(index, one)| Compiled::new((at, index), one, expressions))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { groups: groups.into_iter().enumerate().map(compile_group).collect::<Result<_, _>>()? })
    }

    /// Whether an agent is wanted.
    pub(crate) fn allow(&self, agent: &AgentInput) -> bool {
        self.groups.iter().any(|group| group.iter().all(|compiled| compiled.holds(agent)))
    }
}

impl Compiled {
    fn new(
        (group, index): (usize, usize),
        constraint: Constraint,
        expressions: &Expressions,
    ) -> Result<Self, InvalidConstraint> {
        let refuse = |pattern: &Text, reason: String| InvalidConstraint::Regex {
            group,
            index,
            pattern: pattern.chars().take(100).collect(),
            reason,
        };
        let regex = match &constraint.predicate {
            Predicate::TextMatches(pattern) | Predicate::TextNotMatches(pattern) => {
                Some(expressions.compile(pattern).map_err(|reason| refuse(pattern, reason))?)
            }
            Predicate::Exists
            | Predicate::NotExists
            | Predicate::TextEquals(_)
            | Predicate::TextNotEquals(_) => None,
        };
        Ok(Self { constraint, regex })
    }

    fn holds(&self, agent: &AgentInput) -> bool {
        let found = find(&self.constraint.subject, agent);
        let matches = |text: &str| self.regex.as_ref().is_some_and(|regex| regex.is_match(text));
        match (&self.constraint.predicate, found) {
            (Predicate::Exists, found) => !matches!(found, Found::Nothing),
            (Predicate::NotExists, found) => matches!(found, Found::Nothing),
            (Predicate::TextEquals(_) | Predicate::TextMatches(_), Found::Nothing) => false,
            (Predicate::TextNotEquals(_) | Predicate::TextNotMatches(_), Found::Nothing) => true,
            (_, Found::Other) => true,
            (Predicate::TextEquals(wanted), Found::Text(text)) => **wanted == *text,
            (Predicate::TextNotEquals(unwanted), Found::Text(text)) => **unwanted != *text,
            (Predicate::TextMatches(_), Found::Text(text)) => matches(text),
            (Predicate::TextNotMatches(_), Found::Text(text)) => !matches(text),
        }
    }
}

fn find<'a>(subject: &Subject, agent: &'a AgentInput) -> Found<'a> {
    let domain = agent.domain.as_ref();
    let text = |text: Option<&'a Text>| text.map_or(Found::Nothing, |text| Found::Text(text));
    match subject {
        Subject::Hostname => Found::Text(&agent.hostname),
        Subject::Region => text(domain.map(|domain| &domain.region)),
        Subject::Zone => text(domain.map(|domain| &domain.zone)),
        Subject::Attribute(name) => match agent.attributes.iter().find(|attribute| attribute.name == *name) {
            None => Found::Nothing,
            Some(attribute) => match &attribute.value {
                AttributeValue::Text(text) => Found::Text(text),
                AttributeValue::Scalar(_) | AttributeValue::Ranges(_) | AttributeValue::Set(_) => {
                    Found::Other
                }
            },
        },
    }
}
