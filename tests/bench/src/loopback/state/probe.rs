//! Times how long it takes from a task's end to the next offer of what it held: an agent and a framework of its own.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use chapada_wire::link::to_agent;
use chapada_wire::v1;
use chapada_wire::v1::TaskState;
use chapada_wire::v1::scheduler::event;

use super::super::fleet::{Agent, Connections, Described, status, task};
use super::super::runtime;
use super::super::scheduler::{Scheduler, accept, acknowledge};

enum Asked {
    Begin,
    End,
}

/// A thread that launches tasks one at a time.
pub(super) struct Probe {
    asked: mpsc::Sender<Asked>,
    times: mpsc::Receiver<Vec<f64>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Probe {
    pub(super) fn start(at: &str, agent: usize) -> Result<Self> {
        let (asked, asking) = mpsc::channel();
        let (timed, times) = mpsc::channel();
        let (at, runtime) = (at.to_owned(), runtime()?);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let mut pair = Pair::connect(&at, agent).await?;
                while let Ok(Asked::Begin) = asking.recv() {
                    let mut times = Vec::new();
                    while !matches!(asking.try_recv(), Ok(Asked::End)) {
                        times.push(pair.once().await?);
                    }
                    timed.send(times)?;
                }
                Ok(())
            })
        });
        Ok(Self { asked, times, thread: Some(thread) })
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        if self.asked.send(Asked::Begin).is_err() { self.why_it_ended() } else { Ok(()) }
    }

    /// The times since [`Probe::begin`], in milliseconds.
    pub(super) fn end(&mut self) -> Result<Vec<f64>> {
        // Should it have ended, there are no times either.
        drop(self.asked.send(Asked::End));
        match self.times.recv() {
            Ok(times) => Ok(times),
            Err(mpsc::RecvError) => self.why_it_ended().map(|()| Vec::new()),
        }
    }

    fn why_it_ended(&mut self) -> Result<()> {
        let thread = self.thread.take().context("the probe has ended")?;
        thread.join().map_err(|_| anyhow!("the probe panicked"))??;
        bail!("the probe has ended")
    }

    pub(super) fn measure_for(&mut self, time: Duration) -> Result<Vec<f64>> {
        self.begin()?;
        std::thread::sleep(time);
        self.end()
    }

    pub(super) fn finish(self) -> Result<()> {
        drop(self.asked);
        let thread = self.thread.context("the probe has ended")?;
        thread.join().map_err(|_| anyhow!("the probe panicked"))?
    }
}

struct Pair {
    _connections: Connections,
    agent: Agent,
    scheduler: Scheduler,
    offer: v1::Offer,
    launched: u64,
}

impl Pair {
    async fn connect(at: &str, number: usize) -> Result<Self> {
        let mut connections = Connections::to(at);
        let described =
            Described { number, cpus: 4.0, mem: 4_096.0, tasks: Vec::new(), frameworks: Vec::new() };
        let mut agent = connections.agent(described).await?;
        agent.welcomed().await?;
        let mut scheduler = Scheduler::subscribe(at, "probe").await?;
        let offer = offer(&mut scheduler).await?;
        Ok(Self { _connections: connections, agent, scheduler, offer, launched: 0 })
    }

    /// Launches a task on all that is offered, ends it, and waits for the offer of what it held.
    async fn once(&mut self) -> Result<f64> {
        self.launched += 1;
        let id = format!("probe-{}", self.launched);
        let offered = self.offer.id.clone().context("an offer has an id")?;
        let wanted = task(&id, &self.agent.id, 4.0, 4_096.0);
        self.scheduler.call(accept(offered, vec![wanted])).await?;
        loop {
            let command = self.agent.commands.message().await?.context("the link ended")?;
            if matches!(command.message, Some(to_agent::Message::Launch(_))) {
                break;
            }
        }
        let framework = self.scheduler.id.value.clone().unwrap_or_default();
        let freed = Instant::now();
        self.agent
            .update(&framework, status(&self.agent.id, &id, TaskState::TaskFinished, Some(self.launched)))
            .await?;
        self.offer = offer(&mut self.scheduler).await?;
        Ok(freed.elapsed().as_secs_f64() * 1e3)
    }
}

/// The next offer; updates before it are acknowledged.
async fn offer(scheduler: &mut Scheduler) -> Result<v1::Offer> {
    loop {
        let event = scheduler.events.message().await?.context("the stream ended")?;
        match event.r#type() {
            event::Type::Update => {
                let said = event.update.and_then(|update| update.status).context("an update has a status")?;
                if let Some(call) = acknowledge(&said) {
                    scheduler.call(call).await?;
                }
            }
            event::Type::Offers => {
                let mut offers = event.offers.map(|offers| offers.offers).unwrap_or_default();
                match offers.pop() {
                    Some(offer) if offers.is_empty() => return Ok(offer),
                    other => bail!("the one agent is offered at once: {other:?} and {offers:?}"),
                }
            }
            _ => {}
        }
    }
}
