//! One container: started or adopted, listened to, removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Event, Exit, ExitCause, Signal};
use chapada_model::ContainerId;
use chapada_shim::{ClientError, Event as ShimEvent, Limits, ShimClient};
use tokio::io::unix::AsyncFd;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::exit::exit_of;
use super::furnish::Made;
use super::image;
use super::start::{self, Order, Started};
use super::{Means, Request, disk, fetching, remove};
use crate::networks;
use crate::statistics::Watch;

const SIGTERM: i32 = 15;
/// A container that takes longer to make than this hangs on something, and must not hold up others.
const SLOW: Duration = Duration::from_millis(100);

/// Looks after one container until its traces are removed, or the agent lets go of it.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) means: Arc<Means>,
    pub(super) container: ContainerId,
    pub(super) inbox: mpsc::Receiver<Request>,
    /// What it may use, when that changes.
    pub(super) wanted: watch::Receiver<Option<Limits>>,
    pub(super) remove: CancellationToken,
    /// What its framework should know of it when it runs.
    pub(super) note: String,
    /// Held while the container is in the making.
    pub(super) launching: Option<OwnedSemaphorePermit>,
    /// Since its command runs.
    pub(super) pressure: Option<Watch>,
}

#[expect(
    deprecated,
    reason = "the replacement is unsafe; a shim's client has one descriptor for life, which is all it asks"
)]
pub(crate) fn watch(client: ShimClient) -> Result<AsyncFd<ShimClient>, ClientError> {
    AsyncFd::new(client).map_err(ClientError::Broken)
}

/// How listening ended.
enum Heard {
    /// The container has ended, and the core knows.
    End,
    /// It is to be removed, whatever it does.
    Remove,
    /// The agent stops.
    LetGo,
}

/// How getting what a container needs ended.
enum Supplied {
    /// All of it is there.
    Done(Made),
    /// It is not, or nobody wants it any more.
    Failed(String),
    /// The agent stops.
    LetGo,
}

impl Keeper {
    pub(super) async fn launch(mut self, order: Order) {
        let order = Arc::new(order);
        if let Err(message) = disk::bound_sandbox(&self.means, &order).await {
            return self.fail(message).await;
        }
        let made = match self.supply(&order).await {
            Supplied::Done(made) => made,
            Supplied::Failed(message) => return self.fail(message).await,
            Supplied::LetGo => return,
        };
        self.launching = self.means.launching.clone().acquire_owned().await.ok();
        let starting = self.means.clone();
        let started = spawn_blocking(move || start::start(&starting, &order, made)).await;
        let Started { client, note } = match started {
            Ok(Ok(started)) => started,
            Ok(Err(error)) => return self.fail(error.to_string()).await,
            Err(panic) => return self.fail(format!("starting it failed: {panic}")).await,
        };
        if !note.is_empty() {
            tracing::info!(container_id = %self.container, note);
        }
        self.note = note;
        self.keep(client).await;
    }

    /// Gets what the container needs before it is made, which holds up no other. A kill ends it at once.
    async fn supply(&mut self, order: &Arc<Order>) -> Supplied {
        let means = self.means.clone();
        let supplies = async {
            tokio::try_join!(
                fetch(&means, order),
                image::root_of(&means, order),
                image::volumes_of(&means, order),
                start::cleared(&means, order),
                networks::join(&means, order)
            )
        };
        tokio::select! {
            biased; // a kill before what it ends
            () = self.remove.cancelled() => Supplied::Failed("removed before it was made".to_owned()),
            is_ended = ended(&mut self.inbox) => match is_ended {
                true => Supplied::Failed("killed before it was made".to_owned()),
                false => Supplied::LetGo,
            },
            supplied = supplies => match supplied {
                Ok(((), rooted, volumes, (), joined)) => Supplied::Done(Made { rooted, volumes, joined }),
                Err(message) => Supplied::Failed(message),
            },
        }
    }

    pub(super) async fn adopt(self, runtime_dir: PathBuf) {
        match ShimClient::connect(&runtime_dir) {
            Ok(client) => self.keep(client).await,
            Err(error) => self.lost(&error).await,
        }
    }

    async fn keep(mut self, client: ShimClient) {
        match self.listen(client).await {
            Ok(Heard::End) => self.await_removal().await,
            Ok(Heard::Remove) => remove::remove(self.means, self.container).await,
            Ok(Heard::LetGo) => {}
            Err(error) => self.lost(&error).await,
        }
    }

    async fn listen(&mut self, client: ShimClient) -> Result<Heard, ClientError> {
        let mut client = watch(client)?;
        let mut runs = false;
        loop {
            while let Some(event) = client.get_mut().poll_event()? {
                if event != ShimEvent::Starting {
                    self.launching = None;
                    runs = true;
                }
                if self.tell(event).await {
                    return Ok(Heard::End);
                }
            }
            tokio::select! {
                () = self.remove.cancelled() => return Ok(Heard::Remove),
                signal = self.inbox.recv() => match signal {
                    Some(request) => self.pass_on(request, client.get_mut()),
                    None => return Ok(if self.remove.is_cancelled() { Heard::Remove } else { Heard::LetGo }),
                },
                // Its shim has set what it was made with when it runs, not before.
                Ok(()) = self.wanted.changed(), if runs => self.resize().await,
                () = sleep(SLOW), if self.launching.is_some() => self.launching = None,
                ready = client.readable_mut() => match ready {
                    Ok(mut guard) => guard.clear_ready(),
                    Err(error) => return Err(ClientError::Broken(error)),
                },
            }
        }
    }

