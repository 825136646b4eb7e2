//! Groups: the folders of the tree that apps and pods stand in. Most say nothing and exist only while something is in
//! them; one that was made, or that says something, has a record of its own.

mod id;
mod update;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

pub use id::PathId;
pub(crate) use update::{AppOfGroup, GroupUpdate, Replacement, dependencies};

/// What a group says by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Apps and groups that everything in this group depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<PathId>,
    /// Whether new apps in it are offered resources in the role of the group's name only. Only at the top level.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enforce_role: bool,
    /// When that was last changed.
    pub version: Timestamp,
}
