//! Joining and leaving networks, and finding again what an earlier process joined.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chapada_isolation::networks::NetworkDirectory;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::bridge::Bridge;
use crate::directory::Directory;
use crate::error::NetworkError;
use crate::list::NetworkList;
use crate::outcome;
use crate::records::{Join, Record, Records};
use crate::strays;
use crate::wish::{Attached, Interface, Wish};

/// Plugins that run at once for those who join, and as many for those who leave: each works under locks of the kernel's.
const AT_ONCE: usize = 8;

/// What an operator decided about networks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where plugins are looked for, in this order.
    pub plugins: Vec<PathBuf>,
    /// Where configurations are.
    pub config_dir: Option<PathBuf>,
    /// How long a plugin may take.
    pub limit: Duration,
    /// The network that is there without a configuration of its name.
    pub bridge: Bridge,
    /// A directory of our own: what containers joined, and their namespaces. Absolute, over no link.
    pub state_dir: PathBuf,
}

/// The networks of this machine's containers.
#[derive(Clone, Debug)]
pub struct Networks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plugins: Vec<PathBuf>,
    pub(crate) limit: Duration,
    bridge: Bridge,
    directory: Directory,
    pub(crate) records: Records,
    pub(crate) namespaces: NetworkDirectory,
    pub(crate) joining: Semaphore,
    pub(crate) leaving: Semaphore,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a container.
#[derive(Debug, Default)]
struct Known {
    /// One at a time joins and leaves for it.
    turn: Arc<AsyncMutex<()>>,
    /// What is on disk.
    record: Option<Record>,
    attached: Option<Arc<Attached>>,
}

