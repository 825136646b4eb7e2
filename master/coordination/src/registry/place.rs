//! Which page has a record: the one of its kind that the hash of its key names, or, where its kind is grouped, one of those
//! that its group has to itself.

use std::collections::{BTreeSet, HashMap};

use super::page::{BUCKETS, Page, bucket_of, hash_of};

/// The most records in a page of a group. A change of one rewrites the page, so it is small, and a transaction holds many.
pub(super) const PAGE_RECORDS: usize = 64;
/// A group's page takes no more records beyond so many bytes; one that grows larger leaves it, unless it is alone there.
pub(super) const PAGE_BYTES: usize = 128 * 1024;
/// A page that records share by hash takes no more of them beyond so many bytes: those of 50,000 agents have some 20 kB each.
pub(super) const BUCKET_BYTES: usize = 384 * 1024;
/// Groups of a kind are spread over so many folders, so that no list of children is long.
const FOLDERS: u64 = 256;

/// A page of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PageKey {
    pub(super) kind: String,
    pub(super) spot: Spot,
}

/// Which page of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Spot {
    /// By the hash of the keys in it.
    Bucket(u32),
    /// One of those of the groups with this hash, counted from 0.
    Own { group: u64, number: u32 },
}

impl PageKey {
    /// The page of a kind that is not grouped.
    pub(super) fn bucket(kind: &str, key: &str) -> Self {
        Self::at(kind, bucket_of(key))
    }

    /// The page of a bucket.
    pub(super) fn at(kind: &str, bucket: u32) -> Self {
        Self { kind: kind.to_owned(), spot: Spot::Bucket(bucket) }
    }

    /// One of a group's own.
    pub(super) fn own(kind: &str, group: u64, number: u32) -> Self {
        Self { kind: kind.to_owned(), spot: Spot::Own { group, number } }
    }

    /// Below the registry. Folders are named like buckets that there are not, so that builds that know buckets only read
    /// them and find a newer version.
    pub(super) fn path(&self) -> String {
        let kind = &self.kind;
        match self.spot {
            Spot::Bucket(bucket) => format!("{kind}/{bucket:03x}"),
            Spot::Own { group, number } => format!("{kind}/{:04x}/{group:016x}.{number}", folder_of(group)),
        }
    }

    /// The folder that it is in beside that of its kind.
    pub(super) fn folder(&self) -> Option<String> {
        match self.spot {
            Spot::Bucket(_) => None,
            Spot::Own { group, .. } => Some(format!("{}/{:04x}", self.kind, folder_of(group))),
        }
    }

    /// Reads the name of a page within a folder.
    pub(super) fn in_folder(kind: &str, name: &str) -> Option<Self> {
        let (group, number) = name.split_once('.')?;
        Some(Self::own(kind, u64::from_str_radix(group, 16).ok()?, number.parse().ok()?))
    }
}

fn folder_of(group: u64) -> u64 {
    u64::from(BUCKETS) + group % FOLDERS
}

/// What stands before the last dot of a key, or all of it.
pub(super) fn group_of(key: &str) -> u64 {
    hash_of(key.rsplit_once('.').map_or(key, |(group, _)| group))
}

/// Where the records of grouped kinds stand.
#[derive(Debug, Default)]
pub(super) struct Places {
    kinds: BTreeSet<String>,
    /// Which page of its group each record is in, or is to be in.
    numbers: HashMap<String, HashMap<String, u32>>,
    groups: HashMap<(String, u64), Group>,
}

#[derive(Debug, Default)]
struct Group {
    /// Pages that may have room, some of which are not there yet or any more.
    room: BTreeSet<u32>,
    /// The first number that was never used.
    next: u32,
}

impl Places {
    /// Records of this kind stand with those of their group.
    pub(super) fn group(&mut self, kind: &str) {
        self.kinds.insert(kind.to_owned());
    }

    pub(super) fn is_grouped(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }

    /// The page that a record is in.
    pub(super) fn of(&self, kind: &str, key: &str) -> Option<PageKey> {
        let number = *self.numbers.get(kind)?.get(key)?;
        Some(PageKey::own(kind, group_of(key), number))
    }

