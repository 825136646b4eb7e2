//! Quotas as they would be, held against those above and below in the tree of roles.
//!
//! A role's parent here is the next role above that has a quota: one without promises and forbids nothing.

use std::collections::BTreeMap;

use chapada_model::{Quantities, Role};

use crate::Quota;

pub(super) struct Tree<'a>(BTreeMap<&'a Role, &'a Quota>);

impl<'a> Tree<'a> {
    /// What there is, and these instead where they differ.
    pub(super) fn with(quotas: &'a BTreeMap<Role, Quota>, configs: &'a [(Role, Quota)]) -> Self {
        let mut all: BTreeMap<&Role, &Quota> = quotas.iter().collect();
        for (role, quota) in configs {
            match quota.is_default() {
                true => drop(all.remove(role)),
                false => drop(all.insert(role, quota)),
            }
        }
        Self(all)
    }

    /// A parent must be promised what its children are, all together, and no child may have more than its parent. Source:
    /// the first is Mesos' rule, the second the one that it had planned.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut below: BTreeMap<&Role, Quantities> = BTreeMap::new();
        for (role, quota) in &self.0 {
            let Some((parent, above)) = self.parent(role) else { continue };
            let sum = below.entry(parent).or_default();
            quota.guarantee.iter().for_each(|(name, amount)| sum.add(name, amount));
            for (name, most) in &above.limit {
                if quota.limit.get(name).is_some_and(|mine| mine > most) {
                    let mine = Quantities(quota.limit.clone());
                    return Err(format!(
                        "limits '{mine}' of role '{role}' exceed the limit {name}:{most} of role '{parent}' above it"
                    ));
                }
            }
        }
        for (parent, sum) in below {
            let guarantee = &self.0[parent].guarantee;
            if !guarantee.contains(&sum) {
                return Err(format!(
                    "guarantees '{guarantee}' of role '{parent}' do not contain the sum '{sum}' of those directly \
                     below it: raise them in the same call"
                ));
            }
        }
        Ok(())
    }

    /// What is promised in all: a role's guarantee contains those below it.
    pub(super) fn guaranteed(&self) -> Quantities {
        let mut sum = Quantities::default();
        for (_, quota) in self.0.iter().filter(|(role, _)| self.parent(role).is_none()) {
            quota.guarantee.iter().for_each(|(name, amount)| sum.add(name, amount));
        }
        sum
    }

    fn parent(&self, role: &Role) -> Option<(&'a Role, &'a Quota)> {
        let above = std::iter::successors(role.parent(), Role::parent);
        above.into_iter().find_map(|role| self.0.get_key_value(&role).map(|(role, quota)| (*role, *quota)))
    }
}
