//! What can happen to the services framework, and what it asks of its shell.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use chapada_model::{
    AgentId, FrameworkId, OfferId, Resources, Role, TaskId, TaskState, TaskStatus, Text, Unavailability,
    UpdateUuid,
};
use serde_json::{Map, Value};

use crate::app::{App, Kind};
use crate::definition::{FieldError, HealthCheck};
use crate::deployment::{Action, Deployment};
use crate::group::PathId;
use crate::health::Probe;
use crate::id::{AppId, DeploymentId, InstanceId};
use crate::instance::{CheckResult, Instance, Task};
use crate::launch::Launch;
use crate::pod::LaunchGroup;
use crate::readiness::{ReadinessProbe, ReadinessResponse};
use crate::records::Write;
use crate::timestamp::Timestamp;

/// Everything that can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client of the REST API wants something; its answer carries the same number.
    Command {
        /// Chosen by the shell.
        request: u64,
        /// What it wants.
        command: Command,
    },
    /// The master knows this framework by this id.
    Registered(FrameworkId),
    /// The master takes our calls from now on.
    Subscribed,
    /// It does not any more. Offers made so far are void.
    Disconnected,
    /// The master offers resources.
    Offers(Vec<chapada_sdk_core::Offer>),
    /// News of a task.
    Update(TaskStatus),
    /// A task was asked how it is.
    Probed {
        /// Which.
        task: TaskId,
        /// Which of its checks.
        check: usize,
        /// What is wrong, if anything is.
        result: Result<(), String>,
    },
    /// A task was asked whether it is ready.
    Readiness {
        /// Which.
        task: TaskId,
        /// Which of its readiness checks.
        check: usize,
        /// What it said, or why it said nothing.
        result: Result<ReadinessResponse, String>,
    },
    /// What a status of a task says besides, to be told before the status itself.
    Observed {
        /// Which.
        task: TaskId,
        /// Its own addresses.
        addresses: Vec<IpAddr>,
        /// What its check found.
        check: Option<CheckResult>,
    },
    /// The write of this number is durable, as all before it.
    Stored(u64),
    /// Time has passed; see `Services::next_deadline`.
    Tick,
    /// The master asks that agents be left, each before it is away.
    AskedToLeave(Vec<(AgentId, Unavailability)>),
    /// The region of the masters, if they say one. To be told before `Subscribed`.
    HomeRegion(Option<Text>),
}