    /// A page for a record that is in none: the first of its group for which `fits`, or a new one. It is the record's
    /// from now on, also if the write fails: who tries again writes it there.
    pub(super) fn choose(&mut self, kind: &str, key: &str, fits: impl Fn(&PageKey) -> bool) -> PageKey {
        let hash = group_of(key);
        let group = self.groups.entry((kind.to_owned(), hash)).or_default();
        let mut room = group.room.iter().map(|number| PageKey::own(kind, hash, *number));
        let page = room.find(fits).unwrap_or_else(|| {
            group.next += 1;
            PageKey::own(kind, hash, group.next - 1)
        });
        if let Spot::Own { number, .. } = page.spot {
            group.room.insert(number);
            self.numbers.entry(kind.to_owned()).or_default().insert(key.to_owned(), number);
        }
        page
    }

    /// A page is now as `page` and was as `before`.
    pub(super) fn note(&mut self, key: &PageKey, before: Option<&Page>, page: &Page) {
        let Spot::Own { group: hash, number } = key.spot else { return };
        let numbers = self.numbers.entry(key.kind.clone()).or_default();
        for (record, _) in before.into_iter().flat_map(Page::records) {
            if !page.has(record) && numbers.get(record) == Some(&number) {
                numbers.remove(record);
            }
        }
        for (record, _) in page.records() {
            if numbers.get(record) != Some(&number) {
                numbers.insert(record.clone(), number);
            }
        }
        let group = self.groups.entry((key.kind.clone(), hash)).or_default();
        group.next = group.next.max(number.saturating_add(1));
        match page.len() < PAGE_RECORDS {
            true => group.room.insert(number),
            false => group.room.remove(&number),
        };
    }

    /// Forgets a group of which no page is left, as `is_there` says.
    pub(super) fn forget(&mut self, key: &PageKey, is_there: impl Fn(&PageKey) -> bool) {
        let Spot::Own { group, .. } = key.spot else { return };
        let name = (key.kind.clone(), group);
        let count = self.groups.get(&name).map_or(0, |group| group.next);
        if !(0..count).any(|number| is_there(&PageKey::own(&key.kind, group, number))) {
            self.groups.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_what_stands_before_the_last_dot() {
        assert_eq!(group_of("prod_web.v2.instance-1"), group_of("prod_web.v2.instance-2"));
        assert_ne!(group_of("prod_web.v2.instance-1"), group_of("prod_web.instance-1"));
        assert_eq!(group_of("web"), group_of("web.1"));
    }

    #[test]
    fn names_of_pages_are_fixed_by_the_format_and_lead_back() {
        assert_eq!(PageKey::bucket("agents", "").path(), "agents/fc1");
        let own = PageKey::own("instance", 0x00ab_cdef_0123_4567, 12);
        assert_eq!(own.path(), "instance/1067/00abcdef01234567.12");
        assert_eq!(own.folder().as_deref(), Some("instance/1067"));
        assert_eq!(PageKey::in_folder("instance", "00abcdef01234567.12"), Some(own));
        for name in ["", "abc", "abc.", ".1", "xyz.1", "abc.-1"] {
            assert_eq!(PageKey::in_folder("instance", name), None, "{name}");
        }
    }

    #[test]
    fn a_record_keeps_its_page_and_a_group_that_is_empty_is_forgotten() {
        let mut places = Places::default();
        let first = places.choose("instance", "web.1", |_| false);
        assert_eq!(first.spot, Spot::Own { group: group_of("web.x"), number: 0 });
        assert_eq!(places.choose("instance", "web.2", |_| true), first);
        let second = places.choose("instance", "web.3", |_| false);
        assert_eq!(second.spot, Spot::Own { group: group_of("web.x"), number: 1 });
        let mut page = Page::default();
        page.put("web.1", b"x".as_slice().into());
        places.note(&first, None, &page);
        assert_eq!(places.of("instance", "web.1"), Some(first.clone()));
        places.note(&first, Some(&page), &Page::default());
        assert_eq!(places.of("instance", "web.1"), None);
        places.forget(&first, |key| *key == second);
        assert!(!places.groups.is_empty());
        places.forget(&second, |_| false);
        assert!(places.groups.is_empty());
    }
}
