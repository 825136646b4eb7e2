//! What containers have joined, on disk: written before the first plugin is run, and removed after the last has taken its work
//! back. A file for each container.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::list::NetworkList;
use crate::wish::PortMapping;

const VERSION: u32 = 1;
const ENDING: &str = "json";
/// What of an unreadable file is left, for people to look at.
const BROKEN: &str = "broken";

/// What a container joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    pub(crate) joins: Vec<Join>,
}

/// One network that it joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    pub(crate) interface: String,
    pub(crate) list: NetworkList,
    pub(crate) args: Map<String, Value>,
    pub(crate) port_mappings: Vec<PortMapping>,
    /// What the last plugin said, once all have.
    pub(crate) result: Option<Map<String, Value>>,
}

impl Record {
    pub(crate) fn new(joins: Vec<Join>) -> Self {
        Self { version: VERSION, joins }
    }

    /// Whether all of it was done.
    pub(crate) fn is_complete(&self) -> bool {
        self.joins.iter().all(|join| join.result.is_some())
    }

    /// Whether ports of the machine lead to it.
    pub(crate) fn maps_ports(&self) -> bool {
        self.joins.iter().any(|join| !join.port_mappings.is_empty())
    }
}

/// Their directory.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    directory: PathBuf,
}

impl Records {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn path(&self, container: &str) -> PathBuf {
        self.directory.join(container).with_added_extension(ENDING)
    }

    /// Writes it, so that it is there whatever happens next. Blocks.
    pub(crate) fn write(&self, container: &str, record: &Record) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.path(container);
        let beside = path.with_added_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_data()?;
        fs::rename(&beside, &path)?;
        File::open(&self.directory)?.sync_all()
    }

    /// Blocks.
    pub(crate) fn remove(&self, container: &str) -> io::Result<()> {
        match fs::remove_file(self.path(container)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All that are there. One that cannot be read is set aside, and said so. Blocks.
    pub(crate) fn read_all(&self) -> io::Result<Vec<(String, Record)>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let is_record = path.extension().is_some_and(|ending| ending == ENDING);
            let Some(container) = path.file_stem().and_then(|name| name.to_str()).filter(|_| is_record)
            else {
                continue;
            };
            match read(&path) {
                Ok(record) => records.push((container.to_owned(), record)),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "what a container joined cannot be read: it is set aside, and must be left by hand");
                    fs::rename(&path, path.with_added_extension(BROKEN))?;
                }
            }
        }
        Ok(records)
    }
}

fn read(path: &Path) -> io::Result<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path)?)?;
    if record.version != VERSION {
        return Err(io::Error::other(format!("its version is {}", record.version)));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_and_what_is_broken_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::new(directory.path().join("records"));
        assert_eq!(records.read_all().unwrap(), []);
        let list = NetworkList::parse(r#"{"name": "a", "type": "bridge"}"#).unwrap();
        let join =
            Join { interface: "eth0".into(), list, args: Map::new(), port_mappings: vec![], result: None };
        let mut record = Record::new(vec![join]);
        records.write("c.1", &record).unwrap();
        assert_eq!(records.read_all().unwrap(), [("c.1".to_owned(), record.clone())]);
        assert!(!record.is_complete());
        record.joins[0].result = Some(Map::new());
        records.write("c.1", &record).unwrap();
        fs::write(records.path("torn"), "{\"version\": 1").unwrap();
        fs::write(records.path("later"), "{\"version\": 2, \"joins\": []}").unwrap();
        assert_eq!(records.read_all().unwrap(), [("c.1".to_owned(), record)]);
        assert!(records.path("torn").with_added_extension(BROKEN).exists());
        records.remove("c.1").unwrap();
        records.remove("c.1").unwrap();
        assert_eq!(records.read_all().unwrap(), []);
    }
}
