//! What quota leaves of an offer.

use std::borrow::Cow;

use chapada_model::{Milli, Resource, ResourceValue, Resources};

use super::{QuotaSlot, Quotas};
use crate::NameSlot;
use crate::agent::is_open;
use crate::amounts::Names;

/// Why something was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The role, or one above it, may not have more.
    Limit,
    /// It is kept for those to whom it is guaranteed.
    Owed,
}

/// What is left, and why something was cut off, if it was.
#[derive(Debug)]
pub(crate) struct Trimmed<'a> {
    pub(crate) resources: Cow<'a, Resources>,
    pub(crate) cut: Option<Cut>,
}

impl Quotas {
    /// Cuts amounts down to what a role may be given of them. Ranges, sets and what is reserved stay.
    pub(crate) fn trim<'a>(
        &self,
        path: &[QuotaSlot],
        resources: Cow<'a, Resources>,
        names: &Names,
    ) -> Trimmed<'a> {
        let mut left: Vec<(NameSlot, Milli)> = Vec::new();
        let mut cut = None;
        let parts: Vec<Milli> = resources
            .iter()
            .map(|resource| {
                let (part, by) = self.part(path, resource, names, &mut left);
                cut = cut.or(by);
                part
            })
            .collect();
        if cut.is_none() {
            return Trimmed { resources, cut };
        }
        let trimmed = resources.iter().zip(parts).filter_map(|(resource, part)| match resource.value {
            ResourceValue::Scalar(_) if part.is_zero() => None,
            ResourceValue::Scalar(_) => {
                Some(Resource { value: ResourceValue::Scalar(part), ..resource.clone() })
            }
            ResourceValue::Ranges(_) | ResourceValue::Set(_) => Some(resource.clone()),
        });
        // What is a part of a valid whole adds up.
        Trimmed { resources: Cow::Owned(Resources::from_list(trimmed).unwrap_or_default()), cut }
    }

    /// How much of one resource a role may be given, when `left` is what it still may have of each name.
    fn part(
        &self,
        path: &[QuotaSlot],
        resource: &Resource,
        names: &Names,
        left: &mut Vec<(NameSlot, Milli)>,
    ) -> (Milli, Option<Cut>) {
        let ResourceValue::Scalar(amount) = resource.value else { return (Milli::ZERO, None) };
        let Some(name) = names.slot(&resource.name).filter(|_| is_open(resource)) else {
            return (amount, None);
        };
        let index = left.iter().position(|(mine, _)| *mine == name).unwrap_or_else(|| {
            left.push((name, self.may_take(path, name).0));
            left.len() - 1
        });
        let room = left[index].1;
        let part = match resource.is_whole() {
            true if amount > room => Milli::ZERO,
            true | false => amount.min(room),
        };
        left[index].1 = room.checked_sub(part).unwrap_or_default();
        (part, (part < amount).then(|| self.may_take(path, name).1))
    }

    /// The most that a role may be given of a name, and what stands against more.
    fn may_take(&self, path: &[QuotaSlot], name: NameSlot) -> (Milli, Cut) {
        let nodes = || path.iter().filter_map(|slot| self.nodes.get(*slot));
        let limit = nodes().filter_map(|node| node.left(name)).min();
        let owed = self.owed.get(name);
        let room = match owed.is_zero() {
            true => Milli(u64::MAX),
            false => {
                let to_role = nodes().fold(0, |sum: u64, node| sum.saturating_add(node.owed_to_any(name).0));
                let surplus = self.available.get(name).0.saturating_sub(owed.0);
                Milli(to_role.saturating_add(surplus))
            }
        };
        match limit {
            Some(limit) if limit <= room => (limit, Cut::Limit),
            Some(_) | None => (room, Cut::Owed),
        }
    }
}
