//! The containers of this agent. Each has a keeper: a small task that starts it, hears its shim, passes signals on and
//! removes its traces when told to.

mod allotments;
mod beside;
mod bounds;
mod confinement;
mod description;
mod disk;
mod environment;
mod exit;
mod fetching;
mod furnish;
mod ids;
mod image;
mod keeper;
mod limits;
mod mounts;
pub(crate) mod nested;
mod parameters;
mod remove;
mod start;
mod supplies;
mod volumes;

pub(crate) use beside::{beside, beside_executor};
pub(crate) use description::{
    refusal, refuse_group, refuse_late_volumes, refuse_unsupported, text, unsupported,
};
pub(crate) use exit::{End, found_of};
pub(crate) use keeper::watch;
pub(crate) use remove::{orphan_groups, remove_groups};
pub(crate) use start::{Order, What};
pub(crate) use supplies::Supplies;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Event, ExecutorRecord, Signal, TaskRecord};
use chapada_model::ContainerId;
use chapada_shim::{Launcher, Limits, LogLimits, RecoveredContainer};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attach::{Sessions, Terminals};
use crate::executors::Tokens;
use crate::layout::Layout;
use crate::overhead::Overhead;
use crate::statistics::{Readings, Watches};
use crate::sweep::Ages;
use keeper::Keeper;
use nested::Nested;

/// Containers in the making at once. Making one is mostly kernel work under locks that all containers share; more at
/// once only takes the processors from those that run.
const LAUNCHING: usize = 8;
/// Containers being removed at once: enough to keep up with launches, few enough to leave blocking threads alone.
const REMOVING: usize = 4;
/// Containers whose sandboxes and artifacts are looked at, at once. A thousand may come at the same moment, and each would have a
/// thread, with what its allocator keeps.
const PREPARING: usize = 4;
/// What a keeper may be told before it listens; a repeated signal that finds this full is repeated again by the core.
const REQUESTS: usize = 8;

/// How long removals may hold up a stop.
const LET_GO: Duration = Duration::from_secs(5);

/// What all keepers share.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) runtime_dir: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) settings: Settings,
    pub(crate) tokens: Tokens,
    pub(crate) supplies: Supplies,
    pub(crate) sessions: Sessions,
    pub(crate) terminals: Terminals,
    pub(crate) nested: Nested,
    pub(crate) ages: Ages,
    pub(crate) readings: Readings,
    pub(crate) pressure_watches: Watches,
    pub(crate) events: mpsc::Sender<Event>,
    launching: Arc<Semaphore>,
    removing: Semaphore,
    preparing: Semaphore,
}

/// What an operator decided about containers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the shims of all containers may take.
    pub(crate) overhead: Overhead,
    /// What is kept of what a container writes to its standard output, and to its standard error.
    pub(crate) logs: LogLimits,
    /// Quota as well as shares.
    pub(crate) enforce_cpu: bool,
    /// What is in swap counts as memory.
    pub(crate) limit_swap: bool,
    /// Run tasks as the user they name.
    pub(crate) switch_user: bool,
    /// The network of containers of type DOCKER that name none.
    pub(crate) bridge_network: String,
    /// Where this machine's tasks may reach the agent, at one address or another.
    pub(crate) port: u16,
    /// `ip:port` of the agent's API.
    pub(crate) endpoint: String,
    /// Name of this machine in the cluster.
    pub(crate) hostname: String,
    /// Where plain relative paths among URIs start.
    pub(crate) frameworks_home: Option<PathBuf>,
    /// How long an executor may take to come back after a restart of the agent.
    pub(crate) executor_return: Duration,
}

impl Means {
    pub(crate) fn new(
        launcher: Arc<Launcher>,
        runtime_dir: PathBuf,
        layout: Layout,
        settings: Settings,
        tokens: Tokens,
        supplies: Supplies,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (launching, removing) = (Arc::new(Semaphore::new(LAUNCHING)), Semaphore::new(REMOVING));
        let sessions = Sessions::default();
        Self {
            launcher,
            runtime_dir,
            layout,
            settings,
            tokens,
            supplies,
            sessions,
            terminals: Terminals::default(),
            nested: Nested::default(),
            ages: Ages::default(),
            readings: Readings::default(),
            pressure_watches: Watches::default(),
            events,
            launching,
            removing,
            preparing: Semaphore::new(PREPARING),
        }
    }
}