impl Networks {
    /// Finds what earlier processes joined. Blocks.
    ///
    /// # Errors
    /// When the directory of records cannot be read.
    pub fn open(settings: Settings) -> Result<Self, NetworkError> {
        let records = Records::new(settings.state_dir.join("joined"));
        let namespaces = NetworkDirectory::new(settings.state_dir.join("namespaces"));
        let found = records.read_all().map_err(NetworkError::record(&settings.state_dir))?;
        strays::kill(&found.iter().map(|(container, _)| container.as_str()).collect::<Vec<_>>());
        let known = found.into_iter().map(|(container, record)| {
            let attached = attached(&namespaces, &container, &record).map(Arc::new);
            (container, Known { attached, record: Some(record), ..Known::default() })
        });
        let known = Mutex::new(known.collect());
        let shared = Shared {
            plugins: settings.plugins,
            limit: settings.limit,
            bridge: settings.bridge,
            directory: Directory::new(settings.config_dir),
            records,
            namespaces,
            joining: Semaphore::new(AT_ONCE),
            leaving: Semaphore::new(AT_ONCE),
            known,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The directory whose mounts hold networks; see [`chapada_isolation::networks::let_go`].
    pub fn namespaces(&self) -> &std::path::Path {
        self.shared.namespaces.path()
    }

    /// Makes a network namespace for a container and joins these networks in it, as `eth0`, `eth1` and so on. One that has
    /// joined already stays as it is. Dropping the future gives up, and kills the plugin that is at work.
    ///
    /// Whatever comes of it, [`Networks::detach`] takes back what was done.
    ///
    /// # Errors
    /// [`NetworkError`]. What was done by then stays until it is taken back.
    pub async fn attach(&self, container: &str, wishes: Vec<Wish>) -> Result<Arc<Attached>, NetworkError> {
        let given_up = CancellationToken::new();
        let _gives_up = given_up.clone().drop_guard();
        let (shared, container) = (self.shared.clone(), container.to_owned());
        // Apart, so that a plugin that is killed is gone before the next has its turn.
        let joining = tokio::spawn(async move { shared.attach(&container, &wishes, &given_up).await });
        joining.await.map_err(|error| NetworkError::Internal(error.to_string()))?
    }

    /// Leaves all networks of a container and removes its namespace. One without is no error.
    ///
    /// # Errors
    /// The first that came up; all else was tried, and may be again. What is left is found at the next start, too.
    pub async fn detach(&self, container: &str) -> Result<(), NetworkError> {
        if !self.lock().contains_key(container) {
            return Ok(());
        }
        let (shared, container) = (self.shared.clone(), container.to_owned());
        let leaving = tokio::spawn(async move { shared.detach(&container).await });
        leaving.await.map_err(|error| NetworkError::Internal(error.to_string()))?
    }

    /// What a container has, and, until it is forgotten, what it had.
    pub fn of(&self, container: &str) -> Option<Arc<Attached>> {
        self.lock().get(container)?.attached.clone()
    }

    /// Nobody asks what a container had any more.
    pub fn forget(&self, container: &str) {
        let mut known = self.lock();
        if let Some(entry) = known.get_mut(container) {
            entry.attached = None;
            if entry.record.is_none() {
                known.remove(container);
            }
        }
    }

    /// Containers with networks that are none of these.
    pub fn orphans(&self, alive: &[String]) -> Vec<String> {
        let alive: HashSet<&str> = alive.iter().map(String::as_str).collect();
        let known = self.lock();
        let joined = known.iter().filter(|(_, entry)| entry.record.is_some()).map(|(container, _)| container);
        joined.filter(|container| !alive.contains(container.as_str())).cloned().collect()
    }

    /// Removes namespaces that no record knows; an agent that died between two steps of leaving left them. Blocks.
    ///
    /// # Errors
    /// Of the first that cannot be removed.
    pub fn sweep(&self) -> Result<(), NetworkError> {
        let namespaces = &self.shared.namespaces;
        for name in namespaces.names().map_err(NetworkError::Namespace)? {
            if !self.lock().contains_key(&name) {
                namespaces.remove(&name).map_err(NetworkError::Namespace)?;
            }
        }
        namespaces.release().map_err(NetworkError::Namespace)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // Each change is one assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, container: &str) -> Arc<AsyncMutex<()>> {
        self.lock().entry(container.to_owned()).or_default().turn.clone()
    }

    async fn attach(
        self: &Arc<Self>,
        container: &str,
        wishes: &[Wish],
        given_up: &CancellationToken,
    ) -> Result<Arc<Attached>, NetworkError> {
        let turn = self.turn(container);
        let _turn = turn.lock().await;
        let (attached, was_begun) = match self.lock().get(container) {
            Some(known) => (known.attached.clone(), known.record.is_some()),
            None => (None, false),
        };
        if let Some(attached) = attached {
            return Ok(attached);
        }
        // What another began is to be taken back first.
        if given_up.is_cancelled() || was_begun {
            return Err(NetworkError::GivenUp);
        }
        let joined = self.attach_first(container, wishes, given_up).await;
        let mut known = self.lock();
        let entry = known.entry(container.to_owned()).or_default();
        match joined {
            Ok(attached) => Ok(entry.attached.insert(Arc::new(attached)).clone()),
            Err(error) => {
                if entry.record.is_none() {
                    known.remove(container);
                }
                Err(error)
            }
        }
    }

    async fn attach_first(
        self: &Arc<Self>,
        container: &str,
        wishes: &[Wish],
        given_up: &CancellationToken,
    ) -> Result<Attached, NetworkError> {
        let mut record = self.plan(wishes).await?;
        self.keep(container, &record).await?;
        let (shared, name) = (self.clone(), container.to_owned());
        let make = move || shared.namespaces.make(&name).map_err(NetworkError::Namespace);
        blocking(make).await?;
        let _in_use = if record.maps_ports() { Some(crate::chains::in_use().await) } else { None };
        for index in 0..record.joins.len() {
            let result = self.join(container, &record.joins[index], given_up).await?;
            record.joins[index].result = Some(result);
            self.keep(container, &record).await?;
        }
        attached(&self.namespaces, container, &record)
            .ok_or_else(|| NetworkError::Internal("a network was joined without a result".to_owned()))
    }

    /// What is to be done, before any of it is.
    async fn plan(self: &Arc<Self>, wishes: &[Wish]) -> Result<Record, NetworkError> {
        let (shared, wishes) = (self.clone(), wishes.to_vec());
        blocking(move || {
            let mut names = HashSet::new();
            let join = |(index, wish): (usize, Wish)| {
                if !names.insert(wish.network.clone()) {
                    return Err(NetworkError::Twice(wish.network));
                }
                let list = shared.find(&wish.network)?;
                if !wish.port_mappings.is_empty() && !list.maps_ports() {
                    return Err(NetworkError::NoPortMapping { network: wish.network });
                }
                shared.check_plugins(&list)?;
                let interface = format!("eth{index}");
                let Wish { args, port_mappings, .. } = wish;
                Ok(Join { interface, list, args, port_mappings, result: None })
            };
            wishes.into_iter().enumerate().map(join).collect::<Result<_, _>>().map(Record::new)
        })
        .await
    }

    fn find(&self, name: &str) -> Result<NetworkList, NetworkError> {
        match self.directory.find(name) {
            Err(NetworkError::Unknown { .. }) if name == self.bridge.network => {
                self.bridge.list().map_err(NetworkError::Internal)
            }
            found => found,
        }
    }

    async fn keep(self: &Arc<Self>, container: &str, record: &Record) -> Result<(), NetworkError> {
        let (shared, name, written) = (self.clone(), container.to_owned(), record.clone());
        self.lock().entry(container.to_owned()).or_default().record = Some(record.clone());
        blocking(move || {
            shared.records.write(&name, &written).map_err(NetworkError::record(shared.records.path(&name)))
        })
        .await
    }

    async fn detach(self: &Arc<Self>, container: &str) -> Result<(), NetworkError> {
        let turn = self.turn(container);
        let _turn = turn.lock().await;
        let record = self.lock().get(container).and_then(|known| known.record.clone());
        let Some(record) = record else { return Ok(()) };
        let has_namespace = self.namespaces.has(container);
        self.leave_all(container, &record).await?;
        if !has_namespace {
            crate::chains::remove_of(container).await;
        }
        let (shared, name) = (self.clone(), container.to_owned());
        blocking(move || {
            shared.namespaces.remove(&name).map_err(NetworkError::Namespace)?;
            shared.records.remove(&name).map_err(NetworkError::record(shared.records.path(&name)))
        })
        .await?;
        let (maps_ports, is_last) = self.left(container);
        if maps_ports {
            crate::chains::clear().await;
        }
        if is_last {
            let shared = self.clone();
            blocking(move || shared.namespaces.release().map_err(NetworkError::Namespace)).await?;
        }
        Ok(())
    }

    /// Notes that a container has left; whether its were the last ports that were mapped, and its the last networks.
    fn left(&self, container: &str) -> (bool, bool) {
        let mut known = self.lock();
        let entry = known.get_mut(container);
        let record = entry.and_then(|entry| entry.record.take());
        if known.get(container).is_some_and(|entry| entry.attached.is_none()) {
            known.remove(container);
        }
        let mut others = known.values().filter_map(|entry| entry.record.as_ref());
        let is_last = others.clone().next().is_none();
        (record.is_some_and(|record| record.maps_ports()) && !others.any(Record::maps_ports), is_last)
    }
}

/// What a container has, if all of its networks were joined.
fn attached(namespaces: &NetworkDirectory, container: &str, record: &Record) -> Option<Attached> {
    if !record.is_complete() {
        return None;
    }
    let outcomes = record.joins.iter().filter_map(|join| {
        let outcome = outcome::parse(join.result.as_ref()?, &join.list.version).ok()?;
        Some((join, outcome))
    });
    let outcomes: Vec<_> = outcomes.collect();
    let dns = outcomes.iter().map(|(_, outcome)| &outcome.dns).find(|dns| !dns.is_empty());
    let dns = dns.cloned().unwrap_or_default();
    let interface = |(join, outcome): (&Join, outcome::Outcome)| Interface {
        name: join.interface.clone(),
        network: join.list.name.clone(),
        args: join.args.clone(),
        addresses: outcome.addresses,
    };
    let interfaces = outcomes.into_iter().map(interface).collect();
    Some(Attached { namespace: namespaces.file(container), interfaces, dns })
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    spawn_blocking(work).await.map_err(|error| NetworkError::Internal(error.to_string()))?
}
