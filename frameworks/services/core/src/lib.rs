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
mod matching;
mod pod;
mod progress;
mod readiness;
mod records;
mod rolling;
mod services;
mod timestamp;

pub use chapada_sdk_core::{Constraint, InvalidConstraint, MismatchKind, Offer, Place};
pub use app::{App, VersionInfo};
pub use definition::{
    AppDefinition, Command as AppCommand, Container, FieldError, HealthCheck, InvalidDefinition,
    KillSelection, Network, PortDefinition, Protocol, ReadinessCheck, ReadinessProtocol, CanarySize, CanaryStage, Rollout, Seconds, UnreachableStrategy, UpgradeStrategy, merged,
};
pub use delay::Delay;
pub use dependency::Cycle;
pub use deployment::{Action, ActionKind, Change, Deployment};
pub use environment::environment;
pub use event::{Command, Effect, Event, GroupChange, Launch, LaunchPort, Published, Refusal, Reply, Update, Which};
pub use group::{Group, PathId};
pub use health::{CheckState, Probe};
pub use id::{
    AppId, DeploymentId, InstanceId, InvalidAppId, InvalidInstanceId, InvalidUuid, MAX_APP_ID, Seed, Uuid,
};
pub use instance::{Condition, Goal, Instance, Phase, Task};
pub use matching::request;
pub use pod::{ContainerState, ContainerTask, End, Pod, PodContainer, PodTask};
pub use progress::{AppProgress, Held, Progress};
pub use readiness::{Readiness, ReadinessProbe, ReadinessResponse};
pub use records::{FORMAT, Key, ReadError, Write};
pub use services::{AppState, Counts, Failure, Funnel, GroupPlan, Services, Snapshot, Waiting};
pub use timestamp::{InvalidTimestamp, Timestamp};