/// What a container's command is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// It is to end, as far as its image and its policy say how.
    End(Signal),
    /// This very signal, whatever comes of it.
    Send(i32),
}

#[derive(Debug)]
struct KeeperHandle {
    requests: mpsc::Sender<Request>,
    /// What it may use now; only the latest counts.
    room: watch::Sender<Option<Limits>>,
    remove: CancellationToken,
}

/// Every container that has a keeper.
#[derive(Debug)]
pub(crate) struct Containers {
    means: Arc<Means>,
    keepers: HashMap<ContainerId, KeeperHandle>,
    tracker: TaskTracker,
}

impl Containers {
    pub(crate) fn new(means: Arc<Means>) -> Self {
        Self { means, keepers: HashMap::new(), tracker: TaskTracker::new() }
    }

    /// Makes a container and starts the task in it; what comes of it comes as an event.
    pub(crate) fn launch(&mut self, order: Order) {
        let most = self.means.settings.overhead.containers();
        let is_full = self.keepers.len() + self.means.nested.running().len() >= most;
        let keeper = self.keeper(order.container().clone());
        if is_full {
            let message = format!("this agent has {most} containers: --shims-memory has room for no more");
            self.tracker.spawn(keeper.fail(message));
        } else {
            self.tracker.spawn(keeper.launch(order));
        }
    }

    /// Listens to a container of an earlier process.
    pub(crate) fn adopt(&mut self, container: ContainerId, found: &RecoveredContainer) {
        let keeper = self.keeper(container);
        self.tracker.spawn(keeper.adopt(found.runtime_dir.clone()));
    }

    /// Whether there is such a container, running or not yet removed.
    pub(crate) fn has(&self, container: &ContainerId) -> bool {
        self.keepers.contains_key(container)
    }

    pub(crate) fn signal(&self, container: &ContainerId, request: Request) {
        let Some(keeper) = self.keepers.get(container) else { return };
        if keeper.requests.try_send(request).is_err() {
            tracing::warn!(container_id = %container, ?request, "the container's keeper does not listen");
        }
    }

    /// Lets the container of an executor use what it and these tasks asked for.
    pub(crate) fn resize(&self, executor: &ExecutorRecord, tasks: &[Arc<TaskRecord>]) {
        let Some(keeper) = self.keepers.get(&executor.container) else { return };
        match start::room(&self.means, executor, tasks) {
            Ok(limits) => drop(keeper.room.send_replace(Some(limits))),
            Err(error) => {
                tracing::error!(container_id = %executor.container, %error, "cannot tell what an executor may use");
            }
        }
    }

    /// Removes every trace but the sandbox; what runs in the container is killed.
    pub(crate) fn remove(&mut self, container: ContainerId) {
        self.means.sessions.forget(&container);
        self.means.nested.remove_within(&container);
        match self.keepers.remove(&container) {
            Some(keeper) => keeper.remove.cancel(),
            None => {
                self.means.supplies.networks.forget(container.as_str());
                self.tracker.spawn(remove::remove(self.means.clone(), container));
            }
        }
    }

    /// Lets go of all containers, which go on without us. Removals in progress have a moment to end; what they leave is
    /// found at the next start.
    pub(crate) async fn let_go(self) {
        drop(self.keepers);
        self.tracker.close();
        let ends = async {
            self.tracker.wait().await;
            self.means.supplies.fetcher.settled().await;
        };
        if tokio::time::timeout(LET_GO, ends).await.is_err() {
            tracing::warn!("stopping although containers are still being removed");
        }
    }

    fn keeper(&mut self, container: ContainerId) -> Keeper {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let remove = CancellationToken::new();
        let (room, wanted) = watch::channel(None);
        self.keepers.insert(container.clone(), KeeperHandle { requests, room, remove: remove.clone() });
        Keeper {
            means: self.means.clone(),
            container,
            inbox,
            wanted,
            remove,
            note: String::new(),
            pressure: None,
            launching: None,
        }
    }
}
