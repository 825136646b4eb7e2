//! P5, over loopback: launches a second of a real master, each acknowledged. The agents are simulated.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_wire::link::{Launch, to_agent};
use chapada_wire::v1;
use chapada_wire::v1::TaskState;
use chapada_wire::v1::scheduler::event;
use tokio::task::JoinSet;

use super::fleet::{Agent, Connections, Described, status, task};
use super::scheduler::{Scheduler, accept, acknowledge};
use super::usage::processor_time;
use super::{WITHIN, master, runtime};
use crate::figure::Figure;

const AGENTS: usize = 100;
const FRAMEWORKS: usize = 4;
/// Tasks that fit on an agent.
const SLOTS: usize = 20;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (each, suffix) = if quick { (5_000, "_quick") } else { (25_000, "") };
    let cluster = master();
    let at = cluster.master_host_port(0).to_owned();
    let pid = cluster.masters[0].pid().as_raw();
    let agents_at = at.clone();
    let agents_runtime = runtime()?;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let counter = acknowledged.clone();
    let agents = std::thread::spawn(move || agents_runtime.block_on(run_agents(&agents_at, &counter)));
    let busy = processor_time(pid)?;
    let (took, updates) = runtime()?.block_on(launch_all(&at, each, &acknowledged))?;
    let busy = processor_time(pid)? - busy;
    let total = each * FRAMEWORKS;
    ensure!(is_each_once(&updates, total), "{} tasks were updated, not {total} once each", updates.len());
    let metrics = cluster.master_http(0).get("/metrics/snapshot").map_err(anyhow::Error::msg)?;
    for (name, wanted) in
        [("tasks_launched", total), ("tasks_finished", total), ("valid_status_updates", total)]
    {
        let value = metrics[format!("master/{name}")].as_f64();
        ensure!(value == Some(wanted as f64), "master/{name} is {value:?}, not {wanted}");
    }
    drop(cluster);
    // Their links end with the master.
    let launched = agents.join().map_err(|_| anyhow::anyhow!("the agents panicked"))??;
    ensure!(
        is_each_once(&launched.tasks, total),
        "{} tasks were launched, not {total} once each",
        launched.tasks.len()
    );
    ensure!(
        is_each_once(&launched.updates, total),
        "{} updates were acknowledged once",
        launched.updates.len()
    );
    let seconds = took.as_secs_f64();
    let shape = format!(
        "{total} tasks by {FRAMEWORKS} frameworks over gRPC on {AGENTS} simulated agents of {SLOTS}, which write nothing down; \
         each launched, finished and acknowledged once"
    );
    let name = |kind: &str| format!("P5.{kind}_loop{suffix}");
    Ok(vec![
        Figure::new(&name("launches"), total as f64 / seconds, "1/s", &shape),
        Figure::new(&name("master_cpu"), busy / seconds * 100.0, "% of a core", &shape),
    ])
}

fn is_each_once<K>(times: &HashMap<K, u32>, total: usize) -> bool {
    times.len() == total && times.values().all(|times| *times == 1)
}

