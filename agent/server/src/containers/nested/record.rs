//! What is written down of a container that is in no books, in its runtime directory.

use std::io;
use std::path::{Path, PathBuf};

use chapada_shim::runtime_dir::{self, Durability};
use serde::{Deserialize, Serialize};

/// The file.
const NAME: &str = "launched.json";
/// Its format.
pub(super) const VERSION: u32 = 1;

/// One container. Nothing of its environment but names, for values may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) version: u32,
    /// The names of those that it is in, the outermost first, and its own.
    pub(super) path: Vec<String>,
    /// The name of its shim, and of its group.
    pub(crate) shim: String,
    /// Those of the containers that it is in, the outermost first.
    pub(crate) within: Vec<String>,
    pub(crate) sandbox: PathBuf,
    /// The names of its variables.
    pub(crate) variables: Vec<String>,
    /// Its user, for what is in it.
    pub(super) user: Option<String>,
    /// What it asked for, as flags write it.
    pub(crate) resources: String,
    /// Where in its sandbox it has volumes. Records of before it could have any say nothing.
    #[serde(default)]
    pub(super) volumes: Vec<PathBuf>,
    /// The name that it has in its networks; nothing when nobody named it.
    #[serde(default)]
    pub(super) hostname: Option<String>,
    /// When an agent first found it over without a word from its shim, in milliseconds since 1970.
    #[serde(default)]
    pub(super) found_over_ms: Option<u64>,
}

impl Record {
    /// Writes it, for as long as the machine is up: what was made before that is over then anyway.
    pub(super) fn write(&self, runtime_dir: &Path) -> io::Result<()> {
        runtime_dir::ensure(runtime_dir)?;
        runtime_dir::write_record(runtime_dir, NAME, self, Durability::Process)
    }

    /// The record in a runtime directory; `None` when its container is of the books.
    pub(super) fn read(runtime_dir: &Path) -> io::Result<Option<Self>> {
        runtime_dir::read_record(runtime_dir, NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_former_build_is_read() {
        let text = r#"{"version":1,"path":["t","held"],"shim":"s","within":["t"],"sandbox":"/s","variables":["PATH"],"user":null,"resources":""}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!((record.version, record.path.len(), &*record.shim), (VERSION, 2, "s"));
        assert!(record.volumes.is_empty() && record.hostname.is_none() && record.found_over_ms.is_none());
    }
}