    /// Passes an event on; `true` after the last.
    async fn tell(&mut self, event: ShimEvent) -> bool {
        let container = self.container.clone();
        match event {
            ShimEvent::Starting => false,
            // Sessions, and who reads along, have connections of their own.
            ShimEvent::Attached
            | ShimEvent::Terminal
            | ShimEvent::SessionTerminal
            | ShimEvent::SessionStarted { .. }
            | ShimEvent::SessionEnded { .. } => false,
            ShimEvent::Started { pid, .. } => {
                let pid = u32::try_from(pid).unwrap_or_default();
                self.send(Event::ContainerStarted { container, pid, note: self.note.clone() }).await;
                self.watch_pressure();
                false
            }
            ShimEvent::Exited { report } => {
                let event = Event::ContainerExited { container, exit: exit_of(&report) };
                self.send(event).await;
                true
            }
            ShimEvent::Refused { message, .. } => {
                tracing::warn!(container_id = %container, message, "the shim refused a request");
                false
            }
        }
    }

    fn watch_pressure(&mut self) {
        if self.pressure.is_none() {
            let group = self.means.launcher.cgroups().group(self.container.as_str());
            self.pressure = self.means.pressure_watches.begin(&self.container, &group);
        }
    }

    fn pass_on(&self, request: Request, client: &mut ShimClient) {
        let sent = match request {
            Request::End(Signal::Terminate) => {
                let of_image = self.means.supplies.images.stop_signal(self.container.as_str());
                client.kill(of_image.unwrap_or(SIGTERM))
            }
            Request::End(Signal::Kill) => client.destroy(),
            Request::Send(number) => client.kill(number),
        };
        if let Err(error) = sent {
            tracing::warn!(container_id = %self.container, %error, "the shim took no signal");
            if request == Request::End(Signal::Kill) {
                self.kill_group();
            }
        }
    }

    /// Changes what the container may use.
    async fn resize(&mut self) {
        let Some(limits) = self.wanted.borrow_and_update().clone() else { return };
        let (means, container) = (self.means.clone(), self.container.clone());
        let apply = move || means.launcher.cgroups().group(container.as_str()).apply(&limits);
        match spawn_blocking(apply).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(container_id = %self.container, %error, "cannot change what a container may use");
            }
            Err(error) => tracing::error!(container_id = %self.container, %error, "changing limits failed"),
        }
    }

    /// Kills without the shim's help. What it does not reach now it will at the next repetition.
    fn kill_group(&self) {
        let group = self.means.launcher.cgroups().group(self.container.as_str());
        if let Err(error) = group.kill() {
            tracing::error!(container_id = %self.container, %error, "cannot kill the container");
        }
    }

    /// Says that the container cannot be started, and waits until its traces are to be removed.
    pub(super) async fn fail(self, message: String) {
        let container = self.container.clone();
        tracing::warn!(container_id = %container, message, "cannot start the container");
        self.send(Event::LaunchFailed { container, message }).await;
        self.await_removal().await;
    }

    /// The shim does not speak any more: what it wrote down counts, and if there is nothing, nobody knows.
    async fn lost(self, error: &ClientError) {
        let (means, container) = (self.means.clone(), self.container.clone());
        let exit = spawn_blocking(move || remove::settle(&means, &container)).await.ok().flatten();
        let exit = exit.unwrap_or_else(|| {
            tracing::error!(container_id = %self.container, %error, "the shim was killed");
            let message = "the container's shim was killed, and the container with it".to_owned();
            Exit { cause: ExitCause::Unknown { message }, memory: None }
        });
        self.send(Event::ContainerExited { container: self.container.clone(), exit }).await;
        self.await_removal().await;
    }

    async fn await_removal(mut self) {
        self.launching = None;
        loop {
            tokio::select! {
                () = self.remove.cancelled() => break,
                signal = self.inbox.recv() => if signal.is_none() { break },
            }
        }
        if self.remove.is_cancelled() {
            remove::remove(self.means, self.container).await;
        }
    }

    async fn send(&self, event: Event) {
        // The loop is gone only when the agent stops, and finds all of this again.
        if self.means.events.send(event).await.is_err() {
            tracing::debug!(container_id = %self.container, "the agent has stopped");
        }
    }
}

/// Waits until it is to end; `false` when the agent lets go of it before. What else it was to be sent has nobody to go to yet.
async fn ended(inbox: &mut mpsc::Receiver<Request>) -> bool {
    while let Some(request) = inbox.recv().await {
        if matches!(request, Request::End(_)) {
            return true;
        }
    }
    false
}

/// Fetches what the container's command names.
async fn fetch(means: &Arc<Means>, order: &Arc<Order>) -> Result<(), String> {
    let Some(command) = fetching::command(order) else { return Ok(()) };
    let (shared, asked) = (means.clone(), order.clone());
    // It is never closed.
    let turn = means.preparing.acquire().await.ok();
    let wanted = match spawn_blocking(move || fetching::wanted(&shared, &asked, &command)).await {
        Ok(wanted) => wanted.map_err(|error| error.to_string())?,
        Err(panic) => return Err(format!("fetching failed: {panic}")),
    };
    drop(turn);
    means.supplies.fetcher.fetch(wanted).await.map_err(|error| error.to_string())
}
