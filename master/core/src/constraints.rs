//! Which agents a framework wants to be offered at all, by role.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_allocator::{Constraint, Constraints, InvalidConstraint};
use chapada_model::Role;

/// The offer constraints of a framework, ready for use. They are made outside of the loop: compiling takes time.
#[derive(Clone, Debug, Default)]
pub struct OfferConstraints {
    said: BTreeMap<Role, Vec<Vec<Constraint>>>,
    compiled: BTreeMap<Role, Arc<Constraints>>,
}

/// Why offer constraints are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOfferConstraints {
    /// A role has constraints but no group of them, so that no agent would do.
    #[error("offer_constraints for role '{0}' have no group; leave the role out to take any agent")]
    NoGroup(Role),
    /// A group says nothing.
    #[error("group {index} of the offer_constraints for role '{role}' has no constraint")]
    EmptyGroup {
        /// The role.
        role: Role,
        /// Which group, counted from zero.
        index: usize,
    },
    /// A constraint cannot be.
    #[error("offer_constraints for role '{role}' are not valid: {problem}")]
    Constraint {
        /// The role.
        role: Role,
        /// What is wrong.
        problem: InvalidConstraint,
    },
}

impl OfferConstraints {
    /// Checks and compiles constraints: for each role groups of which any one must hold.
    ///
    /// # Errors
    /// [`InvalidOfferConstraints`] names the role.
    pub fn new(said: BTreeMap<Role, Vec<Vec<Constraint>>>) -> Result<Self, InvalidOfferConstraints> {
        let mut compiled = BTreeMap::new();
        for (role, groups) in &said {
            if groups.is_empty() {
                return Err(InvalidOfferConstraints::NoGroup(role.clone()));
            }
            if let Some(index) = groups.iter().position(Vec::is_empty) {
                return Err(InvalidOfferConstraints::EmptyGroup { role: role.clone(), index });
            }
            let ready = Constraints::new(groups.clone())
                .map_err(|problem| InvalidOfferConstraints::Constraint { role: role.clone(), problem })?;
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

/// What was said is the whole of it.
impl PartialEq for OfferConstraints {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Eq for OfferConstraints {}