/// What a client can want.
#[derive(Clone, Debug)]
pub enum Command {
    /// A new app.
    Create {
        /// Its definition.
        definition: Map<String, Value>,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Changes of several apps in one deployment.
    Update {
        /// The changes.
        updates: Vec<Update>,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// An app shall be no more.
    Delete {
        /// Which.
        app: AppId,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Every instance shall be replaced.
    Restart {
        /// Of which app.
        app: AppId,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Tasks shall be killed.
    Kill {
        /// Which.
        which: Which,
        /// Whether their apps shall have that many fewer instances; else others take their place.
        scale: bool,
        /// Whether deployments in the way are cancelled (matters only with `scale`).
        force: bool,
    },
    /// Tasks shall be killed, and what is kept for their instances given back, the data with it.
    Wipe {
        /// Which; instances that wait for their volumes can be named, too.
        which: Which,
    },
    /// A deployment shall end.
    Cancel {
        /// Which.
        deployment: DeploymentId,
        /// Whether things stay where they are; else a new deployment undoes it.
        force: bool,
    },
    /// A new pod.
    CreatePod {
        /// Its definition.
        definition: Map<String, Value>,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// A pod shall be this and nothing else.
    ReplacePod {
        /// Which.
        pod: AppId,
        /// Its new definition.
        definition: Map<String, Value>,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// A pod shall be no more.
    DeletePod {
        /// Which.
        pod: AppId,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Instances of a pod shall be killed; others take their place.
    KillInstances {
        /// Of which pod.
        pod: AppId,
        /// Which, by their ids.
        instances: Vec<String>,
        /// Whether each of them must be there; else those that are not are passed over.
        all: bool,
    },
    /// The same, and what is kept for them is given back, the data with it.
    WipeInstances {
        /// Of which pod.
        pod: AppId,
        /// Which, by their ids; also those that wait for their volumes or are not wanted now.
        instances: Vec<String>,
        /// Whether each of them must be there; else those that are not are passed over.
        all: bool,
    },
    /// A group shall change.
    Group {
        /// Which the client addressed; see [`GroupChange::target`].
        group: PathId,
        /// How.
        change: GroupChange,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// A canary has been looked at: the deployment shall go on.
    Promote(DeploymentId),
    /// A deployment shall stay where it is for now.
    Pause(DeploymentId),
    /// A paused deployment shall go on.
    Resume(DeploymentId),
    /// An app that waits after failures shall wait no longer.
    ResetDelay {
        /// Which.
        app: AppId,
    },
}

/// The change of a group.
#[derive(Clone, Debug)]
pub enum GroupChange {
    /// It is new, and so are the apps and groups in this.
    Create(Map<String, Value>),
    /// What this names replaces what is there; `{"scaleBy": …}` and `{"version": …}` stand alone.
    Put(Map<String, Value>),
    /// Whether its name is the role of what is new in it.
    EnforceRole(bool),
    /// It shall be no more, nor anything in it.
    Delete,
}

/// The change of one app.
#[derive(Clone, Debug)]
pub struct Update {
    /// Which.
    pub app: AppId,
    /// The fields to change; `{"version": …}` goes back to that version.
    pub fields: Map<String, Value>,
    /// Whether fields that are not named keep their values; else they return to their defaults.
    pub partial: bool,
    /// Whether the app is made if there is none.
    pub create: bool,
}

/// Which tasks are meant.
#[derive(Clone, Debug)]
pub enum Which {
    /// Those of an app, of all agents or of one host name.
    Of {
        /// The app.
        app: AppId,
        /// Only on this host.
        host: Option<String>,
    },
    /// One task of an app, by task or instance id.
    One {
        /// The app.
        app: AppId,
        /// The task.
        task: String,
    },
    /// Any, by task or instance id; those that are not there are passed over.
    Any(Vec<String>),
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The new app.
    Created {
        /// As accepted.
        app: Box<App>,
        /// What brings it about.
        deployment: DeploymentId,
    },
    /// A pod is as wanted, or will be.
    Pod {
        /// As accepted.
        app: Box<App>,
        /// What brings it about.
        deployment: DeploymentId,
    },
    /// A deployment is on its way.
    Deployed {
        /// Names it.
        deployment: DeploymentId,
        /// The version it makes.
        version: Timestamp,
        /// The apps that did not exist before.
        created: Vec<AppId>,
    },
    /// These instances of a pod are being killed; each as it was.
    KilledInstances(Vec<Instance>),
    /// A deployment of a group's change is on its way.
    GroupDeployed {
        /// Names it.
        deployment: DeploymentId,
        /// The version it makes.
        version: Timestamp,
        /// The group, when it did not exist before.
        created: Option<PathId>,
    },
    /// These tasks are being killed.
    Killed(Vec<(AppId, Task)>),
    /// Done; there is nothing to say.
    Done,
}

/// Why a client gets nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Fields have the wrong type.
    #[error("Invalid JSON")]
    WrongType(Vec<FieldError>),
    /// Fields break rules or ask for what is not supported.
    #[error("Object is not valid")]
    Invalid(Vec<FieldError>),
    /// The id is taken.
    #[error("{kind} with id [{id}] already exists.")]
    Exists {
        /// By what.
        kind: Kind,
        /// The id.
        id: AppId,
    },
    /// The id in a pod's definition is not that of the path.
    #[error("the id of the pod must be that of the path")]
    OtherPod,
    /// There is no such instance.
    #[error("Instance '{0}' does not exist")]
    NoInstance(String),
    /// There is no such pod.
    #[error("Pod '{0}' does not exist")]
    NoPod(AppId),
    /// There is no such app.
    #[error("App '{0}' does not exist")]
    NoApp(AppId),
    /// There is no such version of it.
    #[error("App '{0}' does not exist in version {1}")]
    NoVersion(AppId, Timestamp),
    /// There is such a group already.
    #[error("Group {0} is already created. Use PUT to change this group.")]
    GroupExists(PathId),
    /// There is no such group.
    #[error("Group '{0}' does not exist")]
    NoGroup(PathId),
    /// There is no such task.
    #[error("Task '{0}' does not exist")]
    NoTask(String),
    /// There is no such deployment.
    #[error("DeploymentPlan {0} does not exist")]
    NoDeployment(DeploymentId),
    /// It does not wait for anything.
    #[error("Application {0} not found in tasks queue.")]
    NotQueued(AppId),
    /// Deployments are in the way.
    #[error(
        "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'."
    )]
    Locked(Vec<DeploymentId>),
    /// The deployment is not in a state for that.
    #[error("{0}")]
    NotNow(&'static str),
    /// Who asks may not; only the shell says so.
    #[error("{0}")]
    Denied(String),
    /// Too much goes on already.
    #[error("{0}")]
    TooMany(String),
}

/// What becomes of reservations and volumes.
#[derive(Clone, Debug, PartialEq)]
pub enum HomeOperation {
    /// Keep these.
    Reserve(Resources),
    /// Make these volumes of what is kept.
    Create(Resources),
    /// Destroy these volumes, with what is in them.
    Destroy(Resources),
    /// Keep these no longer.
    Unreserve(Resources),
}

/// What the shell is to do. It does these in order; the core has held back all that rests on a write until that write
/// was durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make these changes durable, all or none, and say `Event::Stored` with this number. Repeat until it works.
    Store {
        /// Counts up.
        number: u64,
        /// The changes.
        writes: Vec<Write>,
    },
    /// Use an offer.
    Launch {
        /// Which.
        offer: OfferId,
        /// Tasks to launch with it.
        tasks: Vec<Launch>,
        /// Instances of pods to launch with it.
        groups: Vec<LaunchGroup>,
        /// How long what is left of it need not be offered again.
        refuse: Duration,
    },
    /// Use an offer also for what is kept for instances.
    Accept {
        /// Which.
        offer: OfferId,
        /// What is done before anything is launched, in this order.
        operations: Vec<HomeOperation>,
        /// Tasks to launch with it.
        tasks: Vec<Launch>,
        /// Instances of pods to launch with it.
        groups: Vec<LaunchGroup>,
        /// How long what is left of it need not be offered again.
        refuse: Duration,
    },
    /// Use nothing of an offer.
    Decline {
        /// Which.
        offer: OfferId,
        /// How long it need not be offered again.
        refuse: Duration,
    },
    /// Kill a task.
    Kill {
        /// Which.
        task: TaskId,
        /// Where it is, if known.
        agent: Option<AgentId>,
    },
    /// Tell the agent that an update arrived and was recorded.
    Acknowledge {
        /// Of which task.
        task: TaskId,
        /// From which agent.
        agent: AgentId,
        /// Which update.
        uuid: UpdateUuid,
    },
    /// Ask the master for the state of these tasks; none at all means of all it knows.
    Reconcile(Vec<(TaskId, Option<AgentId>)>),
    /// Ask for offers again.
    Revive,
    /// Ask for no more offers.
    Suppress,
    /// Take offers in these roles and no others, now and after each subscription. Offers are wanted in all of them then.
    Roles(BTreeSet<Role>),
    /// Ask for offers again in these roles only.
    ReviveIn(BTreeSet<Role>),
    /// Ask for no more offers in these roles.
    SuppressIn(BTreeSet<Role>),
    /// Ask a task how it is, and say `Event::Probed`.
    Probe(Box<Probe>),
    /// Ask a task whether it can take over, and say `Event::Readiness`.
    AskReady(Box<ReadinessProbe>),
    /// Tell the subscribers of the event stream.
    Publish(Box<Published>),
    /// Answer a command.
    Answer {
        /// Its number.
        request: u64,
        /// The answer.
        answer: Result<Reply, Refusal>,
    },
}

/// Something that happened, for the event stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// News of a task.
    Status {
        /// Of which app.
        app: AppId,
        /// The task as it was before.
        task: Box<Task>,
        /// Its new state.
        state: TaskState,
        /// What its executor or the master said.
        message: String,
    },
    /// An instance's condition changed.
    Instance {
        /// Which.
        id: InstanceId,
        /// Its condition, by Marathon's names.
        condition: &'static str,
        /// The version of its task, or of the task that it waits for.
        version: Timestamp,
        /// The agent of its task, with the host's name.
        place: Option<(AgentId, String)>,
    },
    /// A task was found not to be well.
    CheckFailed {
        /// Its instance.
        id: InstanceId,
        /// The version it was launched with.
        version: Timestamp,
        /// The check that says so.
        check: Box<HealthCheck>,
    },
    /// A task is well, or is not any more.
    Health {
        /// Its instance.
        id: InstanceId,
        /// The version it was launched with.
        version: Timestamp,
        /// Whether it is well.
        healthy: Option<bool>,
    },
    /// An instance of a pod is well, or is not any more, as its containers' own health checks say.
    InstanceHealth {
        /// Which.
        id: InstanceId,
        /// The version it was launched with.
        version: Timestamp,
        /// Whether it is well.
        healthy: Option<bool>,
    },
    /// A task is killed because it was not well for too long.
    UnhealthyKill {
        /// Its instance.
        id: InstanceId,
        /// What its check said last.
        cause: String,
        /// The task.
        task: Box<Task>,
    },
    /// A task that nobody here knows ended.
    UnknownTerminated {
        /// Its instance.
        id: InstanceId,
        /// How, by Marathon's names.
        condition: &'static str,
    },
    /// A step of a deployment began.
    Step {
        /// The deployment.
        plan: Deployment,
        /// What goes on.
        actions: Vec<Action>,
    },
    /// A step of a deployment ended.
    StepDone {
        /// The deployment.
        plan: Deployment,
        /// What went on.
        actions: Vec<Action>,
    },
    /// A deployment ended well.
    Deployed(Deployment),
    /// A deployment was cancelled.
    Cancelled(Deployment),
    /// A deployment was given up.
    Failed {
        /// The deployment.
        plan: Deployment,
        /// Why.
        reason: String,
    },
    /// A change of a group, or of an app in it, was not taken.
    GroupFailed {
        /// Which.
        group: PathId,
        /// The version it would have made.
        version: Timestamp,
        /// Why not.
        reason: String,
    },
    /// The set of apps changed.
    Changed {
        /// The group that all of the change is in.
        group: PathId,
        /// The version it has now.
        version: Timestamp,
    },
    /// An app is gone.
    Terminated(AppId),
}
