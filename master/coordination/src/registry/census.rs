//! Which pages a leader left. Should one be deleted by hand while nobody leads, the next leader does not take what is left for all.
//!
//! It lies in the registry's header and changes in the transactions that make and delete pages. Builds that do not know it pass it
//! over, and raise the epoch without it: then it says nothing, and is counted afresh.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::page::hash_of;
use super::place::PageKey;

/// The pages of a registry, by number and sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::registry) struct Census {
    /// Of the leader that counted.
    epoch: u64,
    kinds: BTreeMap<String, Tally>,
}

/// Those of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    pages: u64,
    /// Of the hashes of their names: tells as many others from them.
    sum: u32,
}

impl Census {
    /// Counts them.
    pub(in crate::registry) fn of<'a>(epoch: u64, pages: impl IntoIterator<Item = &'a PageKey>) -> Self {
        let mut census = Self { epoch, kinds: BTreeMap::new() };
        pages.into_iter().for_each(|page| census.add(page));
        census
    }

    /// Whether nobody has led since who did not count.
    pub(in crate::registry) fn is_of(&self, epoch: u64) -> bool {
        self.epoch == epoch
    }

    /// The same, taken over by the leader of a later epoch.
    pub(in crate::registry) fn taken_over(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    pub(in crate::registry) fn add(&mut self, page: &PageKey) {
        let tally = self.kinds.entry(page.kind.clone()).or_default();
        tally.pages += 1;
        tally.sum = tally.sum.wrapping_add(hash(page));
    }

    pub(in crate::registry) fn remove(&mut self, page: &PageKey) {
        let Some(tally) = self.kinds.get_mut(&page.kind) else { return };
        tally.pages = tally.pages.saturating_sub(1);
        tally.sum = tally.sum.wrapping_sub(hash(page));
        if tally.pages == 0 {
            self.kinds.remove(&page.kind);
        }
    }

    /// How what is found differs from what was left, in words.
    pub(in crate::registry) fn difference(&self, found: &Self) -> Option<String> {
        let kinds =
            self.kinds.keys().chain(found.kinds.keys().filter(|kind| !self.kinds.contains_key(*kind)));
        let differences = kinds.filter_map(|kind| {
            let of = |census: &Self| census.kinds.get(kind).copied().unwrap_or_default();
            let (left, found) = (of(self), of(found));
            match found.pages.cmp(&left.pages) {
                Ordering::Equal if left.sum == found.sum => None,
                Ordering::Equal => Some(format!("{kind} has not the same pages")),
                Ordering::Less => Some(format!("{kind} has {} of its {} pages", found.pages, left.pages)),
                Ordering::Greater => Some(format!("{kind} has {} pages, not {}", found.pages, left.pages)),
            }
        });
        Some(differences.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty())
    }
}

fn hash(page: &PageKey) -> u32 {
    let hash = hash_of(&page.path());
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(key: &str) -> PageKey {
        PageKey::bucket("agents", key)
    }

    #[test]
    fn what_comes_and_goes_is_counted_as_if_afresh() {
        let mut census = Census::of(7, []);
        for key in ["a", "b", "c"] {
            census.add(&page(key));
        }
        census.add(&PageKey::own("instance", 5, 0));
        census.remove(&page("b"));
        assert_eq!(census, Census::of(7, &[page("c"), PageKey::own("instance", 5, 0), page("a")]));
        census.remove(&PageKey::own("instance", 5, 0));
        assert_eq!(census, Census::of(7, &[page("a"), page("c")]));
    }

    #[test]
    fn one_that_is_gone_or_another_is_told_by_its_kind() {
        let left = Census::of(7, &[page("a"), page("b"), PageKey::bucket("quotas", "q")]);
        assert_eq!(left.difference(&left.clone().taken_over(8)), None);
        let fewer = Census::of(8, &[page("a")]);
        let words = "agents has 1 of its 2 pages, quotas has 0 of its 1 pages";
        assert_eq!(left.difference(&fewer).as_deref(), Some(words));
        let others = Census::of(8, &[page("a"), page("c"), PageKey::bucket("quotas", "q")]);
        assert_eq!(left.difference(&others).as_deref(), Some("agents has not the same pages"));
        let words = "agents has 2 pages, not 1, quotas has 1 pages, not 0";
        assert_eq!(fewer.difference(&left).as_deref(), Some(words));
    }

    #[test]
    fn its_form_is_fixed_by_the_format() {
        let census = Census::of(
            7,
            &[PageKey::bucket("agents", "a"), PageKey::own("instance", 0x00ab_cdef_0123_4567, 12)],
        );
        let text = serde_json::to_string(&census).unwrap();
        let fixed = r#"{"epoch":7,"kinds":{"agents":{"pages":1,"sum":2794239124},"instance":{"pages":1,"sum":2895602265}}}"#;
        assert_eq!(text, fixed);
        assert_eq!(serde_json::from_str::<Census>(&text).unwrap(), census);
    }
}
