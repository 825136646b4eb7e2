//! P8: from the end of a leader to the first offer of the next one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_coordination::{Backup, Detector, MasterAddress, Record, RegistryPlace, ZkOptions};
use chapada_harness::Cluster;
use chapada_wire::v1;
use serde_json::json;
use tokio::time::timeout;

use crate::figure::{Figure, percentile};
use crate::loopback::runtime;
use crate::loopback::scheduler::Scheduler;

/// Far beyond what any step takes.
const WITHIN: Duration = Duration::from_secs(60);
/// Between two attempts to subscribe to a leader that does not yet take it.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// A framework that has offers, and where its master is found.
struct Watcher {
    detector: Detector,
    scheduler: Scheduler,
    framework: v1::FrameworkId,
}

/// The leader is killed.
pub(crate) fn crash(quick: bool) -> Result<Vec<Figure>> {
    // ZooKeeper grants no session shorter than two ticks, and ends one at a tick only: where sessions are to be short, ticks are. Two
    // seconds are its default.
    let sessions = [(2, 500), (4, 2_000)];
    let (rounds, sessions) = if quick { (5, &sessions[..1]) } else { (20, &sessions[..]) };
    let mut figures = Vec::new();
    for (session, tick_ms) in sessions {
        let cluster = cluster(*tick_ms, *session);
        let taken = measure(cluster, rounds, |cluster, leader| {
            cluster.masters[leader].kill();
            Ok(())
        })?;
        let name = format!("crash_{session}s");
        figures.extend(shown(
            &name,
            taken,
            quick,
            &format!("a session of {session} s, ticks of {tick_ms} ms"),
        ));
    }
    Ok(figures)
}

/// The leader is asked to step down.
pub(crate) fn hand_over(quick: bool) -> Result<Vec<Figure>> {
    let taken = measure(cluster(500, 10), if quick { 5 } else { 20 }, step_down)?;
    Ok(shown("handover", taken, quick, "a session of 10 s"))
}

/// The leader is asked to step down, and the next one has the records of many agents to read, nearly all of which stay away.
pub(crate) fn large(quick: bool) -> Result<Vec<Figure>> {
    let agents = if quick { 5_000 } else { 50_000 };
    let mut cluster = cluster(500, 10);
    admit(&mut cluster, agents)?;
    let taken = measure(cluster, if quick { 5 } else { 20 }, step_down)?;
    let session = format!("a session of 10 s, {agents} agents in the registry");
    Ok(shown(&format!("handover_{agents}"), taken, quick, &session))
}

fn step_down(cluster: &mut Cluster, leader: usize) -> Result<()> {
    let asked = cluster.master_http(leader).send("POST", "/leadership/step-down", &json!({}));
    asked.map(drop).map_err(anyhow::Error::msg)
}

/// Has the registry know so many agents, each with the record of the one that there is under another id.
fn admit(cluster: &mut Cluster, agents: usize) -> Result<()> {
    let (address, options) = (cluster.zookeeper_address().parse()?, ZkOptions::default());
    let place = RegistryPlace::ZooKeeper { address, options };
    let runtime = runtime()?;
    let mut backup: Backup = runtime.block_on(place.export("for a bench"))?;
    let is_agent = |record: &&Record| record.key.kind == "agents";
    let one = backup.records.iter().find(is_agent).context("the agent is recorded")?.clone();
    let others = (1..agents).map(|number| another(&one, number)).collect::<Result<Vec<_>>>()?;
    backup.records.extend(others);
    backup.records.sort_by(|a, b| a.key.cmp(&b.key));
    for master in &mut cluster.masters {
        ensure!(master.stop().success(), "a master ends well");
    }
    let imported = runtime.block_on(place.import(&backup, "for a bench", true))?;
    ensure!(imported.records == backup.records.len(), "{} records were written", imported.records);
    cluster.masters.iter_mut().for_each(chapada_harness::Daemon::restart);
    wait_for(|| cluster.leader().is_ok()).context("a master leads again")?;
    let leader = cluster.leader_http().map_err(anyhow::Error::msg)?;
    let overview = leader.get("/query/v1/overview").map_err(anyhow::Error::msg)?;
    let of_each_state = overview["agents"].as_object().context("it tells of agents")?.values();
    let known: u64 = of_each_state.filter_map(serde_json::Value::as_u64).sum();
    ensure!(known == agents as u64, "{known} agents are known of {agents} in the registry");
    Ok(())
}

