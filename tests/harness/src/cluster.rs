//! A cluster of real processes.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::certificates::Tls;
use crate::leftovers::end_containers;
use crate::ports::free_port;
use crate::zookeeper::{Disk, Ensemble, TICK_MS};
use crate::{Daemon, Http, Hub, Namespace, binary, eventually, processes_of, unmount_below};

/// Processes on one machine are up in a second or two; this bounds a machine under load.
const UP_WITHIN: Duration = Duration::from_secs(60);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a test wants to run.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    masters: usize,
    agents: usize,
    services: bool,
    separate_machines: bool,
    resources: String,
    attributes: Option<String>,
    detect_by_list: bool,
    tick_ms: Option<u32>,
    zookeeper_disk: Disk,
    master_flags: Vec<String>,
    agent_flags: Vec<String>,
    services_flags: Vec<String>,
    program: Option<PathBuf>,
    mutual_tls: bool,
}

/// Masters, agents, the services framework and, for more than one master, a three-server ZooKeeper. Ends with this
/// value, containers included.
#[derive(Debug)]
pub struct Cluster {
    /// The masters, by number.
    pub masters: Vec<Daemon>,
    /// The agents, by number.
    pub agents: Vec<Daemon>,
    /// The services framework, when asked for.
    pub services: Option<Daemon>,
    master_addresses: Vec<String>,
    agent_addresses: Vec<String>,
    services_address: String,
    cgroups: String,
    ensemble: Option<Ensemble>,
    detect_by_list: bool,
    machines: Vec<Namespace>,
    _hub: Option<Hub>,
    folder: tempfile::TempDir,
    program: PathBuf,
    tls: Option<Tls>,
}

impl Cluster {
    /// One master on the embedded store and one agent, on loopback.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            masters: 1,
            agents: 1,
            services: false,
            separate_machines: false,
            resources: "cpus:8;mem:4096;disk:4096;ports:[31000-32000]".to_owned(),
            attributes: None,
            detect_by_list: false,
            tick_ms: None,
            zookeeper_disk: Disk::Memory,
            master_flags: Vec::new(),
            agent_flags: Vec::new(),
            services_flags: Vec::new(),
            program: None,
            mutual_tls: false,
        }
    }
}

impl ClusterBuilder {
    /// More than one brings a real three-server ZooKeeper.
    #[must_use]
    pub fn masters(mut self, count: usize) -> Self {
        self.masters = count;
        self
    }

    /// How many agents.
    #[must_use]
    pub fn agents(mut self, count: usize) -> Self {
        self.agents = count;
        self
    }

    /// With the services framework.
    #[must_use]
    pub fn services(mut self) -> Self {
        self.services = true;
        self
    }

    /// Each agent in a network namespace of its own, everything else in that of a hub. The calling thread enters the
    /// hub and stays there until the cluster is dropped. Needed for more than one agent.
    #[must_use]
    pub fn separate_machines(mut self) -> Self {
        self.separate_machines = true;
        self
    }

    /// What each agent has, as `--resources` takes it.
    #[must_use]
    pub fn resources(mut self, resources: &str) -> Self {
        resources.clone_into(&mut self.resources);
        self
    }

    /// What each agent is like, as `--attributes` takes it; otherwise an agent has its `number`.
    #[must_use]
    pub fn attributes(mut self, attributes: &str) -> Self {
        self.attributes = Some(attributes.to_owned());
        self
    }

    /// Agents, frameworks and clients are told the masters' addresses instead of that of ZooKeeper.
    #[must_use]
    pub fn detect_by_list(mut self) -> Self {
        self.detect_by_list = true;
        self
    }

    /// ZooKeeper's tick in milliseconds: sessions last two of them at least.
    #[must_use]
    pub fn zookeeper_tick(mut self, tick_ms: u32) -> Self {
        self.tick_ms = Some(tick_ms);
        self
    }

