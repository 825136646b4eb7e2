//! From a configuration to a running agent, and down again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Agent, Event};
use chapada_agent_log::{LogFile, LogHandle};
use chapada_coordination::{Detector, MasterAddress, ZkOptions};
use chapada_listener::{
    DEFAULT_MAX_BODY, GrpcRoutes, ListenError, Listener, LocalListener, Logging, Policy, Routes, SetLevel,
};
use chapada_model::{Attribute, Resources};
use chapada_shim::{Cgroups, Launcher, LogLimits, RecoveredContainer};
use chapada_tls::Dialer;
use chapada_wire::convert::{ReservationFormat, domain_from_json, resources_to_wire};
use chapada_wire::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::checks::Prober;
use crate::clock::Clock;
use crate::config::{AgentConfig, DEFAULT_PORT};
use crate::containers::{
    Containers, Means, Settings, Supplies, found_of, nested, orphan_groups, remove_groups,
};
use crate::disk_quota;
use crate::disks::Disks;
use crate::error::AgentError;
use crate::executors::{DomainSocket, Streams, Tokens};
use crate::files::Files;
use crate::gpus::Gpus;
use crate::history::History;
use crate::http::{self, Api};
use crate::layout::Layout;
use crate::link::{Dialler, Presentation};
use crate::machine;
use crate::metrics::Counters;
use crate::networks;
use crate::overhead::Overhead;
use crate::reconfiguration;
use crate::relay::Relays;
use crate::shell::{CONTAINER_EVENTS, INPUTS, Input, Shell};
use crate::sweep;
use crate::waiting::Waiting;

/// Files and connections that masters may ask for at once; more are turned away.
const RELAYS: usize = 64;
/// How long the lock of an agent that was killed may outlive it.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Two agents would have to meet in the same microseconds so many times.
const LAUNCHER_ATTEMPTS: u32 = 10;
/// Less would be a file for every line.
const LEAST_LOG_BYTES: u64 = 4096;

/// Runs an agent until `stop`. Its tasks go on without it, and it finds them again when it is started the next time.
///
/// # Errors
/// [`AgentError`] in one sentence with its remedy: what keeps it from starting, or why it could not go on.
pub async fn run(config: AgentConfig, stop: CancellationToken) -> Result<(), AgentError> {
    run_to_the_end(config, Logging::default(), stop).await
}

/// As [`run`], in a process whose log's level `set_level` changes when an operator says so.
///
/// # Errors
/// As [`run`].
pub async fn run_with_log(
    config: AgentConfig,
    set_level: SetLevel,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    run_to_the_end(config, Logging::with(set_level), stop).await
}

async fn run_to_the_end(
    config: AgentConfig,
    logging: Logging,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    let stop = stop.child_token();
    let _ends_all = stop.clone().drop_guard();
    let ground = Ground::prepare(config).await?;
    let (event_sender, events) = mpsc::channel(CONTAINER_EVENTS);
    let means = Arc::new(ground.means(event_sender)?);
    let local = means.supplies.socket.as_ref().map(DomainSocket::open).transpose()?;
    ground.overhead.impose(means.launcher.cgroups());
    let mut memory = Memory::recall(&means, &ground).inspect_err(|_| {
        leave_no_groups(&means.launcher);
    })?;
    memory.agent.set_executor_timeouts(ground.config.executor_timeouts());
    let first = Event::Recovered {
        found: memory.recovered.iter().filter_map(found_of).collect(),
        boot_id: ground.who.boot_id.clone(),
    };
    tracing::info!(address = %ground.address, master = %ground.master, containers = memory.recovered.len(), "agent started");

    let tasks = TaskTracker::new();
    let (inputs, input_queue) = mpsc::channel(INPUTS);
    let counters = Arc::new(Counters::default());
    let completed = ground.config.max_completed_executors_per_framework;
    let history = Arc::new(History::new(completed, &memory.agent.view()));
    let mut containers = Containers::new(means.clone());
    adopt(&mut containers, &memory.recovered);
    nested::adopt(&means, memory.launched, &tasks);
    let shell = Shell {
        agent: memory.agent,
        clock: ground.clock,
        log: LogHandle::start(memory.file)?,
        containers,
        prober: Prober::new(means.clone()),
        who: ground.who.clone(),
        ip: ground.address.ip(),
        volumes: means.supplies.volumes.clone(),
        networks: means.supplies.networks.clone(),
        network_classes: means.supplies.network_classes.clone(),
        inputs: input_queue,
        events,
        counters: counters.clone(),
        history: history.clone(),
        layout: means.layout.clone(),
        ages: means.ages.clone(),
        waiting: Waiting::default(),
        link: None,
        streams: Streams::default(),
        tokens: means.tokens.clone(),
        secrets: means.supplies.secrets.clone(),
        unwritten: Vec::new(),
        appended: 0,
    };
    let sweeping = means.clone();
    tasks.spawn_blocking(move || {
        remove_groups(&sweeping, &memory.orphans);
        memory.orphan_roots.iter().for_each(|root| sweeping.supplies.images.release(root));
    });
    let watching = networks::Watching::of(&ground.config, &ground.resources)?;
    tasks.spawn(networks::watch(means.clone(), watching, inputs.clone(), stop.clone()));
    let (supplying, stopped) = (means.clone(), stop.clone());
    tasks.spawn(async move {
        let Supplies { networks, names, .. } = &supplying.supplies;
        stopped.run_until_cancelled(networks::leave_all_but(networks, names, &memory.with_networks)).await
    });
    let _lock = ground.serve(&tasks, inputs, means.clone(), (counters, history, logging), local, &stop);
    let outcome = shell.run(first, stop.clone()).await;
    stop.cancel();
    means.nested.let_go();
    tasks.close();
    tasks.wait().await;
    means.supplies.socket.iter().for_each(DomainSocket::close);
    if leave_no_groups(&means.launcher) {
        means.supplies.socket.iter().for_each(DomainSocket::leave);
    }
    outcome
}

