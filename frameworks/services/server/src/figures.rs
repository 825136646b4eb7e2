//! What this process counts of its work. Cheap: each count is an atomic, and none waits for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chapada_model::{Reason, TaskState};
use chapada_services_core::{Effect, Event, HomeOperation, Launch, LaunchGroup, Published, Refusal};
use http::{Method, StatusCode};

macro_rules! counts {
    ($($name:ident $text:literal,)*) => {
        /// Something that is counted from the start of the process.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Count { $($name,)* }

        impl Count {
            /// Each with Marathon's name of it, in the order of declaration.
            const NAMES: &'static [&'static str] = &[$($text,)*];
        }
    };
}

counts! {
    RequestsGet "http.requests.get.counter",
    RequestsPost "http.requests.post.counter",
    RequestsPut "http.requests.put.counter",
    RequestsDelete "http.requests.delete.counter",
    RequestsOther "http.requests.other.counter",
    Responses1xx "http.responses.1xx.counter",
    Responses2xx "http.responses.2xx.counter",
    Responses3xx "http.responses.3xx.counter",
    Responses4xx "http.responses.4xx.counter",
    Responses5xx "http.responses.5xx.counter",
    StreamBytes "http.responses.event-stream.size.counter.bytes",
    TasksLaunched "tasks.launched.counter",
    Launches "mesos.offer-operations.launch.counter",
    GroupLaunches "mesos.offer-operations.launch-group.counter",
    Reservations "mesos.offer-operations.reserve.counter",
    OffersIncoming "mesos.offers.incoming.counter",
    OffersDeclined "mesos.offers.declined.counter",
    OffersUsed "mesos.offers.used.counter",
    Revives "mesos.calls.revive.counter",
    Suppresses "mesos.calls.suppress.counter",
    OutOfMemory "mesos.task.oom.counter",
    Kills "instances.kill-attempts.counter",
    DeploymentsBegun "deployments.counter",
    DeploymentsDismissed "deployments.dismissed.counter",
}

/// The counts. Clones count the same.
#[derive(Clone, Default)]
pub(crate) struct Figures(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counts: [AtomicU64; Count::NAMES.len()],
    updates: [AtomicU64; TaskState::ALL.len()],
}

impl Figures {
    pub(crate) fn add(&self, count: Count, more: u64) {
        self.0.counts[count as usize].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn on_request(&self, method: &Method) {
        let count = match *method {
            Method::GET | Method::HEAD => Count::RequestsGet,
            Method::POST => Count::RequestsPost,
            Method::PUT => Count::RequestsPut,
            Method::DELETE => Count::RequestsDelete,
            _ => Count::RequestsOther,
        };
        self.add(count, 1);
    }

    pub(crate) fn on_response(&self, status: StatusCode) {
        let count = match status.as_u16() {
            ..200 => Count::Responses1xx,
            200..300 => Count::Responses2xx,
            300..400 => Count::Responses3xx,
            400..500 => Count::Responses4xx,
            500.. => Count::Responses5xx,
        };
        self.add(count, 1);
    }

    /// What the loop takes in.
    pub(crate) fn on_event(&self, event: &Event) {
        match event {
            Event::Offers(offers) => self.add(Count::OffersIncoming, offers.len() as u64),
            Event::Update(status) => {
                let index = TaskState::ALL.iter().position(|state| *state == status.state);
                if let Some(count) = index.and_then(|index| self.0.updates.get(index)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                if status.reason == Some(Reason::ContainerLimitationMemory) {
                    self.add(Count::OutOfMemory, 1);
                }
            }
            _ => {}
        }
    }

    /// What it gives out.
    pub(crate) fn on_effect(&self, effect: &Effect) {
        match effect {
            Effect::Launch { tasks, groups, .. } => self.on_use(tasks, groups, &[]),
            Effect::Accept { tasks, groups, operations, .. } => self.on_use(tasks, groups, operations),
            Effect::Decline { .. } => self.add(Count::OffersDeclined, 1),
            Effect::Kill { .. } => self.add(Count::Kills, 1),
            Effect::Revive | Effect::ReviveIn(_) => self.add(Count::Revives, 1),
            Effect::Suppress | Effect::SuppressIn(_) => self.add(Count::Suppresses, 1),
            // Said once of each that begins, also of those that take back another by themselves.
            Effect::Publish(event) if matches!(**event, Published::Changed { .. }) => {
                self.add(Count::DeploymentsBegun, 1);
            }
            // Source: Marathon dismisses what would be one deployment too many.
            Effect::Answer { answer: Err(Refusal::TooMany(_)), .. } => {
                self.add(Count::DeploymentsDismissed, 1)
            }
            _ => {}
        }
    }

    /// An offer is used.
    fn on_use(&self, tasks: &[Launch], groups: &[LaunchGroup], operations: &[HomeOperation]) {
        let reserves = operations.iter().filter(|operation| matches!(operation, HomeOperation::Reserve(_)));
        let of_groups: usize = groups.iter().map(|group| group.tasks.len()).sum();
        self.add(Count::OffersUsed, 1);
        self.add(Count::Launches, tasks.len() as u64);
        self.add(Count::GroupLaunches, groups.len() as u64);
        self.add(Count::Reservations, reserves.count() as u64);
        self.add(Count::TasksLaunched, (tasks.len() + of_groups) as u64);
    }

    /// Every count by its name, updates by the state of their task.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = Count::NAMES.iter().zip(&self.0.counts);
        let counts = counts.map(|(name, count)| ((*name).to_owned(), read(count)));
        let updates = TaskState::ALL.iter().zip(&self.0.updates).map(|(state, count)| {
            let state = state.name().to_ascii_lowercase().replace('_', "-");
            (format!("mesos.task-updates.{state}.counter"), read(count))
        });
        counts.chain(updates).collect()
    }
}
