//! A master with many agents and tasks.

use std::fmt;

use anyhow::{Context, Result};
use chapada_wire::link;
use chapada_wire::v1::TaskState;
use prost::Message as _;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::fleet::{Agent, Connections, Described, framework, status, task};

/// How many ended tasks of a framework a master remembers.
const REMEMBERED: usize = 1_000;

/// How much a master is to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    pub(super) agents: usize,
    /// Live tasks an agent.
    pub(super) live: usize,
    /// Ended tasks an agent.
    pub(super) ended: usize,
}

impl fmt::Display for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousands = |each: usize| self.agents * each / 1_000;
        write!(f, "{}x{}k+{}k", self.agents, thousands(self.live), thousands(self.ended))
    }
}

/// What was found in a `/state`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) agents: usize,
    pub(super) live: usize,
    pub(super) ended: usize,
}

#[derive(Deserialize)]
struct State {
    slaves: Vec<IgnoredAny>,
    frameworks: Vec<Framework>,
}

#[derive(Deserialize)]
struct Framework {
    tasks: Vec<Task>,
    completed_tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    state: String,
}

impl Filled {
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        let state: State = serde_json::from_slice(body).context("/state is no JSON")?;
        let count = |tasks: fn(&Framework) -> &Vec<Task>, wanted: &str| {
            let tasks = state.frameworks.iter().flat_map(tasks);
            tasks.filter(|task| task.state == wanted).count()
        };
        Ok(Self {
            agents: state.slaves.len(),
            live: count(|framework| &framework.tasks, "TASK_RUNNING"),
            ended: count(|framework| &framework.completed_tasks, "TASK_FINISHED"),
        })
    }
}

/// Agents state what they run; then some of it ends, without an acknowledgement, so that it is history at once. None has
/// anything left to offer.
pub(super) async fn fill(at: &str, filling: Filling) -> Result<(Connections, Vec<Agent>)> {
    let frameworks = (filling.agents * filling.ended).div_ceil(REMEMBERED).max(1);
    let mut connections = Connections::to(at);
    let mut agents = Vec::with_capacity(filling.agents);
    for number in 0..filling.agents {
        let id = format!("bench-S{number}");
        let own = format!("bench-F{}", number % frameworks);
        let names = (0..filling.live + filling.ended).map(|each| format!("task-{number}-{each}"));
        let (cpus, mem) = (0.1, 32.0);
        let tasks = names.enumerate().map(|(each, name)| link::HeldTask {
            framework_id: own.clone(),
            // What is to end takes too little to be offered once it has.
            task: match each < filling.live {
                true => task(&name, &id, cpus, mem),
                false => task(&name, &id, 0.0, 0.001),
            }
            .encode_to_vec()
            .into(),
            latest: Some(status(&id, &name, TaskState::TaskRunning, Some(1 + each as u64))),
            ..link::HeldTask::default()
        });
        let described = Described {
            number,
            cpus: cpus * filling.live as f64,
            mem: mem * filling.live as f64 + 0.001 * filling.ended as f64,
            tasks: tasks.collect(),
            frameworks: vec![framework(&own)],
        };
        agents.push(connections.agent(described).await?);
    }
    for (number, agent) in agents.iter_mut().enumerate() {
        agent.welcomed().await?;
        let own = format!("bench-F{}", number % frameworks);
        for each in filling.live..filling.live + filling.ended {
            let ended = status(&agent.id, &format!("task-{number}-{each}"), TaskState::TaskFinished, None);
            agent.update(&own, ended).await?;
        }
    }
    Ok((connections, agents))
}