/// What an agent stands on before it knows of any task.
struct Ground {
    config: AgentConfig,
    clock: Clock,
    master: MasterAddress,
    layout: Layout,
    lock: File,
    listener: Listener,
    dialer: Dialer,
    address: SocketAddr,
    overhead: Overhead,
    resources: Resources,
    disks: Disks,
    who: Arc<Presentation>,
}

impl Ground {
    async fn prepare(config: AgentConfig) -> Result<Self, AgentError> {
        let clock = Clock::start();
        let master = config.master.parse().map_err(|error| AgentError::flag("master", error))?;
        let layout = Layout::new(own_directory(&config.work_dir)?);
        let lock = lock(&layout).await?;
        let dialer = Dialer::of_daemon(&config.tls).map_err(ListenError::from)?;
        let listener = Listener::bind(&config.listen(), DEFAULT_PORT).await?;
        let address = listener.local_addr();
        let overhead = Overhead::new(config.shims_memory)?;
        let named = config.resources.as_deref();
        let resources = machine::resources(named, &config.default_role, layout.work_dir(), overhead)?;
        let resources = Gpus::discover(&config, &layout)?.offered(resources)?;
        let disks = Disks::open(&resources, layout.work_dir())?;
        let who = Arc::new(present(&config, &resources, address)?);
        Ok(Self {
            config,
            clock,
            master,
            layout,
            lock,
            listener,
            dialer,
            address,
            overhead,
            resources,
            disks,
            who,
        })
    }

    /// What containers are made with.
    fn means(&self, events: mpsc::Sender<Event>) -> Result<Means, AgentError> {
        let settings = Settings {
            overhead: self.overhead,
            logs: log_limits(&self.config)?,
            enforce_cpu: self.config.cgroups_enable_cfs,
            limit_swap: self.config.cgroups_limit_swap,
            switch_user: self.config.switch_user,
            bridge_network: self.config.bridge_network.clone(),
            port: self.address.port(),
            endpoint: self.who.address.clone(),
            hostname: self.who.info.hostname.clone().unwrap_or_default(),
            frameworks_home: self.config.frameworks_home.clone(),
            executor_return: self.config.executor_reregistration_timeout,
        };
        let tokens = Tokens::new(self.layout.tokens(), self.config.authenticate_http_executors);
        let runtime_dir = own_directory(&self.config.runtime_dir())?;
        let launcher = Arc::new(launcher(&self.config, &self.layout)?);
        let (disks, shared, place) = (self.disks.clone(), launcher.clone(), runtime_dir.clone());
        let supplies = Supplies::new(&self.config, self.address.port(), &self.layout, disks, shared, place)?;
        Ok(Means::new(launcher, runtime_dir, self.layout.clone(), settings, tokens, supplies, events))
    }

