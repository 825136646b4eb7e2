//! What is written to the store: one record per definition, version, instance and deployment, in JSON, each with the
//! number of its format, so that an older program refuses what a newer one wrote.

pub(crate) mod failed;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chapada_model::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::{App, VersionInfo};
use crate::definition::AppDefinition;
use crate::deployment::{Action, Change, Deployment};
use crate::group::{Group, PathId};
use crate::id::{AppId, DeploymentId, InstanceId};
use crate::instance::{Goal, Instance, Phase, Task};
use crate::pod;
use crate::progress::Progress;
use crate::resident::Home;
use crate::services::PodTermination;
use crate::timestamp::Timestamp;
use failed::Failed;

/// The newest format that this program writes and reads. A record is of the oldest format that has it.
pub const FORMAT: u64 = 3;
/// The format of all kinds of records but those that came later.
const FIRST_FORMAT: u64 = 1;
/// So many bytes are kept of how instances of a pod ended; the oldest go first.
const ENDED_BYTES: usize = 128 * 1024;

/// The name of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The present definition of an app.
    App(AppId),
    /// One definition an app had.
    Version(AppId, Timestamp),
    /// An instance that has a task.
    Instance(InstanceId),
    /// A deployment that goes on.
    Deployment(DeploymentId),
    /// The apps of a deployment of many.
    DeploymentPart(DeploymentId, usize),
    /// What is kept on an agent for an instance.
    Home(InstanceId),
    /// A role in which something may be offered that is to be given back.
    Sweep(Role),
    /// What a group says by itself.
    Group(PathId),
    /// A part of what a version of the whole tree changed.
    Tree(Timestamp, usize),
    /// How the last instances of a pod ended. Since format 2.
    Ended(AppId),
    /// How an app or pod last failed, and how long it waits for that. Since format 3.
    Failed(AppId),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(id) => write!(f, "app.{}", id.safe()),
            Self::Version(id, version) => write!(f, "version.{}.{}", id.safe(), version.millis()),
            Self::Instance(id) => write!(f, "instance.{id}"),
            Self::Deployment(id) => write!(f, "deployment.{id}"),
            Self::DeploymentPart(id, part) => write!(f, "deployment.{id}.{part}"),
            Self::Home(id) => write!(f, "home.{id}"),
            Self::Sweep(role) => write!(f, "sweep.{}", role.as_str().replace('/', "_")),
            Self::Group(path) => write!(f, "group.{}", path.safe()),
            Self::Tree(version, part) => write!(f, "tree.{}.{part}", version.millis()),
            Self::Ended(id) => write!(f, "ended.{}", id.safe()),
            Self::Failed(id) => write!(f, "failed.{}", id.safe()),
        }
    }
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The record shall be this.
    Put {
        /// Its name, a text without slashes.
        key: String,
        /// Its content.
        value: Vec<u8>,
    },
    /// The record shall not be.
    Delete {
        /// Its name.
        key: String,
    },
}

/// Why what is in the store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Written by a newer program.
    #[error("the record {key} has format {format}, this program knows up to {FORMAT}: start a newer one")]
    TooNew {
        /// Which record.
        key: String,
        /// Its format.
        format: u64,
    },
    /// Not what any program wrote.
    #[error("the record {key} cannot be read")]
    Corrupt {
        /// Which record.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A record as it was read back.
#[derive(Debug)]
pub(crate) enum Record {
    App { app: App, deleting: bool },
    Version(App),
    Instance(Box<Instance>),
    Deployment(StoredDeployment),
    DeploymentPart(StoredPart),
    Home(Home),
    Sweep(Role),
    Group(PathId, Group),
    Tree(Timestamp, usize, TreeChanges),
    Ended(AppId, Vec<PodTermination>),
    Failed(Box<Failed>),
}

/// What a version of the tree changed, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TreeChanges {
    /// Apps and pods, with their versions before and after.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) apps: BTreeMap<AppId, (Option<Timestamp>, Option<Timestamp>)>,
    /// Groups with records of their own, before and after.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) groups: BTreeMap<PathId, (Option<Group>, Option<Group>)>,
}

