//! Running a scheduler: events to its callbacks, one after the other.

use std::sync::Arc;

use chapada_coordination::WriteError;
use chapada_model::{OperationStatus, TaskStatus};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::{Acknowledge, FrameworkConfig};
use crate::connection::Connection;
use crate::driver::{CallError, Driver, Shared};
use crate::event::Event;
use crate::scheduler::{Scheduler, SchedulerError};
use crate::store::OpenedStore;

/// Events that may wait for the scheduler; beyond it the master is made to wait.
const EVENT_QUEUE: usize = 1024;

/// Why a run ended unasked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The master will not have this framework as it is; trying again does not help.
    #[error("the master refuses this framework: {message}")]
    Refused {
        /// In the master's words.
        message: String,
    },
    /// Another process has subscribed as this framework, and the master serves that one.
    #[error(
        "another process has subscribed under this framework's id: run only one, or several on one zk:// store, of which one leads"
    )]
    FailedOver,
    /// The framework's id could not be stored.
    #[error("failed to store the framework's id")]
    Store(#[source] WriteError),
    /// A callback of the scheduler failed.
    #[error("the scheduler failed on {event}: {source}")]
    Scheduler {
        /// What it was told.
        event: String,
        /// What it failed with.
        source: SchedulerError,
    },
    /// [`Driver::abort`].
    #[error("aborted: {0}")]
    Aborted(String),
    /// The election or the store, for [`run_elected`](crate::run_elected).
    #[error("failed to open the framework's store")]
    Open(#[from] chapada_coordination::OpenRegistryError),
}

impl RunError {
    /// Whether the master has removed the framework, so that only a new id, and thus a start from nothing, helps.
    pub fn is_removed(&self) -> bool {
        match self {
            Self::Refused { message } => {
                let message = message.to_ascii_lowercase();
                message.contains("has been removed") || message.contains("completed framework")
            }
            Self::FailedOver | Self::Store(_) | Self::Scheduler { .. } | Self::Aborted(_) | Self::Open(_) => {
                false
            }
        }
    }

    /// Whether it says that another process leads, or may lead: among several the place is lost, and nothing is wrong with this
    /// one.
    pub fn ends_term(&self) -> bool {
        match self {
            Self::FailedOver => true,
            Self::Store(write) => write.ends_term(),
            Self::Open(open) => open.ends_term(),
            Self::Scheduler { source, .. } => {
                source.downcast_ref::<WriteError>().is_some_and(WriteError::ends_term)
            }
            Self::Refused { .. } | Self::Aborted(_) => false,
        }
    }
}

/// What happens to a framework, in order.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Result<Event, RunError>>,
    driver: Driver,
    acknowledge: Acknowledge,
    unacknowledged: Option<Unacknowledged>,
}

/// What was handed to the scheduler and is acknowledged once it has handled it.
#[derive(Debug)]
enum Unacknowledged {
    Task(TaskStatus),
    Operation(OperationStatus),
}

impl Unacknowledged {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Update(status) => Some(Self::Task(status.clone())),
            Event::Operation(status) => Some(Self::Operation(status.clone())),
            Event::Subscribed(_)
            | Event::Disconnected
            | Event::Offers(_)
            | Event::Rescinded(_)
            | Event::InverseOffers(_)
            | Event::InverseOfferRescinded(_)
            | Event::Message(_)
            | Event::Failure(_) => None,
        }
    }

    async fn acknowledge(&self, driver: &Driver) -> Result<(), CallError> {
        match self {
            Self::Task(status) => driver.acknowledge(status).await,
            Self::Operation(status) => driver.acknowledge_operation(status).await,
        }
    }
}

impl Events {
    /// The next event; none when the run is over. Asking for it acknowledges the update, of a task or of an operation, given before, when the driver is to
    /// do that. May be cancelled.
    ///
    /// # Errors
    /// Why the run is over, when unasked; none follows.
    pub async fn next(&mut self) -> Option<Result<Event, RunError>> {
        if let Some(handled) = &self.unacknowledged {
            match handled.acknowledge(&self.driver).await {
                Ok(()) | Err(CallError::NothingToAcknowledge) => {}
                // It comes again with the next subscription, and is acknowledged then.
                Err(CallError::Disconnected) => tracing::debug!(?handled, "not acknowledged"),
            }
            self.unacknowledged = None;
        }
        let event = self.queue.recv().await?;
        if let (Acknowledge::Automatically, Ok(event)) = (self.acknowledge, &event) {
            self.unacknowledged = Unacknowledged::of(event);
        }
        Some(event)
    }