    /// Starts everything around the loop. The work directory is this agent's for as long as what is returned lives.
    fn serve(
        self,
        tasks: &TaskTracker,
        inputs: mpsc::Sender<Input>,
        means: Arc<Means>,
        (counters, history, logging): (Arc<Counters>, Arc<History>, Logging),
        local: Option<LocalListener>,
        stop: &CancellationToken,
    ) -> File {
        let (relays, relay_queue) = mpsc::channel(RELAYS);
        let first_wait = self.config.registration_backoff_factor;
        let dialer = self.dialer.clone();
        let dialler = Dialler { inputs: inputs.clone(), relays, dialer, first_wait, means: means.clone() };
        let zookeeper = ZkOptions { session_timeout: self.config.zk_session_timeout };
        let detector = Detector::start_with(&self.master, zookeeper, self.dialer);
        tasks.spawn(dialler.run(detector, stop.clone()));
        tasks.spawn(means.supplies.images.clone().run(stop.clone()));
        let watching = self.config.disk_watching();
        tasks.spawn(disk_quota::run(means.clone(), watching, inputs.clone(), stop.clone()));
        let files = Files::new(self.layout.clone());
        let (entrance, address) = (self.listener.entrance(), self.address);
        let relaying = Relays { files: files.clone(), inputs: inputs.clone(), entrance, address };
        tasks.spawn(relaying.run(relay_queue, stop.clone()));
        tasks.spawn(sweep::run(means.clone(), self.config.sweep_policy(), inputs.clone(), stop.clone()));
        let api = Api {
            inputs,
            files,
            means,
            counters,
            history,
            logging,
            who: self.who,
            resources: self.resources,
            config: self.config,
            clock: self.clock,
            started: self.clock.now().wall,
            tasks: tasks.clone(),
        };
        let api = Arc::new(api);
        if let Some(local) = local {
            let routes = http::of_executors(Routes::new(), &api);
            tasks.spawn(local.serve(routes, DEFAULT_MAX_BODY, Policy::allow_all(), stop.clone()));
        }
        let listener = self.listener.with_plain_routes(http::of_plain_callers(&api));
        let routes = http::routes(api);
        tasks.spawn(listener.serve(routes, GrpcRoutes::new(), Policy::allow_all(), stop.clone()));
        self.lock
    }
}

/// What is kept of what tasks write.
fn log_limits(config: &AgentConfig) -> Result<LogLimits, AgentError> {
    let (bytes, files) = (config.max_log_size.0, config.max_log_files);
    if bytes < LEAST_LOG_BYTES {
        return Err(AgentError::flag("max-log-size", format!("at least {LEAST_LOG_BYTES} bytes")));
    }
    if files == 0 {
        return Err(AgentError::flag("max-log-files", "at least one: the file that is written".to_owned()));
    }
    Ok(LogLimits { bytes, files })
}

/// What an earlier process left: its records, its containers, and cgroups of neither.
struct Memory {
    file: LogFile,
    agent: Agent,
    recovered: Vec<RecoveredContainer>,
    /// Containers of no task.
    launched: Vec<nested::Found>,
    orphans: Vec<String>,
    orphan_roots: Vec<String>,
    /// Containers whose networks are theirs.
    with_networks: Vec<String>,
}

impl Memory {
    fn recall(means: &Means, ground: &Ground) -> Result<Self, AgentError> {
        let (file, records) = LogFile::open(&means.layout.log())?;
        let mut agent = Agent::new(uuid::Uuid::new_v4().as_u128());
        records.into_iter().for_each(|record| agent.restore(record));
        let (info, layout) = (&ground.who.info, &means.layout);
        reconfiguration::check(ground.config.reconfiguration_policy, &layout.described(), info)?;
        reconfiguration::configure(&mut agent, &ground.resources)?;
        let recovered = chapada_shim::recover(&means.runtime_dir)
            .map_err(|error| AgentError::Recover(Box::new(error)))?;
        let known: Vec<String> = recovered.iter().map(|found| found.id.clone()).collect();
        means.supplies.retain(&known);
        let ids = &means.supplies.ids;
        ids.retain(&known).map_err(|error| AgentError::flag("userns-first-id", error))?;
        let orphan_roots = means.supplies.images.orphans(&known);
        let pods = agent.view().executors.into_iter().filter(|executor| executor.record.is_pod());
        let with_networks = known.iter().cloned().chain(pods.map(|pod| pod.record.container.to_string()));
        let with_networks = with_networks.collect();
        let (recovered, launched) = nested::recover(recovered);
        Ok(Self {
            file,
            agent,
            launched,
            with_networks,
            orphans: orphan_groups(means, &known),
            orphan_roots,
            recovered,
        })
    }
}

