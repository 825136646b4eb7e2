//! A simulated framework: it speaks the scheduler API in the real codec, uses what it is offered, and acknowledges every
//! update.

use std::time::Duration;

use super::chance::Chance;
use anyhow::{Context, Result, bail};
use chapada_master::edge::Form;
use chapada_model::Mono;
use chapada_wire::v1;
use chapada_wire::v1::scheduler::{Call, Event, call, event};

use super::host::Host;
use super::network::Channel;
use super::wire;

/// The tasks that a framework wants to run.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub(crate) cpus: f64,
    pub(crate) mem: f64,
    /// How long each runs, from and to.
    pub(crate) lasts: (Duration, Duration),
    /// How many of the first have run for a while already, so that not all end at once: only a part of their time is left.
    pub(crate) begun: usize,
    /// How many of one offer at most.
    pub(crate) per_offer: usize,
    /// How many in all.
    pub(crate) tasks: usize,
}

/// What it does with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Uses whatever it is offered.
    Greedy,
    /// Runs one task each time it is woken, and takes no offers meanwhile.
    Probe,
}

/// What has happened to its tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) offers: usize,
    pub(crate) launched: usize,
    pub(crate) running: usize,
    pub(crate) finished: usize,
    /// Those of agents that were given up.
    pub(crate) lost: usize,
}

/// What it answers, and what it was told.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) calls: Vec<Call>,
    /// Agents of offers, with the number of its tasks that each offer has room for.
    pub(crate) offered: Vec<(String, usize)>,
    /// Whether its subscription began.
    pub(crate) is_subscribed: bool,
    /// How many of its tasks run since.
    pub(crate) running: usize,
    /// Agents that are given up.
    pub(crate) failed: Vec<String>,
    /// How long a probe's task took from the wish to RUNNING.
    pub(crate) probed: Option<Duration>,
}

/// A scheduler's process.
pub(crate) struct FrameworkHost {
    pub(crate) host: Host,
    pub(crate) up: Channel,
    pub(crate) down: Channel,
    pub(crate) form: Form,
    pub(crate) manner: Manner,
    pub(crate) demand: Demand,
    pub(crate) counts: Counts,
    name: String,
    id: Option<String>,
    /// Since when a probe waits for its task to run.
    since: Option<Mono>,
}

impl FrameworkHost {
    pub(crate) fn new(index: u32, form: Form, manner: Manner, demand: Demand) -> Self {
        Self {
            host: Host::default(),
            up: Channel::default(),
            down: Channel::default(),
            form,
            manner,
            demand,
            counts: Counts::default(),
            name: format!("framework-{index}"),
            id: None,
            since: None,
        }
    }

    /// The first call to a leader.
    pub(crate) fn subscribe(&self) -> Call {
        let id = self.id.clone().map(|id| v1::FrameworkId { value: Some(id) });
        let info = v1::FrameworkInfo {
            id: id.clone(),
            user: Some("root".to_owned()),
            name: Some(self.name.clone()),
            failover_timeout: Some(86_400.0),
            checkpoint: Some(true),
            role: Some("*".to_owned()),
            hostname: Some("scheduler.example".to_owned()),
            ..v1::FrameworkInfo::default()
        };
        let suppressed = if self.manner == Manner::Probe { vec!["*".to_owned()] } else { Vec::new() };
        let subscribe = call::Subscribe {
            framework_info: Some(info),
            suppressed_roles: suppressed,
            ..call::Subscribe::default()
        };
        Call {
            framework_id: id,
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(subscribe),
            ..Call::default()
        }
    }

    /// A probe wants its task to run, unless the one before has not ended.
    pub(crate) fn wake(&mut self, now: Mono) -> Result<Option<Call>> {
        if self.since.is_some() || self.counts.finished < self.counts.launched {
            return Ok(None);
        }
        self.since = Some(now);
        self.call(call::Type::Revive).map(Some)
    }

