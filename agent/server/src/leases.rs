//! Numbers that containers have to themselves: GPUs, classes of packets. What is taken is a file each, for containers outlive
//! their agent.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who has which number.
#[derive(Debug)]
pub(crate) struct Leases {
    directory: PathBuf,
    taken: Mutex<BTreeMap<u32, String>>,
}

impl Leases {
    /// Reads which are taken.
    ///
    /// # Errors
    /// When the directory is there and cannot be read.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        let mut taken = BTreeMap::new();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            if let Some(number) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) {
                taken.insert(number, fs::read_to_string(path)?);
            }
        }
        Ok(Self { directory, taken: Mutex::new(taken) })
    }

    /// Gives a container so many of the numbers, the lowest that are free; none when there are not enough.
    ///
    /// # Errors
    /// When there are not enough, or it cannot be written down; nothing is taken then.
    pub(crate) fn take(
        &self,
        container: &str,
        count: usize,
        of: &[RangeInclusive<u32>],
    ) -> io::Result<Vec<u32>> {
        let mut taken = self.taken();
        let free = of.iter().cloned().flatten().filter(|number| !taken.contains_key(number));
        let numbers: Vec<u32> = free.take(count).collect();
        if numbers.len() < count {
            return Err(io::Error::other(format!("{count} are wanted and {} are free", numbers.len())));
        }
        fs::create_dir_all(&self.directory)?;
        for number in &numbers {
            if let Err(error) = fs::write(self.directory.join(number.to_string()), container) {
                self.forget(&mut taken, &numbers);
                return Err(error);
            }
            taken.insert(*number, container.to_owned());
        }
        Ok(numbers)
    }

    /// What a container has.
    pub(crate) fn of(&self, container: &str) -> Vec<u32> {
        let taken = self.taken();
        taken.iter().filter(|(_, owner)| *owner == container).map(|(number, _)| *number).collect()
    }

    /// Takes back what a container has.
    pub(crate) fn release(&self, container: &str) {
        self.release_all(|owner| owner == container);
    }

    /// Takes back what belongs to none of these containers.
    pub(crate) fn retain(&self, known: &[String]) {
        self.release_all(|owner| !known.iter().any(|known| known == owner));
    }

    fn release_all(&self, is_free: impl Fn(&str) -> bool) {
        let mut taken = self.taken();
        let free: Vec<u32> =
            taken.iter().filter(|(_, owner)| is_free(owner)).map(|(number, _)| *number).collect();
        self.forget(&mut taken, &free);
    }

    /// What cannot be removed is taken back at the next start, for its container is gone then.
    fn forget(&self, taken: &mut BTreeMap<u32, String>, numbers: &[u32]) {
        for number in numbers {
            let path = self.directory.join(number.to_string());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "cannot note that it is free");
                }
                Ok(()) | Err(_) => {}
            }
            taken.remove(number);
        }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_owner_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Leases::open(directory.path().join("leases")).unwrap();
        let numbers = [3..=4, 8..=9];
        let leases = open();
        assert_eq!(leases.take("a", 1, &numbers).unwrap(), [3]);
        assert_eq!(leases.take("b", 2, &numbers).unwrap(), [4, 8]);
        let leases = open();
        assert!(leases.take("c", 2, &numbers).is_err());
        assert_eq!((leases.take("c", 1, &numbers).unwrap(), leases.of("b")), (vec![9], vec![4, 8]));
        leases.release("a");
        leases.retain(&["c".to_owned()]);
        let leases = open();
        assert_eq!((leases.of("b"), leases.take("d", 3, &numbers).unwrap()), (vec![], vec![3, 4, 8]));
    }
}
