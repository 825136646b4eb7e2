//! What a pod is beyond what scheduling needs of it, which stands in its [`AppDefinition`](crate::AppDefinition).

use serde::Serialize;

/// The containers of each instance of a pod, and what they share.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// At least one, with names of their own.
    pub containers: Vec<PodContainer>,
}

/// One container of each instance of a pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodContainer {
    /// Its name within the pod.
    pub name: String,
}
