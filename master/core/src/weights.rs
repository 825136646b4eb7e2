//! Weights of roles: durable before they count.

use std::collections::BTreeSet;

use chapada_model::{Milli, Role};

use crate::pending::Pending;
use crate::quota::check_role;
use crate::{Master, OperatorRefused, RegistryChange, Ticket};

/// How many roles may have a weight of their own (I8).
pub const MAX_WEIGHTS: usize = 10_000;

/// How many weights one call may set: they become durable in one transaction.
pub const MAX_WEIGHTS_PER_CALL: usize = 500;

impl Master {
    /// UPDATE_WEIGHTS: all of it or nothing. They count for what is offered from then on; nothing is taken back.
    ///
    /// # Errors
    /// [`OperatorRefused::Invalid`] names the role and the rule.
    pub(crate) fn update_weights(
        &mut self,
        weights: Vec<(Role, Milli)>,
    ) -> Result<Option<Ticket>, OperatorRefused> {
        let invalid =
            |why| OperatorRefused::Invalid(format!("Failed to validate update weights request JSON: {why}"));
        self.check_weights(&weights).map_err(invalid)?;
        if weights.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.record_then(RegistryChange::PutWeights(weights.clone()), Pending::Weights(weights))))
    }

    fn check_weights(&self, weights: &[(Role, Milli)]) -> Result<(), String> {
        if weights.len() > MAX_WEIGHTS_PER_CALL {
            let count = weights.len();
            return Err(format!("{count} weights in one call, at most {MAX_WEIGHTS_PER_CALL}: make several"));
        }
        let mut seen = BTreeSet::new();
        for (role, weight) in weights {
            if !seen.insert(role) {
                return Err(format!("role '{role}' is named twice: say once what it is to weigh"));
            }
            check_role(role)?;
            if weight.is_zero() {
                return Err(format!("Invalid weight '0' for role '{role}': Weights must be positive"));
            }
        }
        let is_new = |role: &&&Role| !self.registry.weights.contains_key(**role);
        match self.registry.weights.len() + seen.iter().filter(is_new).count() <= MAX_WEIGHTS {
            true => Ok(()),
            false => Err(format!("at most {MAX_WEIGHTS} roles may have a weight of their own")),
        }
    }

    /// Weights are durable: they count from now on.
    pub(crate) fn on_weights_recorded(&mut self, weights: Vec<(Role, Milli)>) {
        for (role, weight) in weights {
            self.allocator.set_weight(&role, weight);
            self.books.weights.insert(role, weight);
        }
    }

    /// The weights of a new leader, before anything is offered.
    pub(crate) fn recover_weights(&mut self) {
        let weights = self.registry.weights.iter().map(|(role, weight)| (role.clone(), *weight));
        self.on_weights_recorded(weights.collect());
    }
}
