//! A simulated agent: it speaks the link in the real codec, writes an update to its disk before it sends it, and keeps it
//! until it is acknowledged. What it runs is virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chapada_model::{Mono, Wall};
use chapada_wire::link::{self, Heartbeat, ToAgent, from_agent, to_agent};
use chapada_wire::v1;
use prost::Message as _;

use super::disk::Disk;
use super::host::Host;
use super::master::wall;
use super::network::Channel;
use super::wire::{Said, status, update};

/// From a launch to the first instruction of the task.
const START: Duration = Duration::from_millis(2);

/// A task of an agent. Its update is the last that was made.
struct Task {
    framework: Box<str>,
    id: Box<str>,
    /// The message that launched it, which is what is known of it.
    launch: Box<[u8]>,
    lasts: Duration,
    state: v1::TaskState,
    uuid: [u8; 16],
    /// Whether the update is not acknowledged.
    open: bool,
}

/// A machine with an agent on it.
#[derive(Default)]
pub(crate) struct AgentHost {
    pub(crate) host: Host,
    pub(crate) up: Channel,
    pub(crate) down: Channel,
    disk: Disk,
    pub(crate) id: Option<Box<str>>,
    /// Whether the master that leads has welcomed it.
    pub(crate) is_linked: bool,
    /// Since when nothing comes from it or reaches it.
    pub(crate) cut_off: Option<Mono>,
    tasks: Vec<Option<Task>>,
    /// How many tasks of each framework that it runs something for were over before.
    pub(crate) completed: usize,
    /// When what ended and was not offered again since ended, oldest first.
    pub(crate) freed: Vec<Mono>,
}

/// What an agent has to be done for it.
pub(crate) enum Need {
    /// The task's first instruction will run then.
    Run(Mono, u32),
    /// The task will end then.
    End(Mono, u32),
    /// The update will be on the disk then.
    Write(Mono, u32),
    /// This goes to the master.
    Send(Vec<u8>),
}

impl AgentHost {
    /// Obeys a message of the master.
    pub(crate) fn obey(&mut self, now: Mono, message: &[u8]) -> Result<Option<Need>> {
        let bytes = message;
        let message = ToAgent::decode(bytes)?.message.context("a message of the master")?;
        match message {
            to_agent::Message::Welcome(welcome) => {
                (self.id, self.is_linked) = (Some(welcome.agent_id.into()), true);
                let wanted = welcome.completed_tasks_wanted as usize;
                Ok((wanted > 0).then_some(Need::Send(self.completed_tasks(wanted)?)))
            }
            to_agent::Message::Launch(launch) => {
                let framework = launch.framework.and_then(|info| info.id).and_then(|id| id.value);
                let task = launch.task.context("a launch has a task")?;
                let id = task.task_id.and_then(|id| id.value).context("a task has an id")?;
                let command = task.command.and_then(|command| command.value).context("a command")?;
                let seconds = command.strip_prefix("sleep ").context("a command that sleeps")?.parse()?;
                ensure!(task.resources.iter().all(|resource| resource.allocation_info.is_some()));
                let task = Task {
                    framework: framework.context("a launch has a framework")?.into(),
                    id: id.into(),
                    launch: bytes.into(),
                    lasts: Duration::from_secs_f64(seconds),
                    state: v1::TaskState::TaskStaging,
                    uuid: [0; 16],
                    open: false,
                };
                let slot = self.put(task)?;
                // The launch itself is written down as well; the container starts meanwhile.
                self.disk.write(now);
                Ok(Some(Need::Run(now + START, slot)))
            }
            to_agent::Message::Acknowledge(acknowledge) => {
                self.acknowledge(&acknowledge.task_id, &acknowledge.uuid)?;
                Ok(None)
            }
            to_agent::Message::Heartbeat(_) | to_agent::Message::UpdateFramework(_) => Ok(None),
            other => bail!("the master says {other:?}"),
        }
    }

    fn put(&mut self, task: Task) -> Result<u32> {
        let free = self.tasks.iter().position(Option::is_none);
        match free {
            Some(slot) => self.tasks[slot] = Some(task),
            None => self.tasks.push(Some(task)),
        }
        Ok(u32::try_from(free.unwrap_or(self.tasks.len() - 1))?)
    }

    fn acknowledge(&mut self, task: &str, uuid: &[u8]) -> Result<()> {
        let known = |slot: &&mut Option<Task>| slot.as_ref().is_some_and(|known| *known.id == *task);
        let slot = self.tasks.iter_mut().find(known).context("an acknowledgement of an unknown task")?;
        if let Some(known) = slot.as_mut().filter(|known| known.uuid == *uuid) {
            known.open = false;
            if known.state == v1::TaskState::TaskFinished {
                *slot = None;
            }
        }
        Ok(())
    }

