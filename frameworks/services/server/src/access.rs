//! Who may do what to which apps: grants from a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chapada_listener::{Action, Caller, Decision, Grant, Object, Policy};
use chapada_services_core::{
    AppId, AppState, Command, DeploymentId, GroupChange, InstanceId, Services, Update, Which,
};
use serde::Deserialize;

use crate::secrets;

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

fn must(caller: &Caller, action: Action, path: &str) -> Option<String> {
    match caller.authorise(action, &Object::Named { kind: "app", id: path }) {
        Decision::Allow => None,
        Decision::Deny(why) => Some(why),
    }
}

/// Why the caller may not have the command carried out, if it may not. It is asked on the loop, so nothing changes between.
pub(crate) fn denied(caller: &Caller, services: &Services, command: &Command) -> Option<String> {
    denied_change(caller, services, command).or_else(|| denied_secret(caller, services, command))
}

fn denied_change(caller: &Caller, services: &Services, command: &Command) -> Option<String> {
    let must = |action, path: &str| must(caller, action, path);
    match command {
        Command::Create { definition, .. } | Command::CreatePod { definition, .. } => {
            // What is no id is refused as such.
            let id: AppId = definition.get("id")?.as_str()?.parse().ok()?;
            must(Action::CreateApps, id.as_str())
        }
        Command::Update { updates, .. } => updates.iter().find_map(|Update { app, create, .. }| {
            let makes = *create && services.even_ending(app).is_none();
            must(if makes { Action::CreateApps } else { Action::UpdateApps }, app.as_str())
        }),
        Command::Delete { app, .. } | Command::DeletePod { pod: app, .. } => {
            must(Action::DeleteApps, app.as_str())
        }
        Command::Restart { app, .. }
        | Command::ResetDelay { app }
        | Command::ReplacePod { pod: app, .. }
        | Command::KillInstances { pod: app, .. }
        | Command::WipeInstances { pod: app, .. } => must(Action::UpdateApps, app.as_str()),
        Command::Kill { which, .. } | Command::Wipe { which } => match which {
            Which::Of { app, .. } | Which::One { app, .. } => must(Action::UpdateApps, app.as_str()),
            Which::Any(tasks) => tasks.iter().find_map(|task| {
                let named = InstanceId::of_task(task).or_else(|| task.parse().ok());
                let app = named?.app().clone();
                must(Action::UpdateApps, app.as_str())
            }),
        },
        Command::Cancel { deployment, .. }
        | Command::Promote(deployment)
        | Command::Pause(deployment)
        | Command::Resume(deployment) => {
            let apps = |id: &DeploymentId| services.deployment(*id).map(|found| found.apps());
            apps(deployment)?.find_map(|app| must(Action::UpdateApps, app.as_str()))
        }
        Command::Group { group, change, .. } => {
            let actions = match change {
                GroupChange::Create(_) => &[Action::CreateApps][..],
                // What stands below it comes, changes and goes with it.
                GroupChange::Put(_) => &[Action::CreateApps, Action::UpdateApps, Action::DeleteApps],
                GroupChange::EnforceRole(_) => &[Action::UpdateApps],
                GroupChange::Delete => &[Action::DeleteApps],
            };
            let group = change.target(group);
            actions.iter().find_map(|action| must(*action, group.as_str()))
        }
    }
}

/// Why the caller may not use one of the secrets that a command names, if it may not. Those that what is changed has already are
/// not asked about: who may change an app can read them anyway.
fn denied_secret(caller: &Caller, services: &Services, command: &Command) -> Option<String> {
    let named = secrets::named(command);
    let refused = |(_, source): &(String, String)| Some((source.clone(), refused_secret(caller, source)?));
    let refused: Vec<(String, String)> = named.iter().filter_map(refused).collect();
    if refused.is_empty() {
        return None;
    }
    let had = had(services, command);
    refused.into_iter().find(|(source, _)| !had.contains(source.as_str())).map(|(_, why)| why)
}

/// A secret is for those who may make or change apps at its path. A source that is no path has no value.
fn refused_secret(caller: &Caller, source: &str) -> Option<String> {
    let path = secrets::path(source)?;
    let object = Object::Named { kind: "secret", id: &path };
    match caller.authorise(Action::UpdateApps, &object) {
        Decision::Deny(why) if caller.authorise(Action::CreateApps, &object) != Decision::Allow => Some(why),
        _ => None,
    }
}

/// The secrets of what a command changes, as it is.
fn had<'a>(services: &'a Services, command: &Command) -> BTreeSet<&'a str> {
    let changed: Vec<&AppState> = match command {
        Command::Update { updates, .. } => {
            updates.iter().filter_map(|update| services.even_ending(&update.app)).collect()
        }
        Command::ReplacePod { pod, .. } => services.even_ending(pod).into_iter().collect(),
        Command::Group { group, change, .. } => services.specs_below(&change.target(group)).collect(),
        _ => Vec::new(),
    };
    changed.into_iter().flat_map(|state| state.app.definition.secret_sources()).collect()
}
