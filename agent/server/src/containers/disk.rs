//! The kernel's quota for what a container writes, where the disk has one. Elsewhere it is measured.

use std::path::Path;
use std::sync::Arc;

use chapada_isolation::IsolationError;
use chapada_model::Resources;
use chapada_shim::{ContainerSpec, RootSource};
use tokio::task::spawn_blocking;

use super::Means;
use super::start::{Order, StartError, What, own_resources};
use crate::disk_quota::plain_quota;

/// Makes the sandbox, before anything is put into it, and a project of it that may take what was asked for.
///
/// # Errors
/// Says why in one line, for the framework's author.
pub(super) async fn bound_sandbox(means: &Arc<Means>, order: &Arc<Order>) -> Result<(), String> {
    if means.supplies.projects.is_none() {
        return Ok(());
    }
    // It is never closed.
    let _turn = means.preparing.acquire().await.ok();
    let (means, order) = (means.clone(), order.clone());
    let bounded = spawn_blocking(move || bound(&means, &order)).await;
    bounded.map_err(|panic| panic.to_string())?.map_err(|error| error.to_string())
}

fn bound(means: &Means, order: &Order) -> Result<(), StartError> {
    let resources = own_resources(order)?;
    let sandbox = match &order.what {
        What::Task { task, .. } => means.layout.make_sandbox(&order.agent, task),
        What::Executor { executor, .. } => means.layout.make_executor_sandbox(&order.agent, executor),
    };
    bound_directory(means, &sandbox.map_err(StartError::Sandbox)?, &resources).map_err(StartError::Quota)
}

/// Makes a project of a sandbox that is there, if these resources say how much it may hold. Blocks.
///
/// # Errors
/// The kernel's.
pub(super) fn bound_directory(
    means: &Means,
    sandbox: &Path,
    resources: &[Resources],
) -> Result<(), IsolationError> {
    let Some(projects) = &means.supplies.projects else { return Ok(()) };
    plain_quota(resources).map_or(Ok(()), |quota| projects.begin(sandbox, quota))
}

/// Makes what is written over an image part of its container's project.
///
/// # Errors
/// The kernel's.
pub(super) fn bound_root(means: &Means, spec: &ContainerSpec) -> Result<(), IsolationError> {
    let Some(projects) = &means.supplies.projects else { return Ok(()) };
    match spec.root.as_ref().map(|root| &root.source) {
        Some(RootSource::Overlay { upper, .. }) => projects.join(&spec.sandbox, upper),
        Some(RootSource::Directory(_)) | None => Ok(()),
    }
}
