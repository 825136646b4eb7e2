//! Guarantees and limits of roles as operators set them: checked, made durable, and only then in force.
//!
//! Several calls may be on their way into the registry at once. Each is checked against the registry as it will be, so that
//! the second of two REMOVE_QUOTA finds nothing to remove.

mod capacity;
mod check;
mod enforce;
mod hold;
mod tree;

use chapada_model::{Quantities, Role};

pub(crate) use capacity::{is_open, with_those_below};
pub(crate) use check::check_role;
pub use check::{MAX_QUOTA_NAMES, MAX_QUOTAS, MAX_QUOTAS_PER_CALL, MAX_ROLE_BYTES, largest_amount};
pub(crate) use hold::Hold;

use crate::pending::Pending;
use crate::{Master, OperatorRefused, Quota, RegistryChange, Ticket};

impl Master {
    /// UPDATE_QUOTA: all of it or nothing. A quota that promises and forbids nothing ends the role's.
    ///
    /// # Errors
    /// [`OperatorRefused::Invalid`] names the role and the rule; `force` passes over two of the rules.
    pub(crate) fn update_quota(
        &mut self,
        configs: Vec<(Role, Quota)>,
        force: bool,
    ) -> Result<Option<Ticket>, OperatorRefused> {
        let invalid = |why| OperatorRefused::Invalid(format!("Invalid QuotaConfig: {why}"));
        self.check_update(&configs, force).map_err(invalid)?;
        Ok(self.record_quotas(configs))
    }

    /// SET_QUOTA, which Mesos deprecates: a guarantee that is the limit too, for a role that has no quota.
    ///
    /// # Errors
    /// As UPDATE_QUOTA; [`OperatorRefused::Conflict`] when the cluster is too small for it.
    pub(crate) fn set_quota(
        &mut self,
        role: Role,
        guarantee: Quantities,
        force: bool,
    ) -> Result<Option<Ticket>, OperatorRefused> {
        let limit = guarantee.0.clone();
        let configs = vec![(role, Quota { guarantee, limit })];
        let invalid = |why| OperatorRefused::Invalid(format!("Failed to validate set quota request: {why}"));
        self.check_set(&configs).map_err(invalid)?;
        if !force {
            self.check_capacity(&configs).map_err(|why| {
                let hint = "Quota guarantees overcommit the cluster (use 'force' to bypass this check)";
                OperatorRefused::Conflict(format!("{hint}: {why}"))
            })?;
        }
        Ok(self.record_quotas(configs))
    }

    /// REMOVE_QUOTA, which Mesos deprecates.
    ///
    /// # Errors
    /// When the role has no quota, or will have none once what was asked before is durable (MESOS-9786), or when those
    /// below could not be kept without it.
    pub(crate) fn remove_quota(&mut self, role: Role) -> Result<Option<Ticket>, OperatorRefused> {
        let configs = vec![(role, Quota::default())];
        let invalid = |why| OperatorRefused::Invalid(format!("Failed to remove quota: {why}"));
        self.check_remove(&configs).map_err(invalid)?;
        Ok(self.record_quotas(configs))
    }

    fn record_quotas(&mut self, configs: Vec<(Role, Quota)>) -> Option<Ticket> {
        if configs.is_empty() {
            return None;
        }
        let change = |(role, quota): (Role, Quota)| (role, (!quota.is_default()).then_some(quota));
        let changes: Vec<_> = configs.into_iter().map(change).collect();
        Some(self.record_then(RegistryChange::PutQuotas(changes.clone()), Pending::Quotas(changes)))
    }

    /// Quotas are durable: they are in force from now on, for what is on offer already too.
    pub(crate) fn on_quotas_recorded(&mut self, changes: Vec<(Role, Option<Quota>)>) {
        let is_raised = changes.iter().any(|(role, quota)| {
            let before =
                self.books.quotas.get(role).map(|before| before.guarantee.clone()).unwrap_or_default();
            quota.as_ref().is_some_and(|quota| !before.contains(&quota.guarantee))
        });
        for (role, quota) in &changes {
            match quota {
                Some(quota) => drop(self.books.quotas.insert(role.clone(), quota.clone())),
                None => drop(self.books.quotas.remove(role)),
            }
        }
        self.allocator.set_quotas(changes);
        self.enforce_limits();
        if is_raised {
            self.make_room();
        }
    }

    /// The quotas of a new leader, before anything is offered.
    pub(crate) fn recover_quotas(&mut self) {
        let quotas = self.registry.quotas.iter().map(|(role, quota)| (role.clone(), quota.clone()));
        self.books.quotas = quotas.clone().collect();
        self.allocator.set_quotas(quotas.map(|(role, quota)| (role, Some(quota))));
    }
}