    /// The event given last was not handled: if it is an update, it is to come again.
    fn unhandled(&mut self) {
        self.unacknowledged = None;
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.driver.stop();
    }
}

/// Begins to subscribe, in a task of its own, and returns at once. Dropping the [`Events`] stops it.
///
/// With a store, the framework's id is taken from there and kept there.
pub fn connect(config: FrameworkConfig, store: Option<&OpenedStore>) -> (Driver, Events) {
    let id = store.and_then(|opened| opened.framework_id.clone()).or_else(|| config.id.clone());
    let shared = Arc::new(Shared::new(id, config.clone()));
    let driver = Driver { shared: Arc::clone(&shared) };
    let (sender, queue) = mpsc::channel(EVENT_QUEUE);
    let acknowledge = config.acknowledge;
    let connection = Connection {
        detector: config.link.detector(&config),
        store: store.map(|opened| opened.store.clone()),
        shared,
        events: sender,
        config,
    };
    tokio::spawn(connection.run());
    (driver.clone(), Events { queue, driver, acknowledge, unacknowledged: None })
}

/// Runs a scheduler until it stops, tears down or fails, or `stop` is cancelled (its tasks run on then). Gives it back.
///
/// # Errors
/// [`RunError`] when it ended unasked.
pub async fn run<S: Scheduler>(
    config: FrameworkConfig,
    store: Option<&OpenedStore>,
    mut scheduler: S,
    stop: CancellationToken,
) -> Result<S, RunError> {
    let tick = config.tick;
    let (driver, events) = connect(config, store);
    let stopping = async {
        stop.cancelled().await;
        driver.stop();
        std::future::pending().await
    };
    tokio::select! {
        outcome = drive(&driver, events, &mut scheduler, tick) => outcome?,
        () = stopping => {}
    }
    Ok(scheduler)
}

/// Feeds events to a scheduler until they end; for those who made the [`Driver`] themselves.
///
/// # Errors
/// [`RunError`] when it ended unasked.
pub async fn drive<S: Scheduler>(
    driver: &Driver,
    mut events: Events,
    scheduler: &mut S,
    tick: std::time::Duration,
) -> Result<(), RunError> {
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (name, outcome) = tokio::select! {
            event = events.next() => match event {
                None => return Ok(()),
                Some(Err(error)) => return Err(error),
                Some(Ok(event)) => {
                    let name = event.name().to_string();
                    let outcome = dispatch(driver, scheduler, event).await;
                    if outcome.is_err() {
                        events.unhandled();
                    }
                    (name, outcome)
                }
            },
            _ = ticks.tick() => ("a tick".to_owned(), scheduler.tick(driver).await),
        };
        match outcome {
            Ok(()) => {}
            Err(error) if is_disconnected(&error) => {
                tracing::debug!(event = name, "the scheduler was told while disconnected");
            }
            Err(source) => {
                let error = RunError::Scheduler { event: name, source };
                if error.ends_term() {
                    // Before the events are dropped, which lets calls that wait go out.
                    driver.abandon();
                }
                return Err(error);
            }
        }
    }
}

fn is_disconnected(error: &SchedulerError) -> bool {
    matches!(error.downcast_ref(), Some(CallError::Disconnected))
}

async fn dispatch<S: Scheduler>(
    driver: &Driver,
    scheduler: &mut S,
    event: Event,
) -> Result<(), SchedulerError> {
    match event {
        Event::Subscribed(subscription) => {
            scheduler.subscribed(driver, subscription).await?;
            Ok(driver.reconcile_until_answered(scheduler.known_tasks()).await?)
        }
        Event::Disconnected => scheduler.disconnected(driver).await,
        Event::Offers(offers) => scheduler.offers(driver, offers).await,
        Event::Rescinded(offer) => scheduler.rescinded(driver, offer).await,
        Event::InverseOffers(offers) => scheduler.inverse_offers(driver, offers).await,
        Event::InverseOfferRescinded(offer) => scheduler.inverse_offer_rescinded(driver, offer).await,
        Event::Update(status) => scheduler.update(driver, status).await,
        Event::Operation(status) => scheduler.operation(driver, status).await,
        Event::Message(message) => scheduler.message(driver, message).await,
        Event::Failure(failure) => scheduler.failure(driver, failure).await,
    }
}
