//! Launching: from a plan to a container that runs.

use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::View;
use chapada_shim::{ClientError, Event, Outcome as ShimOutcome, ShimClient};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::make::make;
use super::plan::{Wish, plan};
use super::watch::{remove_traces, watch};
use super::{Launched, NotNew};
use crate::attach::watched;
use crate::containers::Means;

/// How long a shim may take to make a container.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Launched,
    /// There is one of that name, or there was and it is not removed.
    Exists,
}

/// Why there is no container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLaunched {
    /// The call cannot be; it names the field.
    #[error("{0}")]
    Invalid(String),
    /// There is no container that it could be in.
    #[error("{0}")]
    Unknown(String),
    #[error(
        "there is no room for another container: end some and remove them, or have --shims-memory raised"
    )]
    Full,
    /// It could not be made.
    #[error("{0}")]
    Failed(String),
}

/// Launches a container, which runs when this returns, or has run already. Goes on when nobody waits for it any more.
pub(crate) async fn launch(
    means: &Arc<Means>,
    view: View,
    wish: Wish,
    tasks: &TaskTracker,
) -> Result<Outcome, NotLaunched> {
    let (means, tasks_of_agent) = (means.clone(), tasks.clone());
    let launching = tasks.spawn(async move { Box::pin(run(&means, view, wish, &tasks_of_agent)).await });
    launching.await.unwrap_or_else(|panic| Err(NotLaunched::Failed(panic.to_string())))
}

async fn run(
    means: &Arc<Means>,
    view: View,
    wish: Wish,
    tasks: &TaskTracker,
) -> Result<Outcome, NotLaunched> {
    if means.sessions.find(&wish.path).is_some() || is_of_the_books(&view, &wish) {
        return Ok(Outcome::Exists);
    }
    match means.nested.find(&wish.path) {
        // As Mesos: what was standalone leaves its name when it ends.
        Some(one) if one.ended().is_some() && one.path.parent().is_none() => one.remove().await,
        Some(_) => return Ok(Outcome::Exists),
        None => {}
    }
    let of_the_books = view.tasks.len() + view.executors.len();
    if of_the_books + means.nested.running().len() >= means.settings.overhead.containers() {
        return Err(NotLaunched::Full);
    }
    let planning = means.clone();
    let planned = spawn_blocking(move || Ok((plan(&planning, &view, &wish)?, wish.path))).await;
    let failed = |panic: tokio::task::JoinError| NotLaunched::Failed(panic.to_string());
    let (plan, path) = planned.map_err(failed)??;
    let (launched, mut signals) = loop {
        match means.nested.add(path.clone(), plan.record.clone()) {
            Ok(added) => break added,
            Err(NotNew::Exists) => return Ok(Outcome::Exists),
            Err(NotNew::TooMany) => return Err(NotLaunched::Full),
            Err(NotNew::Claimed) if means.nested.unclaimed(&plan.record.sandbox).await => {}
            Err(NotNew::Claimed) => return Err(NotLaunched::Failed("the agent is stopping".to_owned())),
        }
    };
    let begun = match make(means, &launched, plan, &mut signals).await {
        Ok(client) => begin(&launched, client).await,
        Err(why) => Err(why),
    };
    match begun {
        Ok(client) => {
            tasks.spawn(watch(means.clone(), launched, Some(client), signals));
            Ok(Outcome::Launched)
        }
        Err(why) => {
            drop::<mpsc::Receiver<i32>>(signals);
            remove_traces(means, &launched).await;
            Err(NotLaunched::Failed(why))
        }
    }
}

/// A name that is no container's of ours to give.
fn is_of_the_books(view: &View, wish: &Wish) -> bool {
    let tasks = view.tasks.iter().map(|task| &task.record.container);
    let mut all = tasks.chain(view.executors.iter().map(|executor| &executor.record.container));
    all.any(|container| container == wish.path.own())
}

/// Waits until the command runs.
async fn begin(launched: &Launched, client: ShimClient) -> Result<AsyncFd<ShimClient>, String> {
    let mut client = watched(client).map_err(|error| error.to_string())?;
    let started = async {
        loop {
            while let Some(event) = client.get_mut().poll_event()? {
                match event {
                    Event::Started { pid, .. } => {
                        launched.started(pid);
                        return Ok::<_, ClientError>(None);
                    }
                    Event::Exited { report } => match report.outcome {
                        ShimOutcome::NotStarted { error } => return Ok(Some(error.message)),
                        _ => return Ok(Some("it ended before it began".to_owned())),
                    },
                    _ => {}
                }
            }
            client.readable_mut().await.map_err(ClientError::Broken)?.clear_ready();
        }
    };
    match timeout(START_LIMIT, started).await {
        Ok(Ok(None)) => Ok(client),
        Ok(Ok(Some(why))) => Err(why),
        Ok(Err(error)) => Err(chapada_model::chain(&error)),
        Err(_) => Err(format!("it was not made within {} s", START_LIMIT.as_secs())),
    }
}
