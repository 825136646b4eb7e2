//! Staying with a container: signals, its end, and the removal of its traces.

use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{ExitCause, Limitation};
use chapada_shim::{ClientError, Event, ExitReport, ShimClient, cleanup_within, runtime_dir};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{Launched, SIGKILL};
use crate::containers::exit::exit_of;
use crate::containers::{End, Means};
use crate::networks;

/// Removal is tried so often; what still resists is found again at the next start.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

impl Launched {
    pub(super) fn started(&self, pid: i32) {
        // Told twice, it is the same.
        let _ = self.pid.set(u32::try_from(pid).unwrap_or_default());
    }

    /// Notes its end.
    pub(super) fn conclude(&self, mut end: End) {
        end.limitation = self.limited.get().cloned().or(end.limitation);
        self.ended.send_replace(Some(end));
    }
}

pub(super) fn end_of(report: &ExitReport) -> End {
    let exit = exit_of(report);
    let limitation = exit.memory.filter(|_| exit.cause != ExitCause::Code(0)).map(Limitation::of_memory);
    End::of(&exit, limitation)
}

/// Notes its end. The sandbox of a standalone one is kept for a while from now on.
pub(super) fn is_over(means: &Means, launched: &Launched, end: End) {
    if let Some(sandbox) = launched.own_sandbox() {
        means.ages.begin(sandbox.to_owned());
    }
    launched.conclude(end);
}

/// Nobody knows how.
pub(super) fn unknown_end() -> End {
    let message = Some("the container's shim was killed, and the container with it".to_owned());
    End { message, ..End::default() }
}

/// Stays until nothing is left of it, or the agent stops. Without a client it has ended before.
pub(super) async fn watch(
    means: Arc<Means>,
    launched: Arc<Launched>,
    client: Option<AsyncFd<ShimClient>>,
    signals: mpsc::Receiver<i32>,
) {
    if let Some(client) = client {
        let end = tokio::select! {
            () = means.nested.stop.cancelled() => return,
            end = until_the_end(&launched, client, signals) => match end {
                Ok(end) => end,
                Err(error) => settle(&means, &launched, &error.to_string()).await,
            }
        };
        tracing::info!(container_id = %launched.path, status = end.status, "a container of no task has ended");
        is_over(&means, &launched, end);
    }
    means.nested.remove_below(&launched.path);
    tokio::select! {
        () = means.nested.stop.cancelled() => {}
        () = launched.going.cancelled() => remove_traces(&means, &launched).await,
    }
}

async fn until_the_end(
    launched: &Launched,
    mut client: AsyncFd<ShimClient>,
    mut signals: mpsc::Receiver<i32>,
) -> Result<End, ClientError> {
    let mut is_killed = false;
    loop {
        while let Some(event) = client.get_mut().poll_event()? {
            match event {
                Event::Exited { report } => return Ok(end_of(&report)),
                Event::Started { pid, .. } => launched.started(pid),
                Event::Refused { message, .. } => {
                    tracing::warn!(container_id = %launched.path, message, "the shim refused a request");
                }
                _ => {}
            }
        }
        tokio::select! {
            () = launched.going.cancelled(), if !is_killed => {
                is_killed = true;
                client.get_mut().destroy()?;
            }
            Some(signal) = signals.recv() => match signal {
                SIGKILL => client.get_mut().destroy()?,
                other => client.get_mut().kill(other)?,
            },
            ready = client.readable_mut() => ready.map_err(ClientError::Broken)?.clear_ready(),
        }
    }
}

/// The shim does not speak any more: what it wrote down counts.
pub(super) async fn settle(means: &Arc<Means>, launched: &Arc<Launched>, error: &str) -> End {
    tracing::warn!(container_id = %launched.path, error, "the shim of a container fell silent");
    let (means, launched) = (means.clone(), launched.clone());
    let settled = spawn_blocking(move || {
        let group = means.launcher.cgroups().group_within(&launched.record.within, &launched.record.shim);
        if let Err(error) = group.kill() {
            tracing::error!(container_id = %launched.path, %error, "cannot kill the container");
        }
        let directory = means.runtime_dir.join(&launched.record.shim);
        runtime_dir::read_record::<ExitReport>(&directory, runtime_dir::EXIT).ok().flatten()
    });
    settled.await.ok().flatten().map_or_else(unknown_end, |report| end_of(&report))
}

/// Kills what still runs and removes all of it but the sandbox of one that is in another, which goes with that.
pub(super) async fn remove_traces(means: &Arc<Means>, launched: &Arc<Launched>) {
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS {
        let (shared, one) = (means.clone(), launched.clone());
        let removed = spawn_blocking(move || {
            let record = &one.record;
            let cgroups = shared.launcher.cgroups();
            cleanup_within(cgroups, &shared.runtime_dir, &record.within, &record.shim)
                .map_err(|error| error.to_string())?;
            shared.supplies.release(&record.shim);
            if let Some(sandbox) = one.own_sandbox()
                && let Err(error) = std::fs::remove_dir_all(sandbox)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(format!("cannot remove {}: {error}", sandbox.display()));
            }
            Ok(())
        });
        match removed.await {
            Ok(Ok(())) => break,
            Ok(Err(error)) => {
                tracing::warn!(container_id = %launched.path, error, attempt, "cannot remove the container");
            }
            Err(error) => tracing::error!(container_id = %launched.path, %error, "removing it failed"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    means.supplies.networks.forget(&launched.record.shim);
    networks::leave(&means.supplies.networks, &launched.record.shim).await;
    means.sessions.forget_below(&launched.path);
    means.nested.forget(launched);
}
