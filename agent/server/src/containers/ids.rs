//! Ranges of user and group ids, one for each container with a user namespace, or for each pod: its root is nobody on this
//! machine, and two containers are nobody to each other. What is taken is a file each in a directory of the machine's, for
//! containers outlive their agent, and other agents must not take the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chapada_shim::IdRange;

/// Where all agents of a machine write down what they have taken. Like containers it does not outlive a boot.
pub(super) const REGISTRY: &str = "/run/chapada/ids";
/// What images expect: `nobody` is 65,534.
const COUNT: u32 = 1 << 16;
/// More than an agent runs containers.
const RANGES: u32 = 1 << 12;

/// The ranges of an agent.
#[derive(Debug)]
pub(crate) struct IdRanges {
    registry: PathBuf,
    /// By which an agent is known.
    work_dir: PathBuf,
    /// The number of the first range.
    first: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    own: BTreeMap<u32, Tenants>,
    /// What others had when we last looked.
    others: BTreeSet<u32>,
}

/// Who has a range.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tenants {
    /// The pod that shares it; empty for a single container.
    group: String,
    containers: Vec<String>,
}

impl IdRanges {
    /// Reads which are taken; `first` is the first id of the first range. Forgets what an agent had whose work directory is
    /// gone.
    ///
    /// # Errors
    /// When `first` is no multiple of 65,536, or the registry cannot be read.
    pub(crate) fn open(registry: PathBuf, work_dir: &Path, first: u32) -> io::Result<Self> {
        if !first.is_multiple_of(COUNT) || first == 0 {
            return Err(io::Error::other(
                "name a multiple of 65536, so that ranges of two agents do not overlap",
            ));
        }
        let (work_dir, first) = (work_dir.to_owned(), first / COUNT);
        let ranges = Self { registry, work_dir, first, taken: Mutex::default() };
        ranges.look(&mut ranges.taken())?;
        Ok(ranges)
    }

    /// A range that no other container has, until it is released. Those of one group have the same.
    ///
    /// # Errors
    /// When all are taken, or it cannot be written down.
    pub(crate) fn allocate(&self, container: &str, group: Option<&str>) -> io::Result<IdRange> {
        let mut taken = self.taken();
        let shared = group.and_then(|group| taken.own.iter_mut().find(|(_, tenants)| tenants.group == group));
        if let Some((number, tenants)) = shared {
            tenants.containers.push(container.to_owned());
            self.rewrite(*number, tenants)?;
            return range(*number);
        }
        let tenants =
            Tenants { group: group.unwrap_or_default().to_owned(), containers: vec![container.to_owned()] };
        let number = match self.take(&mut taken, &tenants)? {
            Some(number) => number,
            None => {
                // Others may have given some back.
                self.look(&mut taken)?;
                let found = self.take(&mut taken, &tenants)?;
                found.ok_or_else(|| io::Error::other("all ranges of ids are taken"))?
            }
        };
        taken.own.insert(number, tenants);
        range(number)
    }

