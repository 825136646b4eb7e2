//! An app with its bookkeeping: when it was changed, and all versions it had.

use std::sync::Arc;

use serde::Serialize;

use crate::definition::AppDefinition;
use crate::timestamp::Timestamp;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An app.
    App,
    /// A pod.
    Pod,
    /// A group.
    Group,
}

/// An accepted definition.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// What its owner wrote. Its versions, its deployment and what is launched share it.
    #[serde(flatten)]
    pub definition: Arc<AppDefinition>,
    /// When this definition was accepted; unique within the app.
    pub version: Timestamp,
    /// What kind of change it was.
    pub version_info: VersionInfo,
}

/// When an app last changed, by kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// The last change of the number of instances, or of anything.
    pub last_scaling_at: Timestamp,
    /// The last change after which running tasks are out of date.
    pub last_config_change_at: Timestamp,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::App => "An app",
            Self::Pod => "A pod",
            Self::Group => "A group",
        })
    }
}

impl App {
    /// Whether it is a pod.
    pub fn is_pod(&self) -> bool {
        self.definition.pod.is_some()
    }

    /// What it is, in a word.
    pub fn kind(&self) -> Kind {
        if self.is_pod() { Kind::Pod } else { Kind::App }
    }

    /// `definition` as accepted at `version`, in place of `previous`.
    pub fn accepted(definition: AppDefinition, version: Timestamp, previous: Option<&App>) -> Self {
        let last_config_change_at = match previous {
            Some(previous) if !definition.needs_new_tasks(&previous.definition) => {
                previous.version_info.last_config_change_at
            }
            Some(_) | None => version,
        };
        Self {
            definition: Arc::new(definition),
            version,
            version_info: VersionInfo { last_scaling_at: version, last_config_change_at },
        }
    }

    /// This definition once more, at `version`. Tasks that were launched with it are not out of date.
    pub fn again(&self, version: Timestamp) -> Self {
        let version_info = VersionInfo { last_scaling_at: version, ..self.version_info };
        Self { definition: self.definition.clone(), version, version_info }
    }

    /// The same definition as a new version that replaces every task.
    pub fn restarted(&self, version: Timestamp) -> Self {
        let version_info = VersionInfo { last_scaling_at: version, last_config_change_at: version };
        Self { definition: self.definition.clone(), version, version_info }
    }
}
