//! What quotas may be asked for. One rule, one message; those about `force` and the cluster's capacity are in Mesos' words.

use std::collections::BTreeSet;

use chapada_model::{Milli, Quantities, Role, Text};

use super::tree::Tree;
use crate::{Master, Quota};

/// How many roles may have quota (I8). So many of the largest amounts can still be added up.
pub const MAX_QUOTAS: usize = 10_000;

/// How many quotas one call may set: they become durable in one transaction.
pub const MAX_QUOTAS_PER_CALL: usize = 500;

/// How many names of resources a quota may speak of.
pub const MAX_QUOTA_NAMES: usize = 32;

/// How long the name of a role with a quota or a weight, or of a resource in a quota, may be: it is part of a record.
pub const MAX_ROLE_BYTES: usize = 512;

/// 1 EiB of memory or disk, in the API's megabytes. Source: Mesos (MESOS-10008).
const EXABYTE: u64 = 1 << 40;

/// The most of anything else. Source: Mesos (MESOS-10008).
const TRILLION: u64 = 1_000_000_000_000;

/// The most that a quota may say of a resource: what is larger would be lost in arithmetic (MESOS-10008).
pub fn largest_amount(name: &str) -> Milli {
    match name {
        "mem" | "disk" => Milli::whole(EXABYTE),
        _ => Milli::whole(TRILLION),
    }
}

impl Master {
    pub(super) fn check_update(&self, configs: &[(Role, Quota)], force: bool) -> Result<(), String> {
        check_shape(configs)?;
        self.check_count(configs)?;
        if !force {
            self.check_consumed(configs)?;
        }
        Tree::with(&self.registry.quotas, configs).check()?;
        if !force {
            let forced = "(use 'force' flag to bypass this check)";
            self.check_capacity(configs).map_err(|why| format!("{why} {forced}"))?;
        }
        Ok(())
    }

    pub(super) fn check_set(&self, configs: &[(Role, Quota)]) -> Result<(), String> {
        check_shape(configs)?;
        self.check_count(configs)?;
        for (role, quota) in configs {
            if self.registry.quotas.contains_key(role) {
                return Err(format!("Cannot set quota for role '{role}' which already has quota"));
            }
            if quota.guarantee.is_empty() {
                return Err(format!("the guarantee of role '{role}' is empty: name at least one amount"));
            }
        }
        Tree::with(&self.registry.quotas, configs).check()
    }

    pub(super) fn check_remove(&self, configs: &[(Role, Quota)]) -> Result<(), String> {
        if let Some((role, _)) = configs.iter().find(|(role, _)| !self.registry.quotas.contains_key(role)) {
            return Err(format!("Role '{role}' has no quota set"));
        }
        Tree::with(&self.registry.quotas, configs).check()
    }

    /// What is guaranteed in all must be there, whoever holds it now.
    pub(super) fn check_capacity(&self, configs: &[(Role, Quota)]) -> Result<(), String> {
        let guaranteed = Tree::with(&self.registry.quotas, configs).guaranteed();
        let capacity = self.books.capacity();
        match capacity.contains(&guaranteed) {
            true => Ok(()),
            false => {
                Err(format!("total quota guarantees '{guaranteed}' exceed cluster capacity '{capacity}'"))
            }
        }
    }

    /// A limit below what is consumed would not hold: that wants to be forced.
    fn check_consumed(&self, configs: &[(Role, Quota)]) -> Result<(), String> {
        let consumed = self.books.consumption();
        for (role, quota) in configs {
            let Some(consumed) = consumed.get(role) else { continue };
            if quota.limit.iter().any(|(name, most)| consumed.get(name) > *most) {
                let limits = Quantities(quota.limit.clone());
                return Err(format!(
                    "Role '{role}' already consumes '{consumed}', more than the requested limits '{limits}' \
                     (use 'force' flag to bypass this check)"
                ));
            }
        }
        Ok(())
    }

    fn check_count(&self, configs: &[(Role, Quota)]) -> Result<(), String> {
        let is_new = |config: &&(Role, Quota)| !self.registry.quotas.contains_key(&config.0);
        let count = self.registry.quotas.len() + configs.iter().filter(is_new).count();
        match count <= MAX_QUOTAS {
            true => Ok(()),
            false => Err(format!("at most {MAX_QUOTAS} roles may have quota: end those of others first")),
        }
    }
}

fn check_shape(configs: &[(Role, Quota)]) -> Result<(), String> {
    if configs.len() > MAX_QUOTAS_PER_CALL {
        let count = configs.len();
        return Err(format!(
            "{count} 'quota_configs' in one call, at most {MAX_QUOTAS_PER_CALL}: make several"
        ));
    }
    let mut seen = BTreeSet::new();
    for (role, quota) in configs {
        if !seen.insert(role) {
            return Err(format!("role '{role}' is named twice: say once what its quota is to be"));
        }
        check_role(role)?;
        check_names("guarantees", role, &quota.guarantee.0)?;
        check_names("limits", role, &quota.limit)?;
        let above = |(name, most): &(&Text, &Milli)| quota.guarantee.get(name) > **most;
        if quota.limit.iter().any(|pair| above(&pair)) {
            let (guarantees, limits) = (&quota.guarantee, Quantities(quota.limit.clone()));
            return Err(format!(
                "'guarantees' {guarantees} of role '{role}' are not contained within its 'limits' {limits}"
            ));
        }
    }
    Ok(())
}

/// The name of a role becomes the key of a record.
pub(crate) fn check_role(role: &Role) -> Result<(), String> {
    let length = role.as_str().len();
    match length <= MAX_ROLE_BYTES {
        true => Ok(()),
        false => Err(format!("the name of a role has {length} bytes, at most {MAX_ROLE_BYTES} are kept")),
    }
}

fn check_names(
    field: &str,
    role: &Role,
    amounts: &std::collections::BTreeMap<Text, Milli>,
) -> Result<(), String> {
    if amounts.len() > MAX_QUOTA_NAMES {
        return Err(format!("'{field}' of role '{role}' name more than {MAX_QUOTA_NAMES} resources"));
    }
    for (name, amount) in amounts {
        if name.is_empty() || name.len() > MAX_ROLE_BYTES {
            return Err(format!("'{field}' of role '{role}' name a resource of no or too long a name"));
        }
        let largest = largest_amount(name);
        if *amount > largest {
            return Err(format!("'{field}' of role '{role}' say {name}:{amount}, the largest is {largest}"));
        }
    }
    Ok(())
}
