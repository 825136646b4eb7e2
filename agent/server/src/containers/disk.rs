//! The kernel's quota for what a container writes, where the disk has one. Elsewhere it is measured.

use std::sync::Arc;

use chapada_isolation::IsolationError;
use chapada_shim::{RootFileSystem, RootSource};
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
    let (means, order) = (means.clone(), order.clone());
    let bounded = spawn_blocking(move || bound(&means, &order)).await;
    bounded.map_err(|panic| panic.to_string())?.map_err(|error| error.to_string())
}

fn bound(means: &Means, order: &Order) -> Result<(), StartError> {
    let Some(projects) = &means.supplies.projects else { return Ok(()) };
    let Some(quota) = plain_quota(&own_resources(order)?) else { return Ok(()) };
    let sandbox = match &order.what {
        What::Task { task, .. } => means.layout.make_sandbox(&order.agent, task),
        What::Executor { executor, .. } => means.layout.make_executor_sandbox(&order.agent, executor),
    };
    let sandbox = sandbox.map_err(StartError::Sandbox)?;
    projects.begin(&sandbox, quota).map_err(StartError::Quota)
}

/// Makes what is written over an image part of its container's project.
///
/// # Errors
/// The kernel's.
pub(super) fn bound_root(means: &Means, order: &Order, root: &RootFileSystem) -> Result<(), IsolationError> {
    let Some(projects) = &means.supplies.projects else { return Ok(()) };
    let RootSource::Overlay { upper, .. } = &root.source else { return Ok(()) };
    let sandbox = match &order.what {
        What::Task { task, .. } => means.layout.sandbox(&order.agent, task),
        What::Executor { executor, .. } => means.layout.executor_sandbox(&order.agent, executor),
    };
    projects.join(&sandbox, upper)
}
