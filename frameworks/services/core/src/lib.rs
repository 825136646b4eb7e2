//! What the services framework decides, and nothing it does: app definitions, instances, the launch queue, deployments.
//! Start at [`Services::apply`]. Knows no clock, no randomness, no network and no storage.
#![forbid(unsafe_code)]

mod app;
mod definition;
mod delay;
mod dependency;
mod deployment;
mod environment;
mod event;
mod group;
mod health;
mod id;
mod instance;
mod launch;
mod matching;
mod plan;
mod pod;
mod progress;
mod readiness;
mod records;
mod resident;
mod rolling;
mod services;
mod settings;
mod timestamp;
mod why;

pub use app::{App, Kind, VersionInfo};
pub use chapada_sdk_core::{
    Constraint, Funnel as OfferFunnel, FunnelStep, InvalidConstraint, MismatchKind, Offer, Place,
};
pub use definition::{
    AppDefinition, Bound, CanarySize, CanaryStage, Check, CheckKind, Command as AppCommand, CommandLine,
    Container, ContainerKind, Defaults, DiskType, Docker, EnvValue, Fetch, FieldError, HealthCheck,
    HealthCommand, HostPort, InvalidDefinition, IpcInfo, KillSelection, LinuxInfo, NO_NETWORK, Network,
    NetworkMode, Parameter, Persistent, Port, PortDefinition, PortMapping, Protocol, ReadinessCheck,
    ReadinessProtocol, Residency, ResourceLimits, Rollout, Seccomp, Seconds, Secret, UnreachableStrategy,
    UpgradeStrategy, Volume, VolumeMode, merged,
};
pub use dependency::Cycle;
pub use deployment::{Action, ActionKind, Change, Deployment};
pub use environment::environment;
pub use event::{
    Command, Effect, Event, GroupChange, HomeOperation, Published, Refusal, Reply, Update, Which,
};
pub use group::{Group, PathId};
pub use health::{CheckState, Probe};
pub use id::{
    AppId, DeploymentId, InstanceId, InvalidAppId, InvalidInstanceId, InvalidUuid, MAX_APP_ID, Seed, Uuid,
};
pub use instance::{CheckResult, Condition, Goal, Instance, Phase, Task};
pub use launch::{
    Launch, LaunchCheck, LaunchContainer, LaunchHealth, LaunchImage, LaunchMapping, LaunchNetwork,
    LaunchPort, LaunchQuestion, LaunchSource, LaunchValue, LaunchVolume, TaskPort, task_ports,
};
pub use matching::request;
pub use plan::{Landed, Proposal};
pub use pod::{
    Amounts, ContainerState, ContainerTask, End, Endpoint, Exec, GroupTask, Image, LaunchGroup, Lifecycle,
    Pod, PodCheck, PodContainer, PodHealthCheck, PodQuestion, PodTask, PodVolume, VolumeMount,
};
pub use pod::{definition as pod_definition, read as read_pod};
pub use progress::{AppProgress, Held, Progress};
pub use readiness::{Readiness, ReadinessProbe, ReadinessResponse};
pub use records::{FORMAT, Key, ReadError, Recovered, Write};
pub use resident::{Home, LocalVolume};
pub use services::{
    AppState, Counts, Failure, Funnel, GroupPlan, Inquired, Inquiring, Instances, KnownOffer, Looked,
    PodTermination, Services, Snapshot, Waiting,
};
pub use settings::{AcceptedRoles, Patience, Settings};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use why::{Cause, Explanation, Inquiry, Reason, Suggestion};
