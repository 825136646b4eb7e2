//! What this agent counts. Names and units of the metrics are in `http/metrics.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chapada_model::TaskState;

use chapada_agent_log::Progress;

/// Counters since the start of this process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    updates: [AtomicU64; STATES],
    registrations: AtomicU64,
    executors_ended: AtomicU64,
    launches_failed: AtomicU64,
    recovery_ms: AtomicU64,
    log_bytes: AtomicU64,
    log_syncs: AtomicU64,
    log_records: AtomicU64,
}

/// Numbers of task states run from 0 to 13.
const STATES: usize = 14;

impl Counters {
    pub(crate) fn note_update(&self, state: TaskState) {
        if let Some(count) = usize::try_from(state.number()).ok().and_then(|number| self.updates.get(number))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_registered(&self) {
        self.registrations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_executor_ended(&self) {
        self.executors_ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_launch_failed(&self) {
        self.launches_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// What an earlier process left is in hand, so long after this one's start.
    pub(crate) fn note_recovered(&self, after: Duration) {
        self.recovery_ms.store(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn note_log(&self, progress: &Progress) {
        self.log_bytes.store(progress.length, Ordering::Relaxed);
        self.log_syncs.store(progress.syncs, Ordering::Relaxed);
        self.log_records.store(progress.through, Ordering::Relaxed);
    }

    /// Updates of this state.
    pub(crate) fn updates(&self, state: TaskState) -> u64 {
        let count = usize::try_from(state.number()).ok().and_then(|number| self.updates.get(number));
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn registrations(&self) -> u64 {
        self.registrations.load(Ordering::Relaxed)
    }

    /// Executors that are over, and containers that could not be made.
    pub(crate) fn ended(&self) -> (u64, u64) {
        (self.executors_ended.load(Ordering::Relaxed), self.launches_failed.load(Ordering::Relaxed))
    }

    pub(crate) fn recovery(&self) -> Duration {
        Duration::from_millis(self.recovery_ms.load(Ordering::Relaxed))
    }

    /// Bytes, syncs and records of the log.
    pub(crate) fn log(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.log_bytes), load(&self.log_syncs), load(&self.log_records))
    }
}
