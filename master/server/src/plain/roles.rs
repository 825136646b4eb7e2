//! Roles.

use std::collections::BTreeMap;

use chapada_master_core::RoleView;
use chapada_model::{Milli, Quantities, Text};
use serde::Serialize;

/// A role as `/roles` shows it.
#[derive(Serialize)]
pub(super) struct PlainRole {
    name: String,
    weight: f64,
    quota: PlainQuota,
    resources: BTreeMap<String, f64>,
    allocated: BTreeMap<String, f64>,
    offered: BTreeMap<String, f64>,
    reserved: BTreeMap<String, f64>,
    frameworks: Vec<String>,
}

#[derive(Serialize)]
struct PlainQuota {
    role: String,
    guarantee: BTreeMap<String, f64>,
    limit: BTreeMap<String, f64>,
    consumed: BTreeMap<String, f64>,
}

impl From<&RoleView> for PlainRole {
    fn from(role: &RoleView) -> Self {
        let mut held = role.allocated.clone();
        for (name, amount) in role.offered.iter() {
            held.add(name, amount);
        }
        Self {
            name: role.name.to_string(),
            weight: role.weight.to_f64(),
            quota: PlainQuota {
                role: role.name.to_string(),
                guarantee: amounts(&role.quota.guarantee),
                limit: listed(role.quota.limit.iter().map(|(name, most)| (name, *most))),
                consumed: amounts(&role.consumed),
            },
            resources: amounts(&held),
            allocated: amounts(&role.allocated),
            offered: amounts(&role.offered),
            reserved: amounts(&role.reserved),
            frameworks: role.frameworks.iter().map(ToString::to_string).collect(),
        }
    }
}

fn amounts(quantities: &Quantities) -> BTreeMap<String, f64> {
    listed(quantities.iter())
}

fn listed<'a>(amounts: impl Iterator<Item = (&'a Text, Milli)>) -> BTreeMap<String, f64> {
    amounts.map(|(name, amount)| (name.to_string(), amount.to_f64())).collect()
}
