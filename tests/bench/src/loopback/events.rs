//! P11: many who follow the operator's events, and some who stop reading.

mod readers;
mod stalled;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chapada_wire::v1::TaskState;
use prost::Message as _;
use tokio::time::{MissedTickBehavior, interval};

use self::readers::{Moments, Readers};
use super::fleet::{Agent, Connections, Described, framework, status, task};
use super::{WITHIN, master, runtime, wait_for_metric};
use crate::figure::Figure;

/// Tasks that the one agent speaks of, in turn.
const TASKS: usize = 100;
const FRAMEWORK: &str = "bench-events";

pub(crate) fn many_readers(quick: bool) -> Result<Vec<Figure>> {
    if quick { fan_out(200, 500, 3, "_quick") } else { fan_out(1_000, 1_000, 10, "") }
}

pub(crate) fn many_events(quick: bool) -> Result<Vec<Figure>> {
    if quick { fan_out(50, 2_000, 3, "_quick") } else { fan_out(100, 5_000, 10, "") }
}

pub(crate) fn stalled_readers(quick: bool) -> Result<Vec<Figure>> {
    if quick { stalled::run(100, "_quick") } else { stalled::run(1_000, "") }
}

/// An agent with tasks of which it can say something.
async fn agent(connections: &mut Connections) -> Result<Agent> {
    let tasks = (0..TASKS).map(|number| chapada_wire::link::HeldTask {
        framework_id: FRAMEWORK.to_owned(),
        task: task(&name(number), "bench-S0", 0.1, 32.0).encode_to_vec().into(),
        latest: Some(status("bench-S0", &name(number), TaskState::TaskRunning, None)),
        ..Default::default()
    });
    let (cpus, mem) = (TASKS as f64, TASKS as f64 * 64.0);
    let described =
        Described { number: 0, cpus, mem, tasks: tasks.collect(), frameworks: vec![framework(FRAMEWORK)] };
    let mut agent = connections.agent(described).await?;
    agent.welcomed().await?;
    Ok(agent)
}

fn name(number: usize) -> String {
    format!("task-{}", number % TASKS)
}

/// Says something new; each time is one event.
async fn happen(agent: &Agent, number: usize) -> Result<()> {
    let uuid = Some(1 + number as u64);
    agent.update(FRAMEWORK, status(&agent.id, &name(number), TaskState::TaskRunning, uuid)).await
}

fn fan_out(readers: usize, rate: usize, seconds: usize, suffix: &str) -> Result<Vec<Figure>> {
    let cluster = master();
    let at = cluster.master_host_port(0).to_owned();
    let runtime = runtime()?;
    let mut connections = Connections::to(&at);
    let agent = runtime.block_on(agent(&mut connections))?;
    // Its registration is no longer news.
    wait_for_metric(&cluster, "master/slaves_active", 1.0)?;
    let count = rate * seconds;
    let moments = Arc::new(Moments::new(count));
    let readers_there = Readers::start(at, readers, moments.clone())?;
    readers_there.wait_until_begun(WITHIN)?;
    let busy = super::usage::processor_time(cluster.masters[0].pid().as_raw())?;
    let began = Instant::now();
    runtime.block_on(speak(&agent, rate, &moments))?;
    let took = began.elapsed();
    let (mut times, heard) = readers_there.finish(WITHIN)?;
    let busy = super::usage::processor_time(cluster.masters[0].pid().as_raw())? - busy;
    ensure!(heard.iter().all(|events| *events == count), "a reader missed something: {heard:?}");
    let shape = format!(
        "{readers} readers, half in JSON, half in protobuf; {rate} events/s for {seconds} s from one simulated agent; \
         from its sending an update to a reader having the event"
    );
    let name = |kind: &str| format!("P11.{kind}_{readers}x{rate}{suffix}");
    Ok(vec![
        Figure::new(&name("delay_p50"), times.percentile(0.5), "ms", &shape),
        Figure::new(&name("delay_p99"), times.percentile(0.99), "ms", &shape),
        Figure::new(&name("rate"), count as f64 / took.as_secs_f64(), "events/s", &shape),
        Figure::new(&name("master_cpu"), busy / took.as_secs_f64() * 100.0, "% of a core", &shape),
    ])
}

/// Makes events happen at a steady rate, and notes when.
async fn speak(agent: &Agent, rate: usize, moments: &Moments) -> Result<()> {
    let each = rate.div_ceil(1_000);
    let mut tick = interval(Duration::from_secs(1) * u32::try_from(each)? / u32::try_from(rate)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    while number < moments.sent.len() {
        tick.tick().await;
        for _ in 0..each.min(moments.sent.len() - number) {
            moments.sent[number].store(moments.now(), Ordering::Release);
            happen(agent, number).await?;
            number += 1;
        }
    }
    Ok(())
}
