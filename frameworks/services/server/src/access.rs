//! Who may do what to which apps: grants from a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chapada_listener::{Action, Grant, Policy};
use serde::Deserialize;

/// Why a file of grants cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is no list of grants")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    grant: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    principal: String,
    actions: BTreeSet<Verb>,
    under: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Create,
    Update,
    Delete,
    View,
    Operate,
}

impl Verb {
    /// What it means, with the endpoints that lead there.
    fn actions(self) -> &'static [Action] {
        match self {
            Self::Create => &[Action::ChangeApps, Action::CreateApps],
            Self::Update => &[Action::ChangeApps, Action::UpdateApps],
            Self::Delete => &[Action::ChangeApps, Action::DeleteApps],
            Self::View => &[Action::ViewApps, Action::ViewEvents],
            Self::Operate => &[Action::OperateServices],
        }
    }
}

/// The rules of the file; everything is allowed when there is none.
///
/// # Errors
/// [`AccessError`]; nobody is let in then.
pub(crate) fn policy(file: Option<&Path>) -> Result<Policy, AccessError> {
    let Some(path) = file else { return Ok(Policy::allow_all()) };
    let path = path.to_owned();
    match std::fs::read_to_string(&path) {
        Err(source) => Err(AccessError::Read { path, source }),
        Ok(text) => parse(&text).map_err(|source| AccessError::Parse { path, source: Box::new(source) }),
    }
}

pub(crate) fn parse(text: &str) -> Result<Policy, toml::de::Error> {
    let File { grant } = toml::from_str(text)?;
    let grants = grant.into_iter().map(|Written { principal, actions, under }| Grant {
        principal,
        actions: actions.into_iter().flat_map(Verb::actions).copied().collect(),
        under,
    });
    Ok(Policy::allow_all().with_grants(grants.collect()))
}