#[derive(Serialize, Deserialize)]
struct StoredGroup {
    id: PathId,
    #[serde(flatten)]
    group: Group,
}

#[derive(Serialize, Deserialize)]
struct StoredTree {
    version: Timestamp,
    part: usize,
    #[serde(flatten)]
    changes: TreeChanges,
}

#[derive(Serialize, Deserialize)]
struct StoredApp {
    definition: Map<String, Value>,
    /// Whether it is the definition of a pod.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pod: bool,
    version: Timestamp,
    version_info: VersionInfo,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleting: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredEnds {
    id: AppId,
    ends: Vec<PodTermination>,
}

#[derive(Serialize, Deserialize)]
struct StoredInstance {
    id: InstanceId,
    incarnation: u32,
    goal: Goal,
    task: Task,
}

impl StoredInstance {
    fn into_instance(self) -> Box<Instance> {
        let Self { id, incarnation, goal, task } = self;
        Box::new(Instance { id, incarnation, goal, pinned: None, phase: Phase::Placed(task) })
    }
}

/// The records of which there are many, envelope and all.
#[derive(Deserialize)]
struct Typed {
    format: u64,
    instance: Option<StoredInstance>,
    app: Option<StoredApp>,
    version: Option<StoredApp>,
}

/// A record as it was read back. Reading takes most of the time of a start and can be done on any thread.
#[derive(Debug)]
pub struct Recovered(pub(crate) Record);

impl Recovered {
    /// Reads the record of this name.
    ///
    /// # Errors
    /// When it is of a newer format or damaged.
    pub fn read(key: &str, value: &[u8]) -> Result<Self, ReadError> {
        read(key, value).map(Self)
    }

    /// The role that offers are wanted in for it, if it is of that kind.
    pub fn role(&self) -> Option<Role> {
        match &self.0 {
            Record::App { app, .. } => Role::new(app.definition.role.as_str()).ok(),
            Record::Sweep(role) => Some(role.clone()),
            _ => None,
        }
    }

    /// The name of another record that only repeats what this one says, and need not be read.
    pub fn repeated(&self) -> Option<String> {
        match &self.0 {
            Record::App { app, .. } => Some(Key::Version(app.definition.id.clone(), app.version).to_string()),
            _ => None,
        }
    }
}

/// A deployment with the versions of its apps in place of the apps, which have records of their own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredDeployment {
    id: DeploymentId,
    version: Timestamp,
    changes: BTreeMap<AppId, (Option<Timestamp>, Option<Timestamp>)>,
    steps: Vec<Vec<Action>>,
    current: usize,
    #[serde(default)]
    progress: Progress,
}

impl StoredPart {
    pub(crate) fn deployment(&self) -> DeploymentId {
        self.id
    }
}

/// The most apps of a deployment in one record; a deployment of more has parts.
const APPS_PER_RECORD: usize = 256;

/// Some of the apps of a deployment, and what is done to them at which step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredPart {
    id: DeploymentId,
    changes: BTreeMap<AppId, (Option<Timestamp>, Option<Timestamp>)>,
    actions: Vec<(usize, Action)>,
}

/// How many parts a deployment has beside its own record.
pub(crate) fn parts_of(deployment: &Deployment) -> usize {
    let count = deployment.changes.len();
    if count > APPS_PER_RECORD { count.div_ceil(APPS_PER_RECORD) } else { 0 }
}

/// A part of a deployment; `None` when it has none of that number.
pub(crate) fn write_part(deployment: &Deployment, part: usize) -> Option<Vec<u8>> {
    if part >= parts_of(deployment) {
        return None;
    }
    let here = deployment.changes.iter().skip(part * APPS_PER_RECORD).take(APPS_PER_RECORD);
    let changes: BTreeMap<_, _> = here.map(|(id, change)| (id.clone(), sides(change))).collect();
    let steps = deployment.steps.iter().enumerate();
    let actions = steps.flat_map(|(step, actions)| actions.iter().map(move |action| (step, action.clone())));
    let actions = actions.filter(|(_, action)| changes.contains_key(&action.app)).collect();
    Some(encode(Body::DeploymentPart(StoredPart { id: deployment.id, changes, actions })))
}