    /// ZooKeeper's files are on the disk of temporary files instead of in memory, as benches want it.
    #[must_use]
    pub fn zookeeper_on_disk(mut self) -> Self {
        self.zookeeper_disk = Disk::Real;
        self
    }

    /// Every daemon is of this program at first.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Every port speaks TLS and takes only callers with a certificate of the cluster's authority; each daemon has one of its own.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.mutual_tls = true;
        self
    }

    /// One more flag for every master.
    #[must_use]
    pub fn master_flag(mut self, flag: &str) -> Self {
        self.master_flags.push(flag.to_owned());
        self
    }

    /// One more flag for every agent.
    #[must_use]
    pub fn agent_flag(mut self, flag: &str) -> Self {
        self.agent_flags.push(flag.to_owned());
        self
    }

    /// One more flag for the services framework.
    #[must_use]
    pub fn services_flag(mut self, flag: &str) -> Self {
        self.services_flags.push(flag.to_owned());
        self
    }

    /// Starts everything and waits until the agents are registered and the services framework answers.
    ///
    /// # Panics
    /// When something does not come up, with the logs.
    #[must_use]
    pub fn start(self) -> Cluster {
        let folder = tempfile::Builder::new().prefix("chapada-test-").tempdir().expect("a temporary folder");
        let mut hub = self.separate_machines.then(Hub::enter);
        let ip = if self.separate_machines { Hub::IP } else { Ipv4Addr::LOCALHOST };
        let tick_ms = self.tick_ms.unwrap_or(TICK_MS);
        let ensemble = (self.masters > 1).then(|| Ensemble::start_with(ip, 3, tick_ms, self.zookeeper_disk));
        let tls = self.mutual_tls.then(|| Tls::new(&folder.path().join("tls")));
        let mut cluster = Cluster {
            tls,
            masters: Vec::new(),
            agents: Vec::new(),
            services: None,
            master_addresses: (0..self.masters).map(|_| format!("{ip}:{}", free_port(ip))).collect(),
            agent_addresses: Vec::new(),
            services_address: format!("{ip}:{}", free_port(ip)),
            cgroups: format!("chapada-t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
            ensemble,
            detect_by_list: self.detect_by_list,
            machines: Vec::new(),
            _hub: None,
            folder,
            program: self.program.clone().unwrap_or_else(|| binary("chapada")),
        };
        for number in 0..self.masters {
            cluster.start_master(number, &self);
        }
        for number in 0..self.agents {
            let machine = hub.as_mut().map(Hub::machine);
            cluster.start_agent(number, machine, &self);
        }
        cluster._hub = hub;
        if self.services {
            let services = cluster.services_at(&cluster.services_address, "services", &self.services_flags);
            cluster.services = Some(services);
        }
        cluster.wait_until_up(self.agents);
        cluster
    }
}

impl Cluster {
    fn start_master(&mut self, number: usize, wanted: &ClusterBuilder) {
        let mut flags = flags("master", &self.master_addresses[number]);
        flags.extend(self.tls_flags(&format!("master{number}"), &self.master_addresses[number]));
        flags.extend(["--work-dir".to_owned(), self.folder_of(&format!("master{number}"))]);
        flags.extend(["--cluster".to_owned(), "test".to_owned()]);
        if let Some(ensemble) = &self.ensemble {
            flags.extend(["--zk".to_owned(), format!("{}/chapada", ensemble.address())]);
        }
        flags.extend(wanted.master_flags.iter().cloned());
        let name = format!("master{number}");
        self.masters.push(Daemon::start_build(&self.program, &name, self.folder.path(), None, &flags));
    }

