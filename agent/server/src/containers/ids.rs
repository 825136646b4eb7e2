//! Ranges of user and group ids, one for each container with a user namespace: its root is nobody on this machine, and two
//! containers are nobody to each other. What is taken is a file each, for containers outlive their agent.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chapada_shim::IdRange;

/// What images expect: `nobody` is 65,534.
const COUNT: u32 = 1 << 16;
/// More than an agent runs containers.
const RANGES: u32 = 1 << 12;

/// The ranges of an agent.
#[derive(Debug)]
pub(crate) struct IdRanges {
    directory: PathBuf,
    first: u32,
    taken: Mutex<BTreeMap<u32, String>>,
}

impl IdRanges {
    /// Reads which are taken; `first` is the first id of the first range.
    ///
    /// # Errors
    /// When the directory is there and cannot be read.
    pub(crate) fn open(directory: PathBuf, first: u32) -> io::Result<Self> {
        let mut taken = BTreeMap::new();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(number) = number {
                taken.insert(number, fs::read_to_string(path)?);
            }
        }
        Ok(Self { directory, first, taken: Mutex::new(taken) })
    }

    /// A range that no other container has, until it is released.
    ///
    /// # Errors
    /// When all are taken, or it cannot be written down.
    pub(crate) fn allocate(&self, container: &str) -> io::Result<IdRange> {
        let mut taken = self.taken();
        let free = (0..RANGES).find(|number| !taken.contains_key(number));
        let number = free.ok_or_else(|| io::Error::other("all ranges of ids are taken"))?;
        let first = number.checked_mul(COUNT).and_then(|offset| self.first.checked_add(offset));
        let range = first.map(|first| IdRange { first, count: COUNT }).filter(|range| range.is_valid());
        let range = range.ok_or_else(|| io::Error::other("there are no more ids"))?;
        fs::create_dir_all(&self.directory)?;
        fs::write(self.directory.join(number.to_string()), container)?;
        taken.insert(number, container.to_owned());
        Ok(range)
    }

    /// Gives back what a container had, if anything.
    ///
    /// # Errors
    /// When that cannot be written down; it stays taken then.
    pub(crate) fn release(&self, container: &str) -> io::Result<()> {
        self.release_all(|owner| owner == container)
    }

    /// Gives back what belongs to none of these containers.
    ///
    /// # Errors
    /// When that cannot be written down; it stays taken then.
    pub(crate) fn retain(&self, known: &[String]) -> io::Result<()> {
        self.release_all(|owner| !known.iter().any(|known| known == owner))
    }

    fn release_all(&self, is_free: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut taken = self.taken();
        let free: Vec<u32> =
            taken.iter().filter(|(_, owner)| is_free(owner)).map(|(number, _)| *number).collect();
        for number in free {
            match fs::remove_file(self.directory.join(number.to_string())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => taken.remove(&number),
            };
        }
        Ok(())
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_containers_have_the_same_range_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let open = || IdRanges::open(directory.path().join("ids"), 1_000_000).unwrap();
        let ranges = open();
        let (a, b) = (ranges.allocate("a").unwrap(), ranges.allocate("b").unwrap());
        assert_eq!((a.first, b.first, a.count), (1_000_000, 1_065_536, 65_536));
        let ranges = open();
        assert_eq!(ranges.allocate("c").unwrap().first, 1_131_072);
        ranges.release("a").unwrap();
        assert_eq!(ranges.allocate("d").unwrap(), a);
        ranges.retain(&["b".to_owned()]).unwrap();
        let ranges = open();
        assert_eq!((ranges.allocate("e").unwrap(), ranges.allocate("f").unwrap().first), (a, 1_131_072));
    }

    #[test]
    fn there_is_an_end_of_ids() {
        let directory = tempfile::tempdir().unwrap();
        let ranges = IdRanges::open(directory.path().join("ids"), u32::MAX - COUNT).unwrap();
        ranges.allocate("a").unwrap();
        assert!(ranges.allocate("b").is_err());
    }
}
