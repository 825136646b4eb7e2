//! Pods: instances of several containers that start together on one agent, share its network and volumes, and end together.

mod definition;
mod read;
mod task;

pub use definition::{Pod, PodContainer};
pub use read::read;
pub use task::{ContainerState, ContainerTask, End, PodTask};
