//! P12, P14 and R8 through a real agent and a real master: a crowd of containers of one image, each with a user namespace and a
//! network of its own; what the agent takes while they idle; and its restart beside them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chapada_harness::Cluster;
use chapada_shim::Cgroups;
use chapada_wire::v1;
use chapada_wire::v1::TaskState;
use chapada_wire::v1::container_info::{DockerInfo, Type, docker_info::Network};
use chapada_wire::v1::scheduler::{Call, call, event};

use super::place::Place;
use super::{idle, image};
use crate::figure::Figure;
use crate::loopback::fleet;
use crate::loopback::runtime;
use crate::loopback::scheduler::{Scheduler, accept, acknowledge};
use crate::loopback::usage::resident_mib;

/// Far beyond what any step takes.
const WITHIN: Duration = Duration::from_secs(180);
const CPUS: f64 = 0.1;
const MEM: f64 = 32.0;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (count, restarted, watch, suffix) = if quick {
        (100, 50, Duration::from_secs(2), "_quick")
    } else {
        (1000, 500, Duration::from_secs(10), "")
    };
    let shelf = tempfile::Builder::new().prefix("chapada-bench-shelf-").tempdir_in("/var/tmp")?;
    let place = Place::new()?;
    image::make(shelf.path(), &place.path("layer"))?;
    drop(place);
    let mut cluster = Cluster::builder()
        .resources("cpus:1000;mem:100000;disk:100000;ports:[31000-32000]")
        .agent_flag(&format!("--docker-registry={}", shelf.path().display()))
        .start();
    let runtime = runtime()?;
    let mut crowd = runtime.block_on(Crowd::begin(&cluster))?;
    // The image is unpacked for the first of all.
    runtime.block_on(crowd.launch("first", 1))?;
    runtime.block_on(crowd.destroy())?;

    let shape = format!(
        "{count} containers of one image, each with a user namespace and a network of its own, by one ACCEPT to a real master and \
         agent; ended by a KILL each"
    );
    let launched = runtime.block_on(crowd.launch("crowd", count))?;
    let mut figures = idle::run(&cluster, count, watch, suffix)?;
    ensure!(groups(&cluster)?.len() == count, "some of the containers are gone");
    let destroyed = runtime.block_on(crowd.destroy())?;
    figures.push(Figure::new(&format!("P12.agent_launch{suffix}"), launched, "s", &shape));
    figures.push(Figure::new(&format!("P12.agent_destroy{suffix}"), destroyed, "s", &shape));

    runtime.block_on(crowd.launch("kept", restarted))?;
    figures.extend(restart(&mut cluster, restarted, suffix)?);
    ensure!(runtime.block_on(crowd.lost())? == 0, "a task was lost with the agent's restart");
    runtime.block_on(crowd.destroy())?;
    Ok(figures)
}

/// R8: kills the agent and starts it again beside so many containers.
fn restart(cluster: &mut Cluster, count: usize, suffix: &str) -> Result<Vec<Figure>> {
    let before = groups(cluster)?;
    ensure!(before.len() == count, "{} containers run, not {count}", before.len());
    let rss = resident_mib(cluster.agents[0].pid().as_raw())?;
    cluster.agents[0].kill();
    let said = |cluster: &Cluster| cluster.agents[0].log().matches("registered with the master").count();
    let registrations = said(cluster);
    let begun = Instant::now();
    cluster.agents[0].restart();
    while said(cluster) == registrations {
        ensure!(begun.elapsed() < WITHIN, "the agent did not register");
        std::thread::sleep(Duration::from_millis(1));
    }
    let taken = begun.elapsed().as_secs_f64();
    let pid = cluster.agents[0].pid();
    ensure!(groups(cluster)? == before, "other processes run than before");
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let peak = peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0;
    let shape = format!("{count} containers, agent killed and started again, until it is registered");
    let figure = |name: &str, value, unit| Figure::new(&format!("R8.{name}{suffix}"), value, unit, &shape);
    Ok(vec![
        figure("restart", taken, "s"),
        figure("rss_before", rss, "MiB"),
        figure("peak_rss_after", peak, "MiB"),
        figure("peak_ratio", peak / rss, "of the memory before"),
    ])
}

/// The processes of each container.
fn groups(cluster: &Cluster) -> Result<BTreeMap<String, Vec<i32>>> {
    let cgroups = Cgroups::discover(format!("{}-a0", cluster.cgroups()))?;
    let names = cgroups.containers()?;
    names.into_iter().map(|name| Ok((name.clone(), cgroups.group(&name).processes()?))).collect()
}

/// A framework with many tasks that do the same.
struct Crowd {
    scheduler: Scheduler,
    cgroups: Cgroups,
    offers: Vec<v1::Offer>,
    agent: Option<v1::AgentId>,
    running: HashSet<String>,
}