    fn task(&mut self, slot: u32) -> Result<&mut Task> {
        self.tasks.get_mut(slot as usize).and_then(Option::as_mut).context("a task of the agent")
    }

    /// A task enters a state: it is written down first.
    pub(crate) fn enter(&mut self, now: Mono, slot: u32, uuid: [u8; 16]) -> Result<Vec<Need>> {
        let written = self.disk.write(now);
        let task = self.task(slot)?;
        // It ends after its running is on the disk.
        let ends = (task.state == v1::TaskState::TaskStaging).then_some(written + task.lasts);
        task.state = match ends {
            Some(_) => v1::TaskState::TaskRunning,
            None => v1::TaskState::TaskFinished,
        };
        (task.uuid, task.open) = (uuid, true);
        let end = ends.map(|at| Need::End(at, slot));
        Ok([Some(Need::Write(written, slot)), end].into_iter().flatten().collect())
    }

    /// The update is on the disk and may be sent.
    pub(crate) fn written(&mut self, now: Mono, slot: u32) -> Result<Need> {
        let task = self.tasks.get(slot as usize).and_then(Option::as_ref).context("a task of the agent")?;
        let is_end = task.state == v1::TaskState::TaskFinished;
        let message = update(&self.said(task, wall(now))?);
        if is_end {
            self.freed.push(now);
        }
        Ok(Need::Send(message))
    }

    /// All that it holds, as one page, for a leader that knows nothing of it.
    pub(crate) fn holding(&self) -> Result<link::Holding> {
        let mut holding = link::Holding { last: true, ..link::Holding::default() };
        for task in self.tasks.iter().flatten() {
            let Some(to_agent::Message::Launch(launch)) = ToAgent::decode(&*task.launch)?.message else {
                bail!("a task is launched by a launch")
            };
            let status = status(&self.said(task, wall(Mono(1)))?);
            holding.tasks.push(link::HeldTask {
                framework_id: task.framework.to_string(),
                task: launch.task.unwrap_or_default().encode_to_vec().into(),
                latest: Some(status),
                acknowledged_state: (!task.open).then_some(task.state.into()),
                executor_id: String::new(),
            });
            if !holding.frameworks.iter().any(|known| launch.framework.as_ref() == Some(known)) {
                holding.frameworks.extend(launch.framework);
            }
        }
        Ok(holding)
    }

    /// What it tells of tasks that were over: of each framework as many as are wanted, each like one that it runs.
    fn completed_tasks(&self, wanted: usize) -> Result<Vec<u8>> {
        let mut completed = link::CompletedTasks::default();
        let mut of_framework = BTreeMap::new();
        for task in self.holding()?.tasks {
            of_framework.entry(task.framework_id.clone()).or_insert(task);
        }
        for task in of_framework.into_values() {
            let info = v1::TaskInfo::decode(&*task.task)?;
            let status = task.latest.clone().context("a task that runs has a status")?;
            let drawn =
                status.uuid.as_ref().and_then(|uuid| uuid.first_chunk()).context("an update has a name")?;
            let moment = f64::from(u32::from_be_bytes(*drawn)) / f64::from(u32::MAX);
            for number in 0..self.completed.min(wanted) {
                let id = Some(v1::TaskId { value: Some(format!("completed-{number:08}")) });
                let info = v1::TaskInfo { task_id: id.clone(), ..info.clone() };
                // One ended in each minute, by the agent at another moment of it; the first ended last.
                let timestamp = status.timestamp.map(|at| at - 60.0 * (number as f64 + moment));
                let state = Some(v1::TaskState::TaskFinished.into());
                let latest = Some(v1::TaskStatus { task_id: id, state, timestamp, ..status.clone() });
                completed.tasks.push(link::HeldTask {
                    task: info.encode_to_vec().into(),
                    latest,
                    ..task.clone()
                });
            }
        }
        Ok(super::wire::from_agent(from_agent::Message::CompletedTasks(completed)))
    }

    fn said<'a>(&'a self, task: &'a Task, at: Wall) -> Result<Said<'a>> {
        Ok(Said {
            framework: &task.framework,
            task: &task.id,
            agent: self.id.as_deref().context("an agent with tasks has an id")?,
            state: task.state,
            uuid: task.uuid,
            at: at.as_secs_f64(),
        })
    }

    /// The sign of life that a link carries whatever else is said on it.
    pub(crate) fn beat(&self) -> Vec<u8> {
        super::wire::from_agent(from_agent::Message::Heartbeat(Heartbeat {}))
    }

    /// How many updates wait for their acknowledgement.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.tasks.iter().flatten().filter(|task| task.open).count()
    }

    /// How many tasks it runs.
    pub(crate) fn running(&self) -> usize {
        let runs = |task: &&Task| task.state == v1::TaskState::TaskRunning;
        self.tasks.iter().flatten().filter(runs).count()
    }
}
