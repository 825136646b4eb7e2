//! What a call means that names a container: a session, or the command of a container that has a shim.

use std::sync::Arc;

use chapada_shim::ClientError;
use http::StatusCode;

use super::{Api, Refusal, refusal};
use crate::attach::{ContainerPath, Session};

/// Something with standard streams.
pub(super) enum Target {
    Session(Arc<Session>),
    /// A command, by the name of its shim.
    Command(String),
}

impl Target {
    /// What has this name and runs.
    pub(super) async fn find(api: &Api, path: &ContainerPath) -> Result<Self, Refusal> {
        if let Some(session) = api.means.sessions.find(path) {
            return Ok(Self::Session(session));
        }
        if let Some(launched) = api.means.nested.find(path) {
            let runs = launched.pid().is_some() && launched.ended().is_none();
            return runs.then(|| Self::Command(launched.record.shim.clone())).ok_or_else(|| unknown(path));
        }
        let view = api.view().await.map_err(Box::new)?;
        let tasks = view.tasks.iter().filter(|task| task.phase.pid().is_some());
        let executors = view.executors.iter().filter(|executor| executor.phase.pid().is_some());
        let tasks = tasks.map(|task| &task.record.container);
        let mut all = tasks.chain(executors.map(|executor| &executor.record.container));
        let found = all.find(|container| *container == path.own());
        found.map(|container| Self::Command(container.to_string())).ok_or_else(|| unknown(path))
    }
}

pub(super) fn unknown(path: &ContainerPath) -> Refusal {
    refusal(StatusCode::NOT_FOUND, format!("Container {path} cannot be found"))
}

/// Why a command is not attached to.
pub(super) fn not_attached(path: &ContainerPath, error: &ClientError) -> Refusal {
    let (status, why) = match error {
        ClientError::Spec(_) => {
            let why = "it has no terminal: launch it with 'container.tty_info', or LAUNCH_NESTED_CONTAINER_SESSION beside it";
            (StatusCode::BAD_REQUEST, why.to_owned())
        }
        ClientError::Protocol(why) => (StatusCode::BAD_REQUEST, why.clone()),
        ClientError::Connect { .. } | ClientError::Closed => (
            StatusCode::BAD_REQUEST,
            "it has ended, or was started by an agent of an earlier version".to_owned(),
        ),
        other => (StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
    };
    refusal(status, format!("Container {path} cannot be attached to: {why}"))
}