    /// Takes the first range that is free.
    fn take(&self, taken: &mut Taken, tenants: &Tenants) -> io::Result<Option<u32>> {
        for number in self.first..self.first.saturating_add(RANGES) {
            if taken.own.contains_key(&number) || taken.others.contains(&number) || range(number).is_err() {
                continue;
            }
            let made = OpenOptions::new().write(true).create_new(true).open(self.file(number));
            match made.or_else(|error| self.make_again(number, error)) {
                Ok(mut file) => {
                    file.write_all(self.text(tenants).as_bytes())?;
                    return Ok(Some(number));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    taken.others.insert(number);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Another agent may just have removed the empty registry.
    fn make_again(&self, number: u32, error: io::Error) -> io::Result<File> {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        fs::create_dir_all(&self.registry)?;
        OpenOptions::new().write(true).create_new(true).open(self.file(number))
    }

    /// Gives back what a container had, if anything.
    ///
    /// # Errors
    /// When that cannot be written down; it stays taken then.
    pub(crate) fn release(&self, container: &str) -> io::Result<()> {
        self.release_all(|tenant| tenant == container)
    }

    /// Gives back what belongs to none of these containers.
    ///
    /// # Errors
    /// When that cannot be written down; it stays taken then.
    pub(crate) fn retain(&self, known: &[String]) -> io::Result<()> {
        self.release_all(|tenant| !known.iter().any(|known| known == tenant))
    }

    fn release_all(&self, is_free: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut taken = self.taken();
        let has_free = |tenants: &Tenants| tenants.containers.iter().any(|tenant| is_free(tenant));
        let concerned = taken.own.iter().filter(|(_, tenants)| has_free(tenants));
        let concerned: Vec<u32> = concerned.map(|(number, _)| *number).collect();
        let was_any = !concerned.is_empty();
        for number in concerned {
            let Some(tenants) = taken.own.get_mut(&number) else { continue };
            let rest: Vec<String> =
                tenants.containers.iter().filter(|tenant| !is_free(tenant)).cloned().collect();
            if rest.is_empty() {
                gone(fs::remove_file(self.file(number)))?;
                taken.own.remove(&number);
            } else {
                tenants.containers = rest;
                self.rewrite(number, tenants)?;
            }
        }
        if was_any && taken.own.is_empty() {
            // It stays as long as others have something in it.
            let empty = [Some(self.registry.as_path()), self.registry.parent()];
            let _others = empty.into_iter().flatten().try_for_each(fs::remove_dir);
        }
        Ok(())
    }

    /// Reads the registry.
    fn look(&self, taken: &mut Taken) -> io::Result<()> {
        taken.others.clear();
        let entries = match fs::read_dir(&self.registry) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let Some(number) = number else { continue };
            let text = match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text?,
            };
            let mut lines = text.lines();
            // One that has nothing in it yet is being taken.
            let owner = lines.next().map(Path::new);
            if owner == Some(self.work_dir.as_path()) {
                let group = lines.next().unwrap_or_default().to_owned();
                taken.own.insert(number, Tenants { group, containers: lines.map(str::to_owned).collect() });
            } else if owner.is_some_and(|owner| !owner.exists()) {
                gone(fs::remove_file(&path))?;
            } else {
                taken.others.insert(number);
            }
        }
        Ok(())
    }

    fn rewrite(&self, number: u32, tenants: &Tenants) -> io::Result<()> {
        let beside = self.registry.join(format!("{number}.new"));
        fs::write(&beside, self.text(tenants))?;
        fs::rename(beside, self.file(number))
    }

    fn text(&self, tenants: &Tenants) -> String {
        let head = format!("{}\n{}\n", self.work_dir.display(), tenants.group);
        tenants.containers.iter().fold(head, |text, container| text + container + "\n")
    }

    fn file(&self, number: u32) -> PathBuf {
        self.registry.join(number.to_string())
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range(number: u32) -> io::Result<IdRange> {
    let first = number.checked_mul(COUNT);
    let range = first.map(|first| IdRange { first, count: COUNT }).filter(|range| range.is_valid());
    range.ok_or_else(|| io::Error::other("there are no more ids"))
}

/// What is gone already is gone.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u32 = 16 * COUNT;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn agent(&self, name: &str, first: u32) -> IdRanges {
            let work_dir = self.0.path().join(name);
            fs::create_dir_all(&work_dir).unwrap();
            IdRanges::open(self.0.path().join("ids"), &work_dir, first).unwrap()
        }

        fn files(&self) -> usize {
            fs::read_dir(self.0.path().join("ids")).unwrap().count()
        }
    }

    #[test]
    fn no_two_containers_have_the_same_range_also_after_a_restart() {
        let machine = Machine::new();
        let ranges = machine.agent("a", FIRST);
        let (a, b) = (ranges.allocate("a", None).unwrap(), ranges.allocate("b", None).unwrap());
        assert_eq!((a.first, b.first, a.count), (FIRST, FIRST + COUNT, COUNT));
        let ranges = machine.agent("a", FIRST);
        assert_eq!(ranges.allocate("c", None).unwrap().first, FIRST + 2 * COUNT);
        ranges.release("a").unwrap();
        assert_eq!(ranges.allocate("d", None).unwrap(), a);
        ranges.retain(&["b".to_owned()]).unwrap();
        let ranges = machine.agent("a", FIRST);
        let (e, f) = (ranges.allocate("e", None).unwrap(), ranges.allocate("f", None).unwrap());
        assert_eq!((e, f.first, machine.files()), (a, FIRST + 2 * COUNT, 3));
    }

    #[test]
    fn no_two_agents_have_the_same_range() {
        let machine = Machine::new();
        let (one, other) = (machine.agent("one", FIRST), machine.agent("other", FIRST));
        let first = one.allocate("c", None).unwrap();
        let second = other.allocate("c", None).unwrap();
        assert_eq!((first.first, second.first), (FIRST, FIRST + COUNT));
        // An agent that is away has its containers still; one whose work directory is gone has none.
        drop(one);
        other.retain(&[]).unwrap();
        assert_eq!(machine.agent("third", FIRST).allocate("x", None).unwrap().first, FIRST + COUNT);
        fs::remove_dir_all(machine.0.path().join("one")).unwrap();
        assert_eq!(machine.agent("fourth", FIRST).allocate("y", None).unwrap().first, FIRST);
        let registry = machine.0.path().join("ids");
        assert!(IdRanges::open(registry, machine.0.path(), FIRST + 1).is_err());
    }

    #[test]
    fn a_pod_has_one_range_until_the_last_of_it_has_ended() {
        let machine = Machine::new();
        let ranges = machine.agent("a", FIRST);
        let one = ranges.allocate("one", Some("pod")).unwrap();
        assert_eq!(ranges.allocate("two", Some("pod")).unwrap(), one);
        assert_ne!(ranges.allocate("three", Some("other pod")).unwrap(), one);
        let ranges = machine.agent("a", FIRST);
        ranges.release("one").unwrap();
        assert_eq!(ranges.allocate("four", Some("pod")).unwrap(), one);
        ranges.retain(&["three".to_owned()]).unwrap();
        assert_eq!(machine.files(), 1);
    }

    #[test]
    fn the_last_to_leave_takes_the_registry_along() {
        let machine = Machine::new();
        let (one, other) = (machine.agent("one", FIRST), machine.agent("other", FIRST));
        one.allocate("a", None).unwrap();
        other.allocate("b", None).unwrap();
        one.release("a").unwrap();
        assert_eq!(machine.files(), 1);
        other.release("b").unwrap();
        assert!(!machine.0.path().join("ids").exists());
        assert_eq!(one.allocate("c", None).unwrap().first, FIRST);
    }

    #[test]
    fn there_is_an_end_of_ids() {
        let machine = Machine::new();
        let ranges = machine.agent("a", u32::MAX - (2 * COUNT - 1));
        ranges.allocate("a", None).unwrap();
        assert!(ranges.allocate("b", None).is_err());
    }
}