fn sides(change: &Change) -> (Option<Timestamp>, Option<Timestamp>) {
    let side = |app: &Option<App>| app.as_ref().map(|app| app.version);
    (side(&change.from), side(&change.to))
}

impl StoredDeployment {
    pub(crate) fn id(&self) -> DeploymentId {
        self.id
    }

    pub(crate) fn version(&self) -> Timestamp {
        self.version
    }

    /// Adds what stands in a part.
    pub(crate) fn add(&mut self, part: StoredPart) {
        self.changes.extend(part.changes);
        for (step, action) in part.actions {
            if let Some(actions) = self.steps.get_mut(step) {
                actions.push(action);
            }
        }
    }

    /// The deployment; `find` gives an app in one of its versions.
    pub(crate) fn resolve(self, find: impl Fn(&AppId, Timestamp) -> Option<App>) -> Deployment {
        let Self { id, version, changes, steps, current, progress } = self;
        // One that stands beyond its steps is at its end.
        let current = current.min(steps.len());
        let side = |app: &AppId, version: Option<Timestamp>| version.and_then(|version| find(app, version));
        let change = |app: &AppId, (from, to)| Change { from: side(app, from), to: side(app, to) };
        let changes = changes.into_iter().map(|(app, sides)| (app.clone(), change(&app, sides))).collect();
        Deployment::new(id, version, (changes, steps), current, progress)
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    format: u64,
    #[serde(flatten)]
    body: Body<T>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Body<T> {
    App(T),
    Version(T),
    Instance(T),
    Deployment(T),
    DeploymentPart(T),
    Home(T),
    Sweep(T),
    Group(T),
    Tree(T),
    Ended(T),
    Failed(T),
}

fn encode<T: Serialize>(body: Body<T>) -> Vec<u8> {
    let format = match body {
        Body::Ended(_) => 2,
        Body::Failed(_) => 3,
        _ => FIRST_FORMAT,
    };
    serde_json::to_vec(&Envelope { format, body }).expect("maps have text keys and numbers are finite")
}

pub(crate) fn write_app(app: &App, deleting: bool) -> Vec<u8> {
    encode(Body::App(stored(app, deleting)))
}

pub(crate) fn write_version(app: &App) -> Vec<u8> {
    encode(Body::Version(stored(app, false)))
}

pub(crate) fn write_instance(instance: &Instance, task: &Task) -> Vec<u8> {
    let (id, incarnation, goal) = (instance.id.clone(), instance.incarnation, instance.goal);
    encode(Body::Instance(StoredInstance { id, incarnation, goal, task: task.clone() }))
}

/// A deployment, without its apps when they stand in parts.
pub(crate) fn write_deployment(deployment: &Deployment) -> Vec<u8> {
    let whole = parts_of(deployment) == 0;
    let changes = deployment.changes.iter().filter(|_| whole);
    let steps = deployment.steps.iter().map(|step| if whole { step.clone() } else { Vec::new() });
    encode(Body::Deployment(StoredDeployment {
        id: deployment.id,
        version: deployment.version,
        changes: changes.map(|(id, change)| (id.clone(), sides(change))).collect(),
        steps: steps.collect(),
        current: deployment.current,
        progress: deployment.progress.clone(),
    }))
}

pub(crate) fn write_sweep(role: &Role) -> Vec<u8> {
    encode(Body::Sweep(role))
}

pub(crate) fn write_home(home: &Home) -> Vec<u8> {
    encode(Body::Home(home))
}

pub(crate) fn write_group(id: &PathId, group: &Group) -> Vec<u8> {
    encode(Body::Group(StoredGroup { id: id.clone(), group: group.clone() }))
}

pub(crate) fn write_tree(version: Timestamp, part: usize, changes: &TreeChanges) -> Vec<u8> {
    encode(Body::Tree(StoredTree { version, part, changes: changes.clone() }))
}

/// How instances of a pod ended, the latest first, as many as there is room for; `None` when nothing is to be kept.
pub(crate) fn write_ended(id: &AppId, ends: &[PodTermination]) -> Option<Vec<u8>> {
    (1..=ends.len()).rev().find_map(|count| {
        let ends = StoredEnds { id: id.clone(), ends: ends.iter().take(count).cloned().collect() };
        Some(encode(Body::Ended(ends))).filter(|record| record.len() <= ENDED_BYTES)
    })
}

fn stored(app: &App, deleting: bool) -> StoredApp {
    let definition = match &app.definition.pod {
        Some(pod) => pod::definition(&app.definition, pod),
        None => match serde_json::to_value(&app.definition) {
            Ok(Value::Object(object)) => object,
            Ok(_) | Err(_) => unreachable!("a definition is a struct of plain values"),
        },
    };
    let (version, version_info, pod) = (app.version, app.version_info, app.is_pod());
    StoredApp { definition, pod, version, version_info, deleting }
}

/// Reads a record back.
pub(crate) fn read(key: &str, value: &[u8]) -> Result<Record, ReadError> {
    let corrupt =
        |source: Box<dyn std::error::Error + Send + Sync>| ReadError::Corrupt { key: key.to_owned(), source };
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    // Nearly all are of these kinds, which are read in one go.
    match serde_json::from_slice(value) {
        Ok(Typed { format: FIRST_FORMAT, instance: Some(instance), .. }) => {
            return Ok(Record::Instance(instance.into_instance()));
        }
        Ok(Typed { format: FIRST_FORMAT, app: Some(stored), .. }) => {
            let deleting = stored.deleting;
            return Ok(Record::App { app: app(stored).map_err(|error| corrupt(error.into()))?, deleting });
        }
        Ok(Typed { format: FIRST_FORMAT, version: Some(stored), .. }) => {
            return Ok(Record::Version(app(stored).map_err(|error| corrupt(error.into()))?));
        }
        Ok(_) | Err(_) => {}
    }
    let Format { format } = serde_json::from_slice(value).map_err(|error| corrupt(error.into()))?;
    if format > FORMAT {
        return Err(ReadError::TooNew { key: key.to_owned(), format });
    }
    let envelope: Envelope<Value> = serde_json::from_slice(value).map_err(|error| corrupt(error.into()))?;
    restore(envelope.body).map_err(corrupt)
}

fn restore(body: Body<Value>) -> Result<Record, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match body {
        Body::App(value) => {
            let stored: StoredApp = serde_json::from_value(value)?;
            let deleting = stored.deleting;
            Record::App { app: app(stored)?, deleting }
        }
        Body::Version(value) => Record::Version(app(serde_json::from_value(value)?)?),
        Body::Instance(value) => {
            Record::Instance(serde_json::from_value::<StoredInstance>(value)?.into_instance())
        }
        Body::Deployment(value) => Record::Deployment(serde_json::from_value(value)?),
        Body::DeploymentPart(value) => Record::DeploymentPart(serde_json::from_value(value)?),
        Body::Sweep(value) => Record::Sweep(serde_json::from_value(value)?),
        Body::Home(value) => Record::Home(serde_json::from_value(value)?),
        Body::Group(value) => {
            let StoredGroup { id, group } = serde_json::from_value(value)?;
            Record::Group(id, group)
        }
        Body::Tree(value) => {
            let StoredTree { version, part, changes } = serde_json::from_value(value)?;
            Record::Tree(version, part, changes)
        }
        Body::Ended(value) => {
            let StoredEnds { id, ends } = serde_json::from_value(value)?;
            Record::Ended(id, ends)
        }
        Body::Failed(value) => Record::Failed(Box::new(serde_json::from_value(value)?)),
    })
}

fn app(stored: StoredApp) -> Result<App, crate::definition::InvalidDefinition> {
    let definition = match stored.pod {
        true => pod::kept(&stored.definition)?,
        false => AppDefinition::kept(&stored.definition)?,
    };
    Ok(App { definition: Arc::new(definition), version: stored.version, version_info: stored.version_info })
}
