//! The directory of configurations, which operators change while the agent runs: it is read again when a name is not known,
//! or a known name's file is not the one it was. Source: Mesos' `network/cni`.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::NetworkError;
use crate::list::NetworkList;

/// More than any real configuration.
const MAX_BYTES: u64 = 1 << 20;
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];

/// Configurations by name.
#[derive(Debug)]
pub(crate) struct Directory {
    path: Option<PathBuf>,
    read: Mutex<Found>,
}

/// What was there when it was read last.
#[derive(Debug, Default)]
struct Found {
    lists: BTreeMap<String, (NetworkList, PathBuf, Stamp)>,
    /// One line for each file that makes no sense.
    broken: Vec<String>,
}

/// What tells a file from an earlier one of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { inode: metadata.ino(), bytes: metadata.size(), changed }
    }
}

impl Directory {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// The configuration of this name, as it is now. Blocks.
    pub(crate) fn find(&self, name: &str) -> Result<NetworkList, NetworkError> {
        let mut found = self.found();
        if let Some(list) = found.current(name) {
            return Ok(list);
        }
        if let Some(path) = &self.path {
            *found = read_all(path);
        }
        found.current(name).ok_or_else(|| self.unknown(name, &found))
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // What was read is whole at any moment.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self, name: &str, found: &Found) -> NetworkError {
        let names: Vec<&str> = found.lists.keys().map(String::as_str).collect();
        NetworkError::Unknown {
            name: name.to_owned(),
            known: if names.is_empty() { String::new() } else { format!(", but {}", names.join(", ")) },
            place: match &self.path {
                None => "in a directory that --network-cni-config-dir names".to_owned(),
                Some(path) => format!("as a file *.conflist, *.conf or *.json of {}", path.display()),
            },
            broken: match found.broken.as_slice() {
                [] => String::new(),
                broken => format!(" ({})", broken.join("; ")),
            },
        }
    }
}

impl Found {
    /// What is known under this name, if its file is as it was.
    fn current(&self, name: &str) -> Option<NetworkList> {
        let (list, path, stamp) = self.lists.get(name)?;
        let is_same = fs::metadata(path).is_ok_and(|metadata| Stamp::of(&metadata) == *stamp);
        is_same.then(|| list.clone())
    }
}

/// In the order of file names; the first of a name counts.
fn read_all(directory: &Path) -> Found {
    let mut found = Found::default();
    let mut paths = match files(directory) {
        Ok(paths) => paths,
        Err(error) => {
            found.broken.push(format!("cannot read {}: {error}", directory.display()));
            Vec::new()
        }
    };
    paths.sort();
    for path in paths {
        let problem = match read(&path) {
            Ok((list, stamp)) => match found.lists.get(&list.name) {
                None => {
                    found.lists.insert(list.name.clone(), (list, path, stamp));
                    continue;
                }
                Some((_, first, _)) => format!("{} has the name {:?} already", first.display(), list.name),
            },
            Err(problem) => problem,
        };
        tracing::warn!(path = %path.display(), problem, "no use can be made of a network's configuration");
        found.broken.push(format!("{}: {problem}", path.display()));
    }
    found
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| {
        path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending))
            && path.is_file()
    };
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().filter(is_one).collect())
}

fn read(path: &Path) -> Result<(NetworkList, Stamp), String> {
    let load = || {
        let file = File::open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        Ok::<_, io::Error>((text, stamp))
    };
    let (text, stamp) = load().map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    Ok((NetworkList::parse(&text)?, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, program: &str) -> String {
        format!(r#"{{"name": "{name}", "type": "{program}"}}"#)
    }

    #[test]
    fn a_file_is_read_again_when_it_changed_and_a_name_is_looked_for_again() {
        let directory = tempfile::tempdir().unwrap();
        let networks = Directory::new(Some(directory.path().to_owned()));
        assert!(networks.find("a").is_err());
        let put = |file: &str, text: String| {
            fs::write(directory.path().join("new"), text).unwrap();
            fs::rename(directory.path().join("new"), directory.path().join(file)).unwrap();
        };
        put("a.conf", network("a", "one"));
        let program = |name: &str| crate::list::program(&networks.find(name).unwrap().plugins[0]).to_owned();
        assert_eq!(program("a"), "one");
        put("a.conf", network("a", "two"));
        assert_eq!(program("a"), "two");
        put("b.json", network("b", "one"));
        assert_eq!(program("b"), "one");
        fs::remove_file(directory.path().join("a.conf")).unwrap();
        assert!(networks.find("a").is_err());
    }

    #[test]
    fn an_unknown_name_says_what_there_is_and_what_is_broken() {
        let directory = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
        put("1.conf", &network("a", "one"));
        put("2.conflist", &network("a", "two"));
        put("3.json", "{");
        put("4.txt", "not looked at");
        put("5.conf", &" ".repeat(MAX_BYTES as usize + 1));
        let networks = Directory::new(Some(directory.path().to_owned()));
        let said = networks.find("x").unwrap_err().to_string();
        for part in [
            "\"x\" is not known here, but a:",
            "2.conflist: ",
            "has the name \"a\"",
            "3.json: it is not",
            "5.conf: it has more",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("4.txt"), "{said}");
        let missing =
            Directory::new(Some(directory.path().join("missing"))).find("x").unwrap_err().to_string();
        assert!(missing.contains("cannot read") && missing.contains("missing"), "{missing}");
        let none = Directory::new(None).find("x").unwrap_err().to_string();
        assert!(none.contains("--network-cni-config-dir"), "{none}");
    }
}
