//! P25: so many agents, each on a connection of its own, to one real master: under mutual TLS, each with a certificate of its own, and
//! beside it on plain connections, which the names of those figures say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_harness::{Cluster, Http};
use chapada_tls::{Dialer, TlsFiles};
use chapada_wire::link::{Heartbeat, from_agent, to_agent};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use super::fleet::{Agent, Connections, Described, message};
use super::usage::{processor_time, resident_mib};
use super::{WITHIN, runtime, wait_for_metric};
use crate::figure::{Figure, percentile};

/// How often either end shows that it lives. Source: the master's default silence limit of 15 s, by 3.
const BEAT: Duration = Duration::from_secs(5);
/// Handshakes that our one process has under way at once. Each agent has a processor of its own in the field; here all share one, and a
/// master gives whoever takes seconds over a handshake no longer than that while others wait.
const HANDS: usize = 128;
/// How often the master is asked how many it hears out. Each look is a process, a handshake and all metrics: twenty a second took a sixth
/// of what is measured here.
const LOOK: Duration = Duration::from_millis(500);
/// Descriptors of a process beside those of the links.
const OTHERS: u64 = 500;

/// What is spoken on the links.
#[derive(Clone, Copy, PartialEq)]
enum Speaking {
    MutualTls,
    Plain,
}

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let mut figures = run_on(Speaking::Plain, quick)?;
    figures.extend(run_on(Speaking::MutualTls, quick)?);
    Ok(figures)
}

fn run_on(speaking: Speaking, quick: bool) -> Result<Vec<Figure>> {
    let (agents, seconds, suffix) = if quick { (1_000, 10, "_quick") } else { (10_000, 30, "") };
    allow_descriptors(agents)?;
    let cluster = Cluster::builder().agents(0);
    let cluster = if speaking == Speaking::MutualTls { cluster.mutual_tls() } else { cluster }.start();
    let dialers = dialers(&cluster, speaking, agents)?;
    let (at, pid) = (cluster.master_host_port(0).to_owned(), cluster.masters[0].pid().as_raw());
    wait_for_metric(&cluster, "master/slaves_active", 0.0)?;
    let before = resident_mib(pid)?;
    let counting = Peak::watch(cluster.master_http(0));
    let runtime = runtime()?;
    let (stop, stopped) = watch::channel(false);
    let (mut links, mut took) = runtime.block_on(dial_all(&at, dialers, &stopped))?;
    let peak = counting.finish()?;
    wait_for_metric(&cluster, "master/slaves_active", agents as f64)?;
    let each = (resident_mib(pid)? - before) * 1_024.0 / agents as f64;
    let (began, busy) = (Instant::now(), processor_time(pid)?);
    std::thread::sleep(Duration::from_secs(seconds));
    let busy = (processor_time(pid)? - busy) / began.elapsed().as_secs_f64();
    stop.send(true).context("the links stand")?;
    let beats = runtime.block_on(async {
        let mut beats = Vec::with_capacity(agents);
        while let Some(ended) = links.join_next().await {
            beats.push(ended.context("an agent panicked")??);
        }
        Ok::<_, anyhow::Error>(beats)
    })?;
    ensure!(beats.len() == agents, "{} links stood to the end", beats.len());
    let least = seconds / BEAT.as_secs() - 1;
    ensure!(beats.iter().all(|heard| *heard >= least), "one heard fewer than {least} signs of life");
    let metrics = cluster.master_http(0).get("/metrics/snapshot").map_err(anyhow::Error::msg)?;
    for (name, wanted) in [("slave_registrations", agents), ("slave_reregistrations", 0)] {
        let value = metrics[format!("master/{name}")].as_f64();
        ensure!(value == Some(wanted as f64), "master/{name} is {value:?}, not {wanted}");
    }
    let all = percentile(&mut took, 1.0);
    let (kind, said) = match speaking {
        Speaking::MutualTls => ("TLS connection with a certificate (ECDSA, P-256)", ""),
        Speaking::Plain => ("plain TCP connection", "plain_"),
    };
    let shape = format!(
        "{agents} simulated agents without tasks, each on a {kind} of its own over loopback, all dialling at once from one \
         process on the same machine; a sign of life each {BEAT:?} both ways, for {seconds} s; of memory the master's resident, with its \
         record of the agent, and not the kernel's"
    );
    let name = |kind: &str| format!("P25.{kind}_{said}{agents}{suffix}");
    Ok(vec![
        Figure::new(&name("all_registered"), all, "s", &shape),
        Figure::new(&name("registered_p50"), percentile(&mut took, 0.5), "s", &shape),
        Figure::new(&name("memory_each"), each, "KiB", &shape),
        Figure::new(&name("heartbeats_cpu"), busy * 100.0, "% of a core", &shape),
        Figure::new(&name("handshakes_most"), peak, "at once", &shape),
    ])
}