/// The record under an id of the same length.
fn another(one: &Record, number: usize) -> Result<Record> {
    let (id, text) = (&one.key.key, std::str::from_utf8(&one.value).context("a record is text")?);
    let other = format!("{number:08x}{}", id.get(8..).context("an id begins with that of a master")?);
    let value = text.replace(id.as_str(), &other);
    let mut record = one.clone();
    record.key.key = other;
    record.value = value.into_bytes().into();
    Ok(record)
}

fn cluster(tick_ms: u32, session: u32) -> Cluster {
    Cluster::builder()
        .masters(3)
        .zookeeper_on_disk()
        .agents(1)
        .zookeeper_tick(tick_ms)
        .master_flag(&format!("--zk-session-timeout={session}s"))
        .start()
}

fn shown(name: &str, mut taken: Vec<f64>, quick: bool, session: &str) -> Vec<Figure> {
    let end = if quick { "_quick" } else { "" };
    let shape = format!("3 masters, 3 ZooKeeper servers, {session}, 1 agent, {} rounds", taken.len());
    let figure = |part: f64, label: &str, taken: &mut Vec<f64>| {
        Figure::new(&format!("P8.{name}_{label}{end}"), percentile(taken, part), "s", &shape)
    };
    vec![figure(0.5, "p50", &mut taken), figure(0.99, "p99", &mut taken)]
}

/// Seconds from each end of a leader to the next offer.
fn measure(
    mut cluster: Cluster,
    rounds: usize,
    end: impl Fn(&mut Cluster, usize) -> Result<()>,
) -> Result<Vec<f64>> {
    let runtime = runtime()?;
    let address: MasterAddress = cluster.master_address().parse()?;
    let mut watcher = runtime.block_on(Watcher::start(&address))?;
    let mut taken = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let leader = cluster.leader().map_err(anyhow::Error::msg)?;
        let others: Vec<usize> = (0..cluster.masters.len()).filter(|other| *other != leader).collect();
        wait_for(|| others.iter().all(|other| follows(&cluster, *other)))
            .context("the others stand in line")?;
        let from = Instant::now();
        end(&mut cluster, leader)?;
        runtime.block_on(watcher.next_offer())?;
        taken.push(from.elapsed().as_secs_f64());
        ensure!(cluster.leader().map_err(anyhow::Error::msg)? != leader, "the same master leads again");
        if cluster.master_http(leader).call("GET", "/health", None).is_err() {
            cluster.masters[leader].kill();
            cluster.masters[leader].restart();
        }
        wait_for(|| follows(&cluster, leader)).context("the former leader stands in line")?;
    }
    Ok(taken)
}

/// Whether a master names another one as leader.
fn follows(cluster: &Cluster, master: usize) -> bool {
    matches!(cluster.master_http(master).call("GET", "/state-summary", None), Ok((307, _)))
}

fn wait_for(condition: impl Fn() -> bool) -> Result<()> {
    let until = Instant::now() + WITHIN;
    while !condition() {
        ensure!(Instant::now() < until, "it did not come to be within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Watcher {
    async fn start(address: &MasterAddress) -> Result<Self> {
        let mut detector = Detector::start(address, ZkOptions::default());
        let leader = detector.wait_for_leader().await;
        let scheduler = Scheduler::subscribe(&leader.authority(), "watcher").await?;
        let mut watcher = Self { framework: scheduler.id.clone(), detector, scheduler };
        timeout(WITHIN, watcher.offered()).await.context("there is a first offer")??;
        Ok(watcher)
    }

    /// Waits for the end of the subscription and for the first offer of the next one.
    async fn next_offer(&mut self) -> Result<()> {
        timeout(WITHIN, async {
            while let Ok(Some(_)) = self.scheduler.events.message().await {}
            loop {
                let leader = self.detector.wait_for_leader().await;
                let (at, framework) = (leader.authority(), self.framework.clone());
                match Scheduler::subscribe_as(&at, "watcher", Some(framework)).await {
                    Ok(scheduler) => {
                        self.scheduler = scheduler;
                        return self.offered().await;
                    }
                    // It is gone, or has not read its registry yet.
                    Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
                }
            }
        })
        .await
        .context("there is a next offer")?
    }

    async fn offered(&mut self) -> Result<()> {
        loop {
            let event = self.scheduler.events.message().await?.context("the stream ended")?;
            if event.offers.is_some_and(|offers| !offers.offers.is_empty()) {
                return Ok(());
            }
        }
    }
}
