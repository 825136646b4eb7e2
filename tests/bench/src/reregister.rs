//! P7 and P16: everybody comes back to a new leader, with all that runs, and to one that went on while they were away.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chapada_master_core::{MAX_COMPLETED_TASKS, Settings};

use crate::figure::{Figure, percentile};
use crate::sim::{Cluster, MASTER_ID};

/// Tasks on each agent.
const TASKS: usize = 10;
const FRAMEWORKS: usize = 10;
/// From the new leader's having read its registry to the last one's knowing of it: all are told by ZooKeeper at once, and none waits
/// before it dials a leader that it has just heard of.
const TOLD: Duration = Duration::from_millis(10);

/// What each agent has run of each framework before, and remembers.
const COMPLETED: usize = 200;

/// A new leader after a failover, with nothing that was over before it, and with a long history.
pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let mut figures = failover(quick, 0)?;
    figures.extend(failover(quick, COMPLETED)?);
    Ok(figures)
}

fn failover(quick: bool, completed: usize) -> Result<Vec<Figure>> {
    let agents = if quick { 4_000 } else { 40_000 };
    let (mut cluster, tasks) = (cluster(agents)?, agents * TASKS);
    cluster.agents.iter_mut().for_each(|agent| agent.completed = completed);
    let (began, taken) = come_back(&mut cluster, TOLD)?;
    let known = cluster.now.since(began).as_secs_f64();
    let last = cluster.subscribed.iter().max().context("frameworks came back")?.since(began).as_secs_f64();
    let used = cluster.master.used().as_secs_f64();
    let shape = format!(
        "{agents} agents, {tasks} tasks, {completed} more on each of each of its frameworks that were over before, {FRAMEWORKS} frameworks over protobuf, who all know of the new leader within {TOLD:?}; two cores, one of \
         them for reading and writing messages; its reading of the records included, not that of ZooKeeper"
    );
    let history = if completed == 0 { "" } else { "with_history_" };
    let name = |kind: &str| format!("P7.{history}{kind}_{agents}x{tasks}");
    let all = taken.last().copied().context("agents came back")?.max(last);
    Ok(vec![
        Figure::new(&name("all_back"), all, "s", &shape),
        Figure::new(&name("history_known"), known, "s", &shape),
        Figure::new(&name("frameworks_back"), last, "s", &shape),
        Figure::new(&name("cpu"), used, "s of a core", &shape),
    ])
}

/// After so long without a welcome an agent dials again. Source: the agent's `WELCOME_TIMEOUT`.
const GIVES_UP: Duration = Duration::from_secs(30);

/// All agents return within a second.
pub(crate) fn herd(quick: bool) -> Result<Vec<Figure>> {
    let agents = if quick { 5_000 } else { 50_000 };
    let mut cluster = cluster(agents)?;
    let (_, mut taken) = come_back(&mut cluster, Duration::from_secs(1))?;
    let shape = format!(
        "{agents} agents with {TASKS} tasks each that dial within one second, from the beginning of it; two cores; nothing is lost; who is not welcome \
         within {GIVES_UP:?} dials again"
    );
    let name = |kind: &str| format!("P16.{kind}_{agents}");
    let again = taken.iter().filter(|taken| **taken > GIVES_UP.as_secs_f64()).count();
    ensure!(again == 0, "{again} agents would have dialled again, which this bench does not simulate");
    Ok(vec![
        Figure::new(&name("attempts"), (agents + again) as f64 / agents as f64, "an agent", &shape),
        Figure::new(&name("registered_p50"), percentile(&mut taken, 0.5), "s", &shape),
        Figure::new(&name("registered_p99"), percentile(&mut taken, 0.99), "s", &shape),
        Figure::new(
            &name("read_waits_most"),
            cluster.master.longest_turn.as_secs_f64() * 1000.0,
            "ms",
            "who reads the cluster meanwhile waits so long for the books at most, beside what its answer takes to be written; one reader a second",
        ),
    ])
}

/// A cluster that runs as many tasks as it has room for.
fn cluster(agents: usize) -> Result<Cluster> {
    let mut cluster = Cluster::full(TASKS, agents, FRAMEWORKS, Settings::new(MASTER_ID))?;
    cluster.master.take_second_core();
    // What is on its way arrives, however far behind the master is.
    for _ in 0..60 {
        cluster.run_for(Duration::from_secs(1))?;
        if cluster.agents.iter().all(|agent| agent.unacknowledged() == 0) {
            return Ok(cluster);
        }
    }
    bail!("updates are not acknowledged within a minute")
}

/// Has the leader fall, and everybody come back: since when, and the seconds that each agent took from then, in order.
fn come_back(cluster: &mut Cluster, within: Duration) -> Result<(chapada_model::Mono, Vec<f64>)> {
    let (began, agents) = (cluster.now, cluster.agents.len());
    cluster.fail_over(within);
    cluster.run_until(Duration::from_secs(300), |cluster| {
        let are_back = cluster.welcomed.len() == agents && cluster.subscribed.len() == FRAMEWORKS;
        are_back && cluster.master.told == agents
    })?;
    let books = cluster.master.core.snapshot();
    let remembered = books.completed_tasks.values().map(|history| history.len());
    let full = cluster.agents.iter().any(|agent| agent.completed > 0);
    ensure!(
        remembered.sum::<usize>() == if full { FRAMEWORKS * MAX_COMPLETED_TASKS } else { 0 },
        "the histories are full"
    );
    ensure!(books.tasks.len() == agents * TASKS, "{} tasks are known", books.tasks.len());
    ensure!(cluster.master.written <= FRAMEWORKS, "{} changes of the registry", cluster.master.written);
    let running = cluster.agents.iter().map(|agent| agent.running()).sum::<usize>();
    ensure!(running == agents * TASKS, "{running} tasks run");
    cluster.check_books()?;
    let mut taken: Vec<f64> = cluster.welcomed.iter().map(|at| at.since(began).as_secs_f64()).collect();
    taken.sort_by(f64::total_cmp);
    Ok((began, taken))
}