impl Crowd {
    async fn begin(cluster: &Cluster) -> Result<Self> {
        let scheduler = Scheduler::subscribe(cluster.master_host_port(0), "crowd").await?;
        let cgroups = Cgroups::discover(format!("{}-a0", cluster.cgroups()))?;
        Ok(Self { scheduler, cgroups, offers: Vec::new(), agent: None, running: HashSet::new() })
    }

    /// Seconds from the ACCEPT until all of them run.
    async fn launch(&mut self, name: &str, count: usize) -> Result<f64> {
        let fits = |offer: &v1::Offer| cpus(offer) >= CPUS * count as f64;
        while !self.offers.iter().any(fits) {
            self.update().await?;
        }
        let offer = self.offers.swap_remove(self.offers.iter().position(fits).context("an offer")?);
        let agent = offer.agent_id.clone().context("an agent")?;
        let tasks = (0..count).map(|number| task(&format!("{name}-{number}"), &agent)).collect();
        self.agent = Some(agent);
        let begun = Instant::now();
        self.scheduler.call(accept(offer.id.context("an offer has an id")?, tasks)).await?;
        while self.running.len() < count {
            let Some((id, status)) = self.update().await? else { continue };
            match status.state() {
                TaskState::TaskStarting => {}
                TaskState::TaskRunning => drop(self.running.insert(id)),
                _ => bail!("it does not run: {status:?}"),
            }
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// The next event: an update is acknowledged, offers are kept.
    async fn update(&mut self) -> Result<Option<(String, v1::TaskStatus)>> {
        let event = tokio::time::timeout(WITHIN, self.scheduler.events.message()).await;
        let event = event.context("nothing is heard any more")??.context("the stream ended")?;
        if event.r#type() != event::Type::Update {
            self.offers.extend(event.offers.into_iter().flat_map(|offers| offers.offers));
            return Ok(None);
        }
        let status = event.update.and_then(|update| update.status).context("an update has a status")?;
        if let Some(call) = acknowledge(&status) {
            self.scheduler.call(call).await?;
        }
        let id = status.task_id.clone().and_then(|id| id.value).context("a task")?;
        Ok(Some((id, status)))
    }

    /// Seconds from the first KILL until all are killed and their groups are gone.
    async fn destroy(&mut self) -> Result<f64> {
        let begun = Instant::now();
        for id in self.running.clone() {
            let task_id = Some(v1::TaskId { value: Some(id) });
            let kill = call::Kill { task_id, agent_id: self.agent.clone(), ..call::Kill::default() };
            let kill = Call { r#type: Some(call::Type::Kill.into()), kill: Some(kill), ..Call::default() };
            self.scheduler.call(kill).await?;
        }
        while !self.running.is_empty() {
            let Some((id, status)) = self.update().await? else { continue };
            match status.state() {
                TaskState::TaskKilled => drop(self.running.remove(&id)),
                TaskState::TaskKilling => {}
                _ => bail!("it was not killed: {status:?}"),
            }
        }
        while !self.cgroups.containers()?.is_empty() {
            ensure!(begun.elapsed() < WITHIN, "the groups of containers stay");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// How many of the tasks do not run, as their agent knows by now.
    async fn lost(&mut self) -> Result<usize> {
        let task = |id: &String| call::reconcile::Task {
            task_id: Some(v1::TaskId { value: Some(id.clone()) }),
            agent_id: self.agent.clone(),
        };
        let reconcile = call::Reconcile { tasks: self.running.iter().map(task).collect() };
        let reconcile = Call {
            r#type: Some(call::Type::Reconcile.into()),
            reconcile: Some(reconcile),
            ..Call::default()
        };
        self.scheduler.call(reconcile).await?;
        let mut asked = self.running.clone();
        let mut lost = 0;
        while !asked.is_empty() {
            if let Some((id, status)) = self.update().await? {
                asked.remove(&id);
                lost += usize::from(status.state() != TaskState::TaskRunning);
            }
        }
        Ok(lost)
    }
}

fn cpus(offer: &v1::Offer) -> f64 {
    let cpus = offer.resources.iter().filter(|resource| resource.name.as_deref() == Some("cpus"));
    cpus.filter_map(|cpus| cpus.scalar.as_ref()?.value).sum()
}

fn task(id: &str, agent: &v1::AgentId) -> v1::TaskInfo {
    let docker = DockerInfo {
        image: Some(image::NAME.to_owned()),
        network: Some(Network::None.into()),
        ..DockerInfo::default()
    };
    let command = v1::CommandInfo {
        shell: Some(false),
        value: Some("/bin/busybox".to_owned()),
        arguments: ["busybox", "sleep", "100000"].map(str::to_owned).to_vec(),
        ..v1::CommandInfo::default()
    };
    v1::TaskInfo {
        command: Some(command),
        container: Some(v1::ContainerInfo {
            r#type: Some(Type::Docker.into()),
            docker: Some(docker),
            ..v1::ContainerInfo::default()
        }),
        ..fleet::task(id, agent.value.as_deref().unwrap_or_default(), CPUS, MEM)
    }
}
