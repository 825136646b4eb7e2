//! Which agents a framework wants to be offered at all, by role.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_allocator::{Constraint, Constraints, Expressions, InvalidConstraint, Predicate};
use chapada_model::{Role, Text};

/// The offer constraints of a framework, ready for use. They are made outside of the loop: compiling takes time.
#[derive(Clone, Debug, Default)]
pub struct OfferConstraints {
    said: BTreeMap<Role, Vec<Vec<Constraint>>>,
    compiled: BTreeMap<Role, Arc<Constraints>>,
}

/// The most different regular expressions that a framework may have over all its roles: each takes memory and time to compile.
pub const MAX_EXPRESSIONS: usize = 100;

/// Why offer constraints are refused: which field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'offer_constraints{path}' {problem}")]
pub struct InvalidOfferConstraints {
    path: String,
    problem: String,
}

impl InvalidOfferConstraints {
    fn new(role: &Role, path: impl AsRef<str>, problem: impl Into<String>) -> Self {
        Self { path: format!(".role_constraints[{role}]{}", path.as_ref()), problem: problem.into() }
    }

    fn of(role: &Role, constraint: &InvalidConstraint) -> Self {
        let path = match constraint {
            InvalidConstraint::Regex { group, index, .. } => {
                format!(".groups[{group}].attribute_constraints[{index}].predicate")
            }
            InvalidConstraint::TooMany(_) => String::new(),
        };
        Self::new(role, path, format!("is not valid: {constraint}"))
    }
}

impl OfferConstraints {
    /// Checks and compiles constraints: for each role groups of which any one must hold. An expression that someone else uses
    /// already is shared with it.
    ///
    /// # Errors
    /// [`InvalidOfferConstraints`] names the field.
    pub fn new(
        said: BTreeMap<Role, Vec<Vec<Constraint>>>,
        expressions: &Expressions,
    ) -> Result<Self, InvalidOfferConstraints> {
        let mut compiled = BTreeMap::new();
        let mut patterns = BTreeSet::new();
        for (role, groups) in &said {
            let refuse = |path: &str, problem: &str| Err(InvalidOfferConstraints::new(role, path, problem));
            if groups.is_empty() {
                return refuse(".groups", "must not be empty; leave the role out to take any agent");
            }
            if let Some(index) = groups.iter().position(Vec::is_empty) {
                return refuse(&format!(".groups[{index}].attribute_constraints"), "must not be empty");
            }
            patterns.extend(groups.iter().flatten().filter_map(pattern));
            if patterns.len() > MAX_EXPRESSIONS {
                let problem = format!(
                    "is too much: a framework may have {MAX_EXPRESSIONS} different regular expressions over all roles"
                );
                return refuse("", &problem);
            }
            let ready = Constraints::new(groups.clone(), expressions)
                .map_err(|problem| InvalidOfferConstraints::of(role, &problem))?;
            compiled.insert(role.clone(), Arc::new(ready));
        }
        Ok(Self { said, compiled })
    }

    /// The constraints as they were said.
    pub fn said(&self) -> &BTreeMap<Role, Vec<Vec<Constraint>>> {
        &self.said
    }

    pub(crate) fn compiled(&self) -> &BTreeMap<Role, Arc<Constraints>> {
        &self.compiled
    }
}

fn pattern(constraint: &Constraint) -> Option<&Text> {
    match &constraint.predicate {
        Predicate::TextMatches(pattern) | Predicate::TextNotMatches(pattern) => Some(pattern),
        Predicate::Exists | Predicate::NotExists | Predicate::TextEquals(_) | Predicate::TextNotEquals(_) => {
            None
        }
    }
}

/// What was said is the whole of it.
impl PartialEq for OfferConstraints {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Eq for OfferConstraints {}
