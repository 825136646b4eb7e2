//! What was read of containers a moment ago. Whoever asks shares it, so that many who poll cost no more than one, and nobody
//! who asks again waits for the files of a thousand containers.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use chapada_model::ContainerId;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::{Reading, Running, read};
use crate::containers::Means;

/// What is older is read again, beside whoever asked.
const FRESH: Duration = Duration::from_secs(1);
/// What is older is not shown.
const SHOWN: Duration = Duration::from_secs(2);

/// What each container used; absent is what ended in that moment.
pub(super) type Figures = HashMap<ContainerId, Arc<Reading>>;

/// The last moment.
#[derive(Debug)]
pub(crate) struct Readings {
    latest: Mutex<Moment>,
    /// One reads again at a time.
    turn: Semaphore,
}

#[derive(Clone, Debug, Default)]
struct Moment {
    /// When the oldest of it was read.
    since: Option<Instant>,
    figures: Arc<Figures>,
}

type Wanted = Vec<(ContainerId, u32)>;

impl Default for Readings {
    fn default() -> Self {
        Self { latest: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl Readings {
    fn latest(&self) -> Moment {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, since: Instant, figures: &Arc<Figures>) {
        let moment = Moment { since: Some(since), figures: figures.clone() };
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }
}

impl Moment {
    fn is_within(&self, age: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() < age)
    }
}

/// What these containers used at most two seconds ago; those that were not there then are read now.
pub(super) async fn of(means: &Arc<Means>, running: &[Running]) -> Arc<Figures> {
    let latest = means.readings.latest();
    let all: Wanted = running.iter().filter_map(|one| Some((one.container.clone(), one.pid?))).collect();
    let now = Instant::now();
    let Some(since) = latest.since.filter(|_| latest.is_within(SHOWN)) else {
        let figures = Arc::new(read_all(means, all).await);
        means.readings.keep(now, &figures);
        return figures;
    };
    let is_new = |(container, _): &&(ContainerId, u32)| !latest.figures.contains_key(container);
    let new: Wanted = all.iter().filter(is_new).cloned().collect();
    if !latest.is_within(FRESH) {
        tokio::spawn(read_again(means.clone(), all));
    }
    if new.is_empty() {
        return latest.figures;
    }
    let mut figures = read_all(means, new).await;
    figures.extend(latest.figures.iter().map(|(container, reading)| (container.clone(), reading.clone())));
    let figures = Arc::new(figures);
    means.readings.keep(since, &figures);
    figures
}

async fn read_again(means: Arc<Means>, all: Wanted) {
    let Ok(_turn) = means.readings.turn.try_acquire() else { return };
    let since = Instant::now();
    let figures = Arc::new(read_all(&means, all).await);
    means.readings.keep(since, &figures);
}

/// Files are read on as many threads as there are processors, for a thousand containers have ten thousand.
async fn read_all(means: &Arc<Means>, mut wanted: Wanted) -> Figures {
    let threads = available_parallelism().map_or(1, NonZero::get).min(wanted.len().max(1));
    let share = wanted.len().div_ceil(threads).max(1);
    let mut readers = Vec::new();
    while !wanted.is_empty() {
        let part = wanted.split_off(wanted.len().saturating_sub(share));
        let means = means.clone();
        readers.push(spawn_blocking(move || {
            let one = |(container, pid)| read(&means, &container, pid).map(|reading| (container, reading));
            part.into_iter().filter_map(one).collect::<Vec<_>>()
        }));
    }
    let mut found = Figures::new();
    for reader in readers {
        match reader.await {
            Ok(part) => found.extend(part.into_iter().map(|(container, one)| (container, Arc::new(one)))),
            Err(error) => tracing::error!(%error, "reading what containers use failed"),
        }
    }
    found
}
