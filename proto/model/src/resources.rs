//! Resources together, and the arithmetic that all books rest on.
//!
//! What is added can be taken away again and leaves what was there before; what is contained can be taken away. The
//! property tests in `tests/` hold both against every shape of resource.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::{Milli, Resource, ResourceValue, Role};

/// Resources of any kinds, one entry for each kind, none of them empty. Sorted, so equal resources are equal values.
///
/// A shared resource has one entry for each user of it. Copies share their entries until one of them is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(from = "Vec<Resource>", into = "Vec<Resource>")]
pub struct Resources(
    /// None while there is nothing.
    Option<Arc<Vec<Resource>>>,
);

/// Why resources cannot be added or taken away. Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// There is not as much of it.
    #[error("{wanted} is more than what is there")]
    Short {
        /// What was to be taken.
        wanted: String,
    },
    /// It would be there twice, or the sum is too large to count, or one is a number and the other is not.
    #[error("{added} cannot be added to {present}")]
    Conflict {
        /// What was there.
        present: String,
        /// What was to be added.
        added: String,
    },
}

/// Where one more resource goes.
enum Place {
    /// It is none.
    Nowhere,
    /// Beside the others, as the entry of this number.
    At(usize),
    /// To an entry, which is so much then.
    Sum(usize, ResourceValue),
}

impl Resources {
    /// No resources.
    pub const EMPTY: Self = Self(None);

    /// Adds up resources of any kinds.
    ///
    /// # Errors
    /// [`ResourceError::Conflict`] when a port or a name is there twice, or a sum is too large.
    pub fn from_list(list: impl IntoIterator<Item = Resource>) -> Result<Self, ResourceError> {
        let (mut sum, list) = (Self::EMPTY, list.into_iter());
        // These are kept for long, many of them, and as large as they are made here.
        let expected = list.size_hint().0;
        for resource in list {
            match sum.with_one(&resource)? {
                Place::Nowhere => {}
                Place::At(at) => {
                    let entries = sum.make_mut();
                    if entries.is_empty() {
                        entries.reserve_exact(expected);
                    }
                    entries.insert(at, resource);
                }
                Place::Sum(at, value) => sum.make_mut()[at].value = value,
            }
        }
        Ok(sum)
    }

