//! Simulated agents that say of every task that it runs, until they are told to kill it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, ensure};
use chapada_harness::Cluster;
use chapada_wire::link::{Launch, to_agent};
use chapada_wire::v1::TaskState;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::wait::{wait, when};
use crate::loopback::fleet::{Agent, Connections, Described, status};
use crate::loopback::runtime;

/// Things to say that may wait.
const QUEUE: usize = 1_024;

/// What an agent is asked to say: something new of each of its tasks in turn, with this message.
pub(super) type Say = String;

/// Agents at work, on a thread of their own; they end with their master.
pub(super) struct Crowd {
    running: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<()>>>,
    say: mpsc::Sender<Say>,
}

impl Crowd {
    /// So many agents, each with room for so many tasks of 0.1 CPUs and 32 MiB. All are registered when this returns.
    pub(super) fn start(cluster: &Cluster, agents: usize, slots: usize) -> Result<Self> {
        let leader = cluster.leader().map_err(anyhow::Error::msg)?;
        let at = cluster.master_host_port(leader).to_owned();
        let running = Arc::new(AtomicUsize::new(0));
        let (count, (say, said)) = (running.clone(), mpsc::channel(QUEUE));
        let (ready, registered) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime()?.block_on(async move {
                let (mut connections, mut at_work) =
                    (Connections::to(&at).on_host("127.0.0.1"), JoinSet::new());
                let mut said = Some(said);
                for number in 0..agents {
                    let (cpus, mem) = (slots as f64 * 0.1, slots as f64 * 32.0);
                    let described =
                        Described { number, cpus, mem, tasks: Vec::new(), frameworks: Vec::new() };
                    let mut agent = connections.agent(described).await?;
                    agent.welcomed().await?;
                    let (uuid, tasks, unacknowledged) =
                        ((number as u64) << 32, HashMap::new(), HashSet::new());
                    let member = Member { agent, uuid, tasks, unacknowledged };
                    at_work.spawn(member.work(count.clone(), said.take()));
                }
                ready.send(()).context("nobody waits for the agents")?;
                while at_work.join_next().await.is_some() {}
                Ok(())
            })
        });
        if registered.recv().is_err() {
            thread.join().map_err(|_| anyhow!("the agents panicked"))??;
            return Err(anyhow!("the agents ended"));
        }
        Ok(Self { running, thread: Some(thread), say })
    }

    /// How many tasks run, by the agents.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Waits until so many tasks run.
    pub(super) fn wait_for(&self, count: usize) -> Result<()> {
        wait(|| {
            let running = self.running();
            Ok(when(running == count, || format!("{running} tasks run, not {count},")))
        })
    }

    /// Has the first agent say something new of one of its tasks.
    pub(super) fn say(&self, message: String) -> Result<()> {
        self.say.blocking_send(message).context("the agents have ended")
    }

    /// To be called when the master is gone.
    pub(super) fn finish(mut self) -> Result<()> {
        let thread = self.thread.take().context("there are agents")?;
        thread.join().map_err(|_| anyhow!("the agents panicked"))?
    }
}

struct Member {
    agent: Agent,
    uuid: u64,
    /// Its tasks, each with its framework and whether it was last said to be well.
    tasks: HashMap<String, (String, bool)>,
    /// The tasks whose last update was not acknowledged: as a real agent it says nothing more of them until it is.
    unacknowledged: HashSet<String>,
}

impl Member {
    async fn work(mut self, running: Arc<AtomicUsize>, mut said: Option<mpsc::Receiver<Say>>) -> Result<()> {
        loop {
            let message = async {
                match &mut said {
                    Some(said) => said.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = self.agent.commands.message() => {
                    let Ok(Some(command)) = command else { return Ok(()) };
                    self.obey(command.message, &running).await?;
                }
                message = message, if self.can_tell() => match message {
                    Some(message) => self.tell(message).await?,
                    None => said = None,
                },
            }
        }
    }

    async fn obey(&mut self, command: Option<to_agent::Message>, running: &AtomicUsize) -> Result<()> {
        match command {
            Some(to_agent::Message::Launch(Launch { framework, task, .. })) => {
                let framework = framework.and_then(|framework| framework.id?.value).unwrap_or_default();
                let task = task.and_then(|task| task.task_id?.value).unwrap_or_default();
                self.update(&framework, &task, TaskState::TaskRunning).await?;
                ensure!(self.tasks.insert(task, (framework, false)).is_none(), "a task was launched twice");
                running.fetch_add(1, Ordering::AcqRel);
            }
            Some(to_agent::Message::Kill(kill)) if self.tasks.remove(&kill.task_id).is_some() => {
                self.update(&kill.framework_id, &kill.task_id, TaskState::TaskKilled).await?;
                running.fetch_sub(1, Ordering::AcqRel);
            }
            Some(to_agent::Message::Acknowledge(acknowledge)) => {
                self.unacknowledged.remove(&acknowledge.task_id);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether there is a task of which something new may be said.
    fn can_tell(&self) -> bool {
        self.tasks.len() > self.unacknowledged.len()
    }

    async fn update(&mut self, framework: &str, task: &str, state: TaskState) -> Result<()> {
        self.uuid += 1;
        self.unacknowledged.insert(task.to_owned());
        self.agent.update(framework, status(&self.agent.id, task, state, Some(self.uuid))).await
    }

    async fn tell(&mut self, message: String) -> Result<()> {
        self.uuid += 1;
        let mut acknowledged = self.tasks.iter_mut().filter(|(task, _)| !self.unacknowledged.contains(*task));
        let (task, (framework, well)) = acknowledged.next().context("it may say something")?;
        self.unacknowledged.insert(task.clone());
        *well = !*well;
        let mut status = status(&self.agent.id, task, TaskState::TaskRunning, Some(self.uuid));
        (status.message, status.healthy) = (Some(message), Some(*well));
        self.agent.update(framework, status).await
    }
}