/// An agent that stops without containers leaves no cgroups either. Whether it has none.
fn leave_no_groups(launcher: &Launcher) -> bool {
    if !launcher.cgroups().containers().is_ok_and(|containers| containers.is_empty()) {
        return false;
    }
    if let Err(error) = launcher.remove_cgroups() {
        tracing::debug!(%error, "the agent's cgroups stay");
    }
    true
}

fn adopt(containers: &mut Containers, recovered: &[RecoveredContainer]) {
    for found in recovered {
        let running = matches!(found.state, chapada_shim::RecoveredState::Running { .. });
        if let (true, Ok(container)) = (running, found.id.parse()) {
            containers.adopt(container, found);
        }
    }
}

/// Makes a directory of the agent's, and its absolute path.
fn own_directory(path: &Path) -> Result<PathBuf, AgentError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(AgentError::directory("make", path))?;
    fs::canonicalize(path).map_err(AgentError::directory("find", path))
}

/// Two agents in one directory would undo each other's work. An agent that was killed while it started a shim holds the
/// lock until that shim has left its inherited descriptors behind, so this waits a moment.
async fn lock(layout: &Layout) -> Result<File, AgentError> {
    let path = layout.lock();
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = opened.map_err(AgentError::directory("open", &path))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_PAUSE).await,
            Err(fs::TryLockError::WouldBlock) => {
                return Err(AgentError::WorkDirInUse(layout.work_dir().to_owned()));
            }
            Err(fs::TryLockError::Error(error)) => return Err(AgentError::directory("lock", path)(error)),
        }
    }
}

fn launcher(config: &AgentConfig, layout: &Layout) -> Result<Launcher, AgentError> {
    let own = || {
        let name = crc32fast::hash(layout.work_dir().as_os_str().as_encoded_bytes());
        PathBuf::from(format!("chapada/agent-{name:08x}"))
    };
    let root = config.cgroups_root.clone().unwrap_or_else(own);
    let cgroups = Cgroups::discover(root).map_err(|error| AgentError::Containers(Box::new(error)))?;
    let mut attempts = 1;
    loop {
        match Launcher::new(chapada_shim_image::SHIM_IMAGE, cgroups.clone()) {
            // Another agent that stops removes the directory above ours if it finds it empty.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound && attempts < LAUNCHER_ATTEMPTS => {
                attempts += 1;
            }
            made => return made.map_err(|error| AgentError::Containers(Box::new(error))),
        }
    }
}

fn present(
    config: &AgentConfig,
    resources: &Resources,
    address: SocketAddr,
) -> Result<Presentation, AgentError> {
    let hostname = match &config.hostname {
        Some(hostname) => hostname.clone(),
        None => machine::name_of(address.ip())?,
    };
    let attributes = Attribute::parse_list(config.attributes.as_deref().unwrap_or_default())
        .map_err(|error| AgentError::flag("attributes", error))?;
    let domain = config.domain.as_deref().map(domain_from_json).transpose();
    let domain = domain.map_err(|error| AgentError::flag("domain", error))?;
    let info = v1::AgentInfo {
        domain: domain.as_ref().map(Into::into),
        hostname: Some(hostname),
        port: Some(address.port().into()),
        resources: resources_to_wire(resources, ReservationFormat::Stacked),
        attributes: attributes.iter().map(Into::into).collect(),
        ..v1::AgentInfo::default()
    };
    Ok(Presentation {
        info,
        address: address.to_string(),
        boot_id: machine::boot_id(config.boot_id_file.as_deref())?,
        capabilities: &[
            "MULTI_ROLE",
            "HIERARCHICAL_ROLE",
            "RESERVATION_REFINEMENT",
            "RESIZE_VOLUME",
            "AGENT_OPERATION_FEEDBACK",
            "TASK_RESOURCE_LIMITS",
        ],
    })
}