    fn start_agent(&mut self, number: usize, machine: Option<Namespace>, wanted: &ClusterBuilder) {
        let ip = machine.as_ref().map_or(Ipv4Addr::LOCALHOST, |machine| machine.ip);
        let port = if machine.is_some() { 5051 } else { free_port(ip) };
        let address = format!("{ip}:{port}");
        let mut flags = flags("agent", &address);
        flags.extend(self.tls_flags(&format!("agent{number}"), &address));
        let more = [
            ("--master", self.master_address()),
            ("--hostname", ip.to_string()),
            ("--work-dir", self.folder_of(&format!("agent{number}"))),
            ("--resources", wanted.resources.clone()),
            ("--attributes", wanted.attributes.clone().unwrap_or_else(|| format!("number:{number}"))),
            ("--cgroups-root", format!("{}-a{number}", self.cgroups)),
        ];
        flags.extend(more.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        // Frameworks of tests run their tasks as root.
        flags.push("--allow-host-root".to_owned());
        flags.extend(wanted.agent_flags.iter().cloned());
        let namespace = machine.as_ref().map(|machine| machine.name.as_str());
        let name = format!("agent{number}");
        self.agents.push(Daemon::start_build(&self.program, &name, self.folder.path(), namespace, &flags));
        self.agent_addresses.push(address);
        self.machines.extend(machine);
    }

    /// One more services process, on the same records where there is a ZooKeeper: its `host:port`, and the process, which ends
    /// with the value. It is not waited for.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn another_services(&self, name: &str, more: &[String]) -> (String, Daemon) {
        let ip = Ipv4Addr::LOCALHOST;
        let address = format!("{ip}:{}", free_port(ip));
        let daemon = self.services_at(&address, name, more);
        (address, daemon)
    }

    fn services_at(&self, address: &str, name: &str, more: &[String]) -> Daemon {
        let mut flags = flags("services", address);
        flags.extend(self.tls_flags(name, address));
        let ip = address.split_once(':').map_or(address, |(ip, _)| ip);
        flags.extend(["--master".to_owned(), self.master_address()]);
        flags.extend(["--hostname".to_owned(), ip.to_owned()]);
        flags.extend(["--work-dir".to_owned(), self.folder_of(name)]);
        if let Some(ensemble) = &self.ensemble {
            flags.extend(["--zk".to_owned(), format!("{}/services", ensemble.address())]);
        }
        flags.extend(more.iter().cloned());
        Daemon::start_build(&self.program, name, self.folder.path(), None, &flags)
    }

    fn tls_flags(&self, name: &str, address: &str) -> Vec<String> {
        self.tls.as_ref().map(|tls| tls.flags_for(name, address)).unwrap_or_default()
    }

    fn http(&self, address: &str) -> Http {
        match &self.tls {
            Some(tls) => Http::under_tls(address, &tls.client),
            None => Http::new(address),
        }
    }

