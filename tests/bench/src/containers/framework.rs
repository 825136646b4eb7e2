//! A framework whose tasks run on one real agent.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chapada_harness::Cluster;
use chapada_shim::Cgroups;
use chapada_wire::v1;
use chapada_wire::v1::TaskState;
use chapada_wire::v1::container_info::{DockerInfo, Type, docker_info::Network};
use chapada_wire::v1::scheduler::{Call, call, event};

use super::image;
use crate::loopback::fleet;
use crate::loopback::scheduler::{Scheduler, accept, acknowledge};

/// Far beyond what any step takes.
pub(super) const WITHIN: Duration = Duration::from_secs(180);
pub(super) const CPUS: f64 = 0.1;
pub(super) const MEM: f64 = 32.0;

/// The framework, with the tasks of its crowd: those that do the same.
pub(super) struct Framework {
    scheduler: Scheduler,
    cgroups: Cgroups,
    offers: Vec<v1::Offer>,
    agent: Option<v1::AgentId>,
    running: HashSet<String>,
}

impl Framework {
    pub(super) async fn begin(cluster: &Cluster) -> Result<Self> {
        let scheduler = Scheduler::subscribe(cluster.master_host_port(0), "crowd").await?;
        let cgroups = Cgroups::discover(format!("{}-a0", cluster.cgroups()))?;
        Ok(Self { scheduler, cgroups, offers: Vec::new(), agent: None, running: HashSet::new() })
    }

    /// Seconds from the ACCEPT until all of them run.
    pub(super) async fn launch(&mut self, name: &str, count: usize) -> Result<f64> {
        let begun = self
            .accept(CPUS * count as f64, |agent| {
                (0..count).map(|number| task(&format!("{name}-{number}"), agent)).collect()
            })
            .await?;
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

    /// Accepts an offer that has so many processors with these tasks; when that was.
    pub(super) async fn accept(
        &mut self,
        needed: f64,
        tasks: impl FnOnce(&v1::AgentId) -> Vec<v1::TaskInfo>,
    ) -> Result<Instant> {
        let fits = |offer: &v1::Offer| cpus(offer) >= needed;
        while !self.offers.iter().any(fits) {
            self.update().await?;
        }
        let offer = self.offers.swap_remove(self.offers.iter().position(fits).context("an offer")?);
        let agent = offer.agent_id.clone().context("an agent")?;
        let tasks = tasks(&agent);
        self.agent = Some(agent);
        let begun = Instant::now();
        self.scheduler.call(accept(offer.id.context("an offer has an id")?, tasks)).await?;
        Ok(begun)
    }

    /// Asks for the end of a task.
    pub(super) async fn kill(&self, id: String) -> Result<()> {
        let task_id = Some(v1::TaskId { value: Some(id) });
        let kill = call::Kill { task_id, agent_id: self.agent.clone(), ..call::Kill::default() };
        self.scheduler
            .call(Call { r#type: Some(call::Type::Kill.into()), kill: Some(kill), ..Call::default() })
            .await
    }

    /// The next event: an update is acknowledged, offers are kept.
    pub(super) async fn update(&mut self) -> Result<Option<(String, v1::TaskStatus)>> {
        let event = tokio::time::timeout(WITHIN, self.scheduler.events.message()).await;
        let event = event.context("nothing is heard any more")??.context("the stream ended")?;
        if event.r#type() != event::Type::Update {
            let rescinded = event.rescind.as_ref().and_then(|rescind| rescind.offer_id.as_ref());
            self.offers.retain(|offer| rescinded.is_none() || offer.id.as_ref() != rescinded);
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
    pub(super) async fn destroy(&mut self) -> Result<f64> {
        let begun = Instant::now();
        for id in self.running.clone() {
            self.kill(id).await?;
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
    pub(super) async fn lost(&mut self) -> Result<usize> {
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