    /// The entries in a stable order.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.list().iter()
    }

    fn list(&self) -> &[Resource] {
        self.0.as_ref().map_or(&[], |list| list.as_slice())
    }

    /// For entries that are sorted and of different kinds.
    fn of_sorted(list: Vec<Resource>) -> Self {
        Self((!list.is_empty()).then(|| Arc::new(list)))
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// Both together.
    ///
    /// # Errors
    /// [`ResourceError::Conflict`] when something would be there twice.
    pub fn checked_add(&self, other: &Self) -> Result<Self, ResourceError> {
        let mut sum = self.clone();
        sum.add(other)?;
        Ok(sum)
    }

    /// Puts `other` to this.
    ///
    /// # Errors
    /// [`ResourceError::Conflict`] when something would be there twice; this is unchanged then.
    pub fn add(&mut self, other: &Self) -> Result<(), ResourceError> {
        if self.is_empty() {
            self.0.clone_from(&other.0);
            return Ok(());
        }
        for (index, resource) in other.iter().enumerate() {
            if let Err(error) = self.add_one(resource) {
                other.list()[..index].iter().for_each(|added| self.sub_one(added));
                return Err(error);
            }
        }
        Ok(())
    }

    /// This without `other`.
    ///
    /// # Errors
    /// [`ResourceError::Short`] when any one resource is short.
    pub fn checked_sub(&self, other: &Self) -> Result<Self, ResourceError> {
        let mut left = self.clone();
        left.sub(other)?;
        Ok(left)
    }

    /// Takes `other` out of this.
    ///
    /// # Errors
    /// [`ResourceError::Short`] when any one resource is short; this is unchanged then.
    pub fn sub(&mut self, other: &Self) -> Result<(), ResourceError> {
        if !self.contains(other) {
            return Err(ResourceError::Short { wanted: other.to_string() });
        }
        for resource in other {
            self.sub_one(resource);
        }
        Ok(())
    }

    /// What is in both: the most of `other` that can be taken out of this.
    pub fn intersection(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return Self::EMPTY;
        }
        let mut left = self.clone();
        let mut common = Self::EMPTY;
        for resource in other {
            let Some(mine) = left.kind(resource).first() else { continue };
            let value = match resource.is_whole() {
                true if mine.value == resource.value => mine.value.clone(),
                true => continue,
                false => mine.value.intersection(&resource.value),
            };
            let part = Resource { value, ..resource.clone() };
            if common.add_one(&part).is_ok() && !part.value.is_empty() {
                left.sub_one(&part);
            }
        }
        common
    }

    /// Whether `other` can be taken out of this.
    pub fn contains(&self, other: &Self) -> bool {
        let mut uses = other.iter().peekable();
        while let Some(resource) = uses.next() {
            // Equal shared entries stand beside each other: count them on both sides.
            let mut count = 1;
            while resource.shared && uses.next_if(|next| **next == *resource).is_some() {
                count += 1;
            }
            let found = self.kind(resource);
            let enough = match resource.is_whole() {
                true => found.iter().filter(|mine| mine.value == resource.value).count() >= count,
                false => found.first().is_some_and(|mine| mine.value.contains(&resource.value)),
            };
            if !enough {
                return false;
            }
        }
        true
    }

    /// The same resources, allocated to a role.
    pub fn allocated_to(&self, role: &Role) -> Self {
        self.map_allocation(Some(role))
    }

    /// The same resources, allocated to nobody.
    ///
    /// Allocations to several roles of the same kind add up; where they cannot, which only happens to resources that
    /// were never a valid whole, the larger entry stays.
    pub fn unallocated(&self) -> Self {
        self.map_allocation(None)
    }

    /// The role they are all allocated to; `None` when there is none, or more than one.
    pub fn allocation_role(&self) -> Option<&Role> {
        let first = self.list().first()?.allocation_role.as_ref()?;
        self.iter().all(|r| r.allocation_role.as_ref() == Some(first)).then_some(first)
    }

    /// The entries for which the predicate holds.
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        Self::of_sorted(self.iter().filter(|resource| keep(resource)).cloned().collect())
    }

    /// Puts one resource to this for people to look at: amounts add up, and what is there already stays once, as a port that
    /// several agents have. Never use it for books.
    pub fn add_for_show(&mut self, resource: &Resource) {
        if self.add_one(resource).is_ok() {
            return;
        }
        let present = self.kind(resource).first().map(|mine| mine.value.intersection(&resource.value));
        if let Some(rest) = present.and_then(|common| resource.value.checked_sub(&common)) {
            let rest = Resource { value: rest, ..resource.clone() };
            // What is left has nothing in common with what is there; a whole thing that differs is not shown twice.
            drop(self.add_one(&rest));
        }
    }

    /// The sum of all amounts of one name, whoever they are kept for; zero for ranges and sets. What several use together
    /// counts once.
    pub fn scalar(&self, name: &str) -> Milli {
        self.distinct().filter(|resource| &*resource.name == name).fold(Milli::ZERO, |sum, r| {
            match &r.value {
                ResourceValue::Scalar(milli) => Milli(sum.0.saturating_add(milli.0)),
                ResourceValue::Ranges(_) | ResourceValue::Set(_) => sum,
            }
        })
    }

    /// The entries, each shared one once however many use it.
    fn distinct(&self) -> impl Iterator<Item = &Resource> {
        let before = [None].into_iter().chain(self.iter().map(Some));
        // Equal shared entries stand beside each other.
        self.iter().zip(before).filter(|(mine, before)| *before != Some(*mine)).map(|(mine, _)| mine)
    }

    /// What several may use at once, each once however many do.
    pub fn shared(&self) -> Self {
        Self::of_sorted(self.distinct().filter(|resource| resource.shared).cloned().collect())
    }

    /// What only one may use at a time: most often all of it.
    pub fn unshared(&self) -> Cow<'_, Self> {
        match self.iter().any(|resource| resource.shared) {
            true => Cow::Owned(self.filter(|resource| !resource.shared)),
            false => Cow::Borrowed(self),
        }
    }

    /// Puts what is shared and not here yet to this.
    ///
    /// # Errors
    /// [`ResourceError::Conflict`] when a shared thing is here with another value; this is unchanged then.
    pub fn share(&mut self, other: &Self) -> Result<(), ResourceError> {
        self.add(&other.shared().filter(|resource| !self.list().contains(resource)))
    }

    /// CPUs, in thousandths.
    pub fn cpus(&self) -> Milli {
        self.scalar("cpus")
    }

    /// Memory, in thousandths of a MiB.
    pub fn mem(&self) -> Milli {
        self.scalar("mem")
    }

    /// Disk, in thousandths of a MiB.
    pub fn disk(&self) -> Milli {
        self.scalar("disk")
    }

    /// The ports, in ascending order. Take only as many as you need.
    pub fn ports(&self) -> impl Iterator<Item = u64> + '_ {
        self.iter().filter(|r| &*r.name == "ports").flat_map(|r| match &r.value {
            ResourceValue::Ranges(ranges) => Some(ranges.numbers()).into_iter().flatten(),
            ResourceValue::Scalar(_) | ResourceValue::Set(_) => None.into_iter().flatten(),
        })
    }

    /// Where the entries of a kind are, or would be.
    fn place(&self, resource: &Resource) -> usize {
        self.list().partition_point(|mine| mine.compare_kind(resource) == Ordering::Less)
    }

    /// All entries of one kind: at most one unless it is shared.
    fn kind(&self, resource: &Resource) -> &[Resource] {
        let rest = &self.list()[self.place(resource)..];
        let end = rest.iter().take_while(|mine| mine.compare_kind(resource) == Ordering::Equal).count();
        &rest[..end]
    }

    fn add_one(&mut self, resource: &Resource) -> Result<(), ResourceError> {
        match self.with_one(resource)? {
            Place::Nowhere => {}
            Place::At(at) => self.make_mut().insert(at, resource.clone()),
            Place::Sum(at, value) => self.make_mut()[at].value = value,
        }
        Ok(())
    }

    fn make_mut(&mut self) -> &mut Vec<Resource> {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    /// What becomes of one more.
    fn with_one(&self, resource: &Resource) -> Result<Place, ResourceError> {
        if resource.value.is_empty() {
            return Ok(Place::Nowhere);
        }
        let at = self.place(resource);
        let present = self.list().get(at).filter(|mine| mine.compare_kind(resource) == Ordering::Equal);
        let sum = match present {
            None => None,
            Some(mine) if resource.shared && mine.value == resource.value => None,
            Some(mine) => {
                let sum = mine.value.checked_add(&resource.value).filter(|_| !resource.is_whole());
                let conflict =
                    || ResourceError::Conflict { present: mine.to_string(), added: resource.to_string() };
                Some(sum.ok_or_else(conflict)?)
            }
        };
        Ok(match sum {
            None => Place::At(at),
            Some(sum) => Place::Sum(at, sum),
        })
    }

    /// Only called for what is contained.
    fn sub_one(&mut self, resource: &Resource) {
        let at = self.place(resource);
        let Some(list) = &mut self.0 else { return };
        let Some(left) = list.get(at).and_then(|mine| mine.value.checked_sub(&resource.value)) else {
            return;
        };
        let is_used_up = left.is_empty() || resource.is_whole();
        match is_used_up {
            true if list.len() == 1 => self.0 = None,
            true => drop(Arc::make_mut(list).remove(at)),
            false => Arc::make_mut(list)[at].value = left,
        }
    }

    fn map_allocation(&self, role: Option<&Role>) -> Self {
        let Some(first) = self.list().first() else { return Self::EMPTY };
        if self.iter().any(|resource| resource.allocation_role != first.allocation_role) {
            return self.merge_allocations(role);
        }
        // Where all have one allocation, another one changes neither order nor kinds.
        match first.allocation_role.as_ref() == role {
            true => self.clone(),
            false => {
                let with = |r: &Resource| Resource { allocation_role: role.cloned(), ..r.clone() };
                Self::of_sorted(self.iter().map(with).collect())
            }
        }
    }

    fn merge_allocations(&self, role: Option<&Role>) -> Self {
        let mut changed = Self::EMPTY;
        for resource in self {
            let resource = Resource { allocation_role: role.cloned(), ..resource.clone() };
            // Only entries that differed by allocation alone can meet here; see the documentation of `unallocated`.
            drop(changed.add_one(&resource));
        }
        changed
    }
}

impl From<Resources> for Vec<Resource> {
    fn from(resources: Resources) -> Self {
        resources.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

impl From<Vec<Resource>> for Resources {
    /// For stored values, which were valid when written; an entry that conflicts is left out.
    fn from(list: Vec<Resource>) -> Self {
        let mut sum = Self::EMPTY;
        for resource in list {
            drop(sum.add_one(&resource));
        }
        sum
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Display for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, resource) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{resource}")?;
        }
        Ok(())
    }
}
