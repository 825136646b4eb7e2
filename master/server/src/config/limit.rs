//! `--recovery-agent-removal-limit`, which Mesos has and which means nothing here.

use std::fmt;
use std::str::FromStr;

/// No limit above which a new leader ends itself. Mesos' own default is taken for it, so that its flags can be kept as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoRemovalLimit;

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a master does not end itself when {0} of its agents do not come back, it holds them back: leave this flag out, and say \
     which share may be given up with --agent-removal-brake, such as 5%/10mins"
)]
pub struct RefusedRemovalLimit(String);

/// Source: Mesos' default.
const NONE: &str = "100%";

impl FromStr for NoRemovalLimit {
    type Err = RefusedRemovalLimit;

    fn from_str(text: &str) -> Result<Self, RefusedRemovalLimit> {
        match text.trim() {
            NONE => Ok(Self),
            other => Err(RefusedRemovalLimit(other.to_owned())),
        }
    }
}

impl TryFrom<String> for NoRemovalLimit {
    type Error = RefusedRemovalLimit;
    fn try_from(text: String) -> Result<Self, RefusedRemovalLimit> {
        text.parse()
    }
}

impl From<NoRemovalLimit> for String {
    fn from(none: NoRemovalLimit) -> Self {
        none.to_string()
    }
}

impl fmt::Display for NoRemovalLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NONE)
    }
}