    /// What a cluster under TLS is made with.
    ///
    /// # Panics
    /// When it is not under TLS.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("a cluster under TLS")
    }

    fn wait_until_up(&self, agents: usize) {
        eventually("all agents are registered", UP_WITHIN, || {
            let active = self.leader_http()?.get("/query/v1/overview")?["agents"]["active"].as_u64();
            if active == Some(agents as u64) { Ok(()) } else { Err(format!("{active:?} agents")) }
        });
        if self.services.is_some() {
            eventually("the services framework answers", UP_WITHIN, || {
                self.services_http().get("/v2/info").and_then(|info| {
                    info["frameworkId"].as_str().map(|_| ()).ok_or_else(|| "not registered".to_owned())
                })
            });
        }
    }

    /// How agents, frameworks and clients are told where the masters are.
    #[must_use]
    pub fn master_address(&self) -> String {
        match &self.ensemble {
            Some(ensemble) if !self.detect_by_list => format!("{}/chapada", ensemble.address()),
            _ => self.master_addresses.join(","),
        }
    }

    /// The ensemble.
    ///
    /// # Panics
    /// With one master there is none.
    pub fn ensemble(&mut self) -> &mut Ensemble {
        self.ensemble.as_mut().expect("a cluster with more than one master has a ZooKeeper")
    }

    /// `zk://…` as the masters have it.
    ///
    /// # Panics
    /// With one master there is none.
    #[must_use]
    pub fn zookeeper_address(&self) -> String {
        let ensemble = self.ensemble.as_ref().expect("a cluster with more than one master has a ZooKeeper");
        format!("{}/chapada", ensemble.address())
    }

    /// The machine of an agent.
    ///
    /// # Panics
    /// When agents have none of their own.
    #[must_use]
    pub fn machine(&self, agent: usize) -> &Namespace {
        &self.machines[agent]
    }

    /// The number of the master that leads now.
    ///
    /// # Errors
    /// When none does.
    pub fn leader(&self) -> Result<usize, String> {
        let mut seen = Vec::new();
        for (number, address) in self.master_addresses.iter().enumerate() {
            match self.http(address).call("GET", "/query/v1/overview", None) {
                Ok((200, _)) => return Ok(number),
                other => seen.push(format!("{address}: {other:?}")),
            }
        }
        Err(seen.join("; "))
    }

    /// The leading master.
    ///
    /// # Errors
    /// When none leads.
    pub fn leader_http(&self) -> Result<Http, String> {
        Ok(self.http(&self.master_addresses[self.leader()?]))
    }

    /// One master.
    #[must_use]
    pub fn master_http(&self, number: usize) -> Http {
        self.http(&self.master_addresses[number])
    }

    /// `host:port` of one master.
    #[must_use]
    pub fn master_host_port(&self, number: usize) -> &str {
        &self.master_addresses[number]
    }

    /// One agent.
    #[must_use]
    pub fn agent_http(&self, number: usize) -> Http {
        self.http(&self.agent_addresses[number])
    }

    /// `host:port` of one agent.
    #[must_use]
    pub fn agent_host_port(&self, number: usize) -> &str {
        &self.agent_addresses[number]
    }

    /// The services framework.
    #[must_use]
    pub fn services_http(&self) -> Http {
        self.http(&self.services_address)
    }

    /// `host:port` of the services framework.
    #[must_use]
    pub fn services_host_port(&self) -> &str {
        &self.services_address
    }

    /// The folder that holds everything the cluster writes.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The name that all cgroups of this cluster's containers have in their path.
    #[must_use]
    pub fn cgroups(&self) -> &str {
        &self.cgroups
    }

    /// Live tasks as the master has them.
    ///
    /// # Errors
    /// When no master answers.
    pub fn live_tasks(&self) -> Result<Vec<Value>, String> {
        let answer = self.leader_http()?.get("/query/v1/tasks?limit=500&state=TASK_RUNNING")?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    /// The sandbox of the first agent's only task.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn sandbox(&self) -> PathBuf {
        let state = self.agent_http(0).get("/state").expect("the agent answers");
        let directory = state["frameworks"][0]["executors"][0]["directory"].as_str();
        directory.unwrap_or_else(|| panic!("{state}")).into()
    }

    /// Pids of the shells that this cluster's tasks run in, seen from the host.
    #[must_use]
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_of(&self.folder.path().to_string_lossy())
    }

    fn folder_of(&self, name: &str) -> String {
        let folder: PathBuf = self.folder.path().join(name);
        folder.to_string_lossy().into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let daemons = self.services.iter_mut().chain(&mut self.agents).chain(&mut self.masters);
        daemons.for_each(Daemon::kill);
        end_containers(self.folder.path(), &self.cgroups);
        // A container's network is held by a mount, which keeps the folder from being removed.
        let held = unmount_below(self.folder.path());
        if !held.is_empty() {
            eprintln!("mounts are left behind: {held:?}");
        }
    }
}

fn flags(daemon: &str, address: &str) -> Vec<String> {
    let (ip, port) = address.split_once(':').expect("an address is ip:port");
    let mut flags: Vec<String> =
        [daemon, "--ip", ip, "--port", port].into_iter().map(str::to_owned).collect();
    if ip != "127.0.0.1" {
        flags.push("--insecure".to_owned());
    }
    flags
}
