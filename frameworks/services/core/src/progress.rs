//! What a deployment has to remember beside its steps: what cannot be told from the instances.

use std::collections::BTreeMap;

use chapada_model::Mono;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, DeploymentId};
use crate::timestamp::Timestamp;

/// What a deployment has to remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Since when it is paused: it starts and stops nothing of its own then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Timestamp>,
    /// When it is given up, unless it has ended. The time it is paused does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The deployment that it undoes. It has neither canary nor deadline then, and is not undone by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<DeploymentId>,
    /// By app; none when there is nothing to remember.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apps: BTreeMap<AppId, AppProgress>,
}

/// What a deployment has to remember of one app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppProgress {
    /// How many stages of the canary are over.
    #[serde(default)]
    pub stage: usize,
    /// How many tasks of the new configuration failed.
    #[serde(default)]
    pub failures: u32,
    /// How many tasks of the new and the old configuration there were when the deployment was paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Since when the canary is well without a break, as far as this process saw.
    #[serde(skip)]
    pub well_since: Option<Mono>,
}

/// What a paused deployment keeps up of one app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Tasks of the new configuration.
    pub fresh: usize,
    /// Tasks of the old one.
    pub stale: usize,
}