/// The master raises its own limit to what it may be at most, which is ours.
fn allow_descriptors(agents: usize) -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = agents as u64 + OTHERS;
    ensure!(
        most >= wanted,
        "a process may have {most} descriptors here, and {wanted} are needed: raise `ulimit -Hn`"
    );
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// One for each agent. Certificates are made before any clock runs.
fn dialers(cluster: &Cluster, speaking: Speaking, agents: usize) -> Result<Vec<Dialer>> {
    let dialer = |number| match speaking {
        Speaking::Plain => Ok(Dialer::plain()),
        Speaking::MutualTls => {
            let made = cluster.tls().authority.issue(&format!("link{number}"), &["127.0.0.1"]);
            let (tls_ca, tls_cert, tls_key) = (Some(made.ca), Some(made.cert), Some(made.key));
            Ok(Dialer::with(&TlsFiles { tls_ca, tls_cert, tls_key })?)
        }
    };
    (0..agents).map(dialer).collect()
}

type Links = JoinSet<Result<u64>>;

/// Registers them all; their links, and the seconds from the first dialling to each welcome.
async fn dial_all(
    at: &str,
    dialers: Vec<Dialer>,
    stopped: &watch::Receiver<bool>,
) -> Result<(Links, Vec<f64>)> {
    let mut dialling = JoinSet::new();
    let hands = Arc::new(Semaphore::new(HANDS));
    let (began, agents) = (Instant::now(), dialers.len());
    for (number, dialer) in dialers.into_iter().enumerate() {
        let (at, hands) = (at.to_owned(), hands.clone());
        dialling.spawn(async move {
            let mut connection = Connections::to(&at).by(dialer);
            let described =
                Described { number, cpus: 1.0, mem: 128.0, tasks: Vec::new(), frameworks: Vec::new() };
            let shaking = hands.acquire_owned().await.context("nobody closes it")?;
            let mut agent = connection.agent(described).await?;
            drop(shaking);
            agent.welcomed().await?;
            Ok::<_, anyhow::Error>((connection, agent, began.elapsed().as_secs_f64()))
        });
    }
    let (mut links, mut took) = (Links::new(), Vec::with_capacity(agents));
    let all = async {
        while let Some(welcome) = dialling.join_next().await {
            let (connection, agent, seconds) = welcome.context("an agent panicked")??;
            took.push(seconds);
            let phase = BEAT * u32::try_from(took.len())? / u32::try_from(agents)?;
            links.spawn(live(connection, agent, phase, stopped.clone()));
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(WITHIN, all).await.context("the agents are not registered in time")??;
    Ok((links, took))
}

/// Shows that it lives until it is stopped; how many signs of life it heard.
async fn live(
    _connection: Connections,
    mut agent: Agent,
    phase: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Result<u64> {
    let mut beat = interval_at((Instant::now() + phase).into(), BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = 0;
    loop {
        tokio::select! {
            _ = beat.tick() => {
                let sign = message(from_agent::Message::Heartbeat(Heartbeat {}));
                agent.said.send(sign).await.with_context(|| format!("the link of {} ended", agent.id))?;
            }
            said = agent.commands.message() => match said?.and_then(|said| said.message) {
                Some(to_agent::Message::Heartbeat(_)) => heard += 1,
                other => anyhow::bail!("{} hears {other:?}", agent.id),
            },
            _ = stopped.changed() => return Ok(heard),
        }
    }
}

/// The most handshakes that the master was seen to have under way.
struct Peak {
    done: Arc<AtomicBool>,
    looking: std::thread::JoinHandle<Result<f64>>,
}

impl Peak {
    fn watch(master: Http) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let ends = done.clone();
        let looking = std::thread::spawn(move || {
            let mut most: f64 = 0.0;
            while !ends.load(Ordering::Acquire) {
                let metrics = master.get("/metrics/snapshot").map_err(anyhow::Error::msg)?;
                most = most.max(metrics["master/agent_handshakes"].as_f64().context("a gauge")?);
                std::thread::sleep(LOOK);
            }
            Ok(most)
        });
        Self { done, looking }
    }

    fn finish(self) -> Result<f64> {
        self.done.store(true, Ordering::Release);
        self.looking.join().map_err(|_| anyhow::anyhow!("who looks panicked"))?
    }
}
