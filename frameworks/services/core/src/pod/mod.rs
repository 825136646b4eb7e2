//! Pods: instances of several containers that start together on one agent, share its network and volumes, and end together.

mod check;
mod container;
mod definition;
mod environment;
mod launch;
mod read;
mod rules;
mod scheduling;
mod share;
mod task;
mod write;

pub use check::{PodCheck, PodHealthCheck, PodQuestion};
pub use definition::{Amounts, Endpoint, Exec, Image, Lifecycle, Pod, PodContainer, PodVolume, VolumeMount};
pub use launch::{GroupTask, LaunchGroup};
pub(crate) use read::kept;
pub use read::read;
pub(crate) use scheduling::moved;
pub use task::{ContainerState, ContainerTask, End, PodTask};
pub use write::definition;