/// How often each task was updated, and how long it took until the agents had every acknowledgement.
async fn launch_all(
    at: &str,
    each: usize,
    acknowledged: &AtomicUsize,
) -> Result<(Duration, HashMap<String, u32>)> {
    let mut frameworks = JoinSet::new();
    let began = Instant::now();
    for number in 0..FRAMEWORKS {
        let at = at.to_owned();
        frameworks.spawn(async move { launch(&at, number, each).await });
    }
    let mut updates = HashMap::new();
    let all = async {
        let mut open = Vec::new();
        while let Some(done) = frameworks.join_next().await {
            let (scheduler, own) = done.context("a framework panicked")??;
            updates.extend(own);
            open.push(scheduler);
        }
        while acknowledged.load(Ordering::Acquire) < each * FRAMEWORKS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(WITHIN, all).await.context("the tasks are not done in time")??;
    Ok((began.elapsed(), updates))
}

/// Launches so many tasks on whatever is offered, and acknowledges the end of each.
async fn launch(at: &str, number: usize, each: usize) -> Result<(Scheduler, HashMap<String, u32>)> {
    let mut scheduler = Scheduler::subscribe(at, &format!("launcher-{number}")).await?;
    let (mut launched, mut updates) = (0, HashMap::new());
    while updates.len() < each {
        let event = scheduler.events.message().await?.context("the stream ended")?;
        match event.r#type() {
            event::Type::Offers => {
                for offer in event.offers.map(|offers| offers.offers).unwrap_or_default() {
                    let agent = offer.agent_id.clone().and_then(|id| id.value).context("an agent")?;
                    let fit = slots(&offer).min(each - launched);
                    let ids = (launched..launched + fit).map(|each| format!("task-{number}-{each}"));
                    let tasks = ids.map(|id| task(&id, &agent, 1.0, 32.0)).collect();
                    launched += fit;
                    scheduler.call(accept(offer.id.context("an offer has an id")?, tasks)).await?;
                }
            }
            event::Type::Update => {
                let said = event.update.and_then(|update| update.status).context("an update has a status")?;
                ensure!(said.state() == TaskState::TaskFinished, "{said:?}");
                let id = said.task_id.clone().and_then(|id| id.value).context("a task")?;
                *updates.entry(id).or_default() += 1;
                let call = acknowledge(&said).context("an update has a uuid")?;
                scheduler.call(call).await?;
            }
            _ => {}
        }
    }
    Ok((scheduler, updates))
}

fn slots(offer: &v1::Offer) -> usize {
    let cpus = offer.resources.iter().find(|resource| resource.name.as_deref() == Some("cpus"));
    cpus.and_then(|cpus| cpus.scalar.as_ref()?.value).unwrap_or(0.0) as usize
}

/// What an agent was told: how often each task was launched and each update acknowledged.
#[derive(Default)]
struct Told {
    tasks: HashMap<String, u32>,
    updates: HashMap<Vec<u8>, u32>,
}

/// Runs the agents until the master is gone.
async fn run_agents(at: &str, acknowledged: &Arc<AtomicUsize>) -> Result<Told> {
    let mut connections = Connections::to(at);
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let (cpus, mem) = (SLOTS as f64, SLOTS as f64 * 32.0);
        let described = Described { number, cpus, mem, tasks: Vec::new(), frameworks: Vec::new() };
        let mut agent = connections.agent(described).await?;
        agent.welcomed().await?;
        agents.spawn(obey(agent, number, acknowledged.clone()));
    }
    let mut all = Told::default();
    while let Some(done) = agents.join_next().await {
        let told = done.context("an agent panicked")?;
        for (task, times) in told.tasks {
            *all.tasks.entry(task).or_default() += times;
        }
        all.updates.extend(told.updates);
    }
    Ok(all)
}

/// Every task ends as soon as it is launched.
async fn obey(mut agent: Agent, number: usize, acknowledged: Arc<AtomicUsize>) -> Told {
    let (mut told, mut uuid) = (Told::default(), (number as u64) << 32);
    while let Ok(Some(command)) = agent.commands.message().await {
        match command.message {
            Some(to_agent::Message::Launch(Launch { framework, task, .. })) => {
                let framework = framework.and_then(|framework| framework.id?.value).unwrap_or_default();
                let task = task.and_then(|task| task.task_id?.value).unwrap_or_default();
                uuid += 1;
                let ended = status(&agent.id, &task, TaskState::TaskFinished, Some(uuid));
                *told.tasks.entry(task).or_default() += 1;
                if agent.update(&framework, ended).await.is_err() {
                    break;
                }
            }
            Some(to_agent::Message::Acknowledge(update)) => {
                *told.updates.entry(update.uuid).or_default() += 1;
                acknowledged.fetch_add(1, Ordering::AcqRel);
            }
            _ => {}
        }
    }
    told
}
