//! What containers wait for, and how often memory was short.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chapada_isolation::cgroup::{Group, PressureCounts, PressureLevels, Stall, Waiting};
use chapada_model::ContainerId;
use chapada_wire::v1;

/// Who counts. The kernel counts only for those who asked before, so a container is watched from the moment in which it runs,
/// or is found again by a new agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches(Arc<Mutex<HashMap<ContainerId, PressureLevels>>>);

/// A container is watched as long as this is there.
#[derive(Debug)]
pub(crate) struct Watch {
    container: ContainerId,
    among: Watches,
}

impl Watches {
    /// Nothing where the machine has no such counters.
    pub(crate) fn begin(&self, container: &ContainerId, group: &Group) -> Option<Watch> {
        let levels = group.watch_pressure_levels().unwrap_or_else(|error| {
            tracing::debug!(container_id = %container, %error, "cannot count how often memory is short");
            None
        })?;
        self.all().insert(container.clone(), levels);
        Some(Watch { container: container.clone(), among: self.clone() })
    }

    pub(super) fn counts(&self, container: &ContainerId) -> Option<PressureCounts> {
        self.all().get(container).map(PressureLevels::counts)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ContainerId, PressureLevels>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.among.all().remove(&self.container);
    }
}

/// As the API shows it.
pub(super) fn stall(stall: Stall) -> v1::PressureStall {
    let percent = |hundredths: u64| Some(hundredths as f64 / 100.0);
    let waiting = |waiting: Waiting| v1::pressure_stall::Waiting {
        avg10: percent(waiting.of_10_seconds),
        avg60: percent(waiting.of_60_seconds),
        avg300: percent(waiting.of_300_seconds),
        total_secs: Some(waiting.total_us as f64 / 1e6),
    };
    v1::PressureStall { some: Some(waiting(stall.some)), full: Some(waiting(stall.full)) }
}