    /// Hears one record of its stream.
    pub(crate) fn hear(&mut self, now: Mono, chance: &mut Chance, record: &[u8]) -> Result<Heard> {
        let event = wire::event(self.form, record)?;
        let mut heard = Heard::default();
        match event.r#type() {
            event::Type::Subscribed => {
                let id = event.subscribed.and_then(|subscribed| subscribed.framework_id);
                self.id = id.and_then(|id| id.value);
                heard.is_subscribed = true;
            }
            event::Type::Offers => self.on_offers(chance, event, &mut heard)?,
            event::Type::Update => self.on_update(now, event, &mut heard)?,
            event::Type::Failure => {
                let agent = event.failure.and_then(|failure| failure.agent_id).and_then(|id| id.value);
                heard.failed.extend(agent);
            }
            event::Type::Rescind => {}
            other => bail!("{} hears {other:?}", self.name),
        }
        Ok(heard)
    }

    fn on_offers(&mut self, chance: &mut Chance, event: Event, heard: &mut Heard) -> Result<()> {
        for offer in event.offers.context("an event of offers has them")?.offers {
            self.counts.offers += 1;
            let agent = offer.agent_id.and_then(|id| id.value).context("an offer has an agent")?;
            let room = self.room(&offer.resources);
            heard.offered.push((agent.clone(), room));
            let id = offer.id.context("an offer has an id")?;
            let count = match self.manner {
                Manner::Greedy => {
                    room.min(self.demand.per_offer).min(self.demand.tasks - self.counts.launched)
                }
                // One at a time, however many offers come together.
                Manner::Probe if self.counts.launched == self.counts.finished => room.min(1),
                Manner::Probe => 0,
            };
            if count == 0 {
                heard.calls.push(self.decline(id)?);
                continue;
            }
            let tasks = (0..count).map(|_| self.task(chance, &agent)).collect();
            heard.calls.push(self.accept(id, tasks)?);
            if self.manner == Manner::Probe {
                heard.calls.push(self.call(call::Type::Suppress)?);
            }
        }
        Ok(())
    }

    /// How many of its tasks fit.
    fn room(&self, resources: &[v1::Resource]) -> usize {
        let cpus = wire::amount(resources, "cpus") / self.demand.cpus;
        let mem = wire::amount(resources, "mem") / self.demand.mem;
        (cpus.min(mem) + 1e-6) as usize
    }

    fn task(&mut self, chance: &mut Chance, agent: &str) -> v1::TaskInfo {
        let (least, most) = self.demand.lasts;
        let mut lasts = chance.between(least, most);
        if self.counts.launched < self.demand.begun {
            lasts = chance.between(Duration::ZERO, lasts);
        }
        let seconds = lasts.as_secs_f64();
        self.counts.launched += 1;
        let name = format!("{}-task-{:07}", self.name, self.counts.launched);
        v1::TaskInfo {
            task_id: Some(v1::TaskId { value: Some(name.clone()) }),
            name: Some(name),
            agent_id: Some(v1::AgentId { value: Some(agent.to_owned()) }),
            resources: vec![wire::scalar("cpus", self.demand.cpus), wire::scalar("mem", self.demand.mem)],
            command: Some(v1::CommandInfo {
                value: Some(format!("sleep {seconds:.6}")),
                ..v1::CommandInfo::default()
            }),
            ..v1::TaskInfo::default()
        }
    }

    fn accept(&self, offer: v1::OfferId, tasks: Vec<v1::TaskInfo>) -> Result<Call> {
        let launch = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
            ..v1::offer::Operation::default()
        };
        let accept = call::Accept {
            offer_ids: vec![offer],
            operations: vec![launch],
            filters: Some(v1::Filters { refuse_seconds: Some(0.0) }),
        };
        Ok(Call { accept: Some(accept), ..self.call(call::Type::Accept)? })
    }

    fn decline(&self, offer: v1::OfferId) -> Result<Call> {
        let filters = Some(v1::Filters { refuse_seconds: Some(3_600.0) });
        let decline = call::Decline { offer_ids: vec![offer], filters };
        Ok(Call { decline: Some(decline), ..self.call(call::Type::Decline)? })
    }

    fn on_update(&mut self, now: Mono, event: Event, heard: &mut Heard) -> Result<()> {
        let status = event.update.and_then(|update| update.status).context("an update has a status")?;
        match status.state() {
            v1::TaskState::TaskRunning => {
                self.counts.running += 1;
                heard.running += 1;
                heard.probed = self.since.take().map(|since| now.since(since));
            }
            v1::TaskState::TaskFinished => self.counts.finished += 1,
            // Without a uuid: nobody waits for an acknowledgement.
            v1::TaskState::TaskLost if status.uuid.is_none() => {
                self.counts.lost += 1;
                return Ok(());
            }
            other => bail!("{} hears {other:?}: {:?}", self.name, status.message),
        }
        let acknowledge =
            call::Acknowledge { agent_id: status.agent_id, task_id: status.task_id, uuid: status.uuid };
        let call = self.call(call::Type::Acknowledge)?;
        heard.calls.push(Call { acknowledge: Some(acknowledge), ..call });
        Ok(())
    }

    fn call(&self, kind: call::Type) -> Result<Call> {
        let id = self.id.as_deref().context("only a subscribed framework calls")?;
        Ok(wire::call(kind, id))
    }
}
