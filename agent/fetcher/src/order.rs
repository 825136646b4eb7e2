//! What agent and child say to each other: an order in a file of the child's, a report on its standard output.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::addresses::Denied;
use crate::checksum::Checksum;

/// Everything the child has to know. It may hold credentials, so it is never an argument, nor in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// A name or a number of the machine's; absent for the agent's own user.
    pub user: Option<String>,
    /// Refuses a user who is root of the machine, whatever it is called: what answers on this machine answers root.
    pub never_root: bool,
    /// What to do.
    pub job: Job,
    /// Where plain files may come from.
    pub allowed_paths: Vec<AllowedPath>,
    /// What is not connected to.
    pub denied: Denied,
    /// How much of it.
    pub limits: Limits,
}

/// A directory from which plain files may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedPath {
    /// Its name in URIs.
    pub path: PathBuf,
    /// Where the child has it.
    pub at: PathBuf,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Job {
    /// Put these into a sandbox, one after the other.
    Place {
        /// The sandbox, which is given to the user.
        sandbox: PathBuf,
        /// What is wanted.
        items: Vec<Item>,
    },
    /// Put one into a new file of the cache, which stays the agent's.
    Store {
        /// What is wanted.
        item: Item,
        /// The file, which must not be there yet.
        file: PathBuf,
    },
}

/// One thing to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// From where.
    pub uri: String,
    /// Its name in the sandbox, which may have directories above it.
    pub name: String,
    /// Unpack it, if its name is that of an archive.
    pub extract: bool,
    /// Make it executable; it is not unpacked then.
    pub executable: bool,
    /// What its bytes add up to.
    pub checksum: Option<Checksum>,
    /// A copy of it that the agent has already, and that was checked.
    pub cached: Option<PathBuf>,
}

/// How much may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes that are written, for all items together, what is unpacked included.
    pub bytes: u64,
    /// Files, directories and links that are unpacked.
    pub entries: u64,
    /// A server that sends nothing for so long is given up.
    pub stall_seconds: u64,
    /// All of it is given up after so long. Whoever ordered it may be gone by then.
    pub seconds: u64,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// All of it is there.
    Done,
    /// It failed, for this reason; what was fetched before stays.
    Failed(String),
}
