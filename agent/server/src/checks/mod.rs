//! Probes of running tasks: made from inside the network, or the container, of the task, each on its own, bounded in time, and dropped as
//! soon as nobody waits for the answer. What an answer means is decided in `agent/core`.

mod command;
mod http;
mod network;
mod plan;
mod tls;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Answer, Event, Purpose, TaskRecord};
use chapada_model::{AgentId, ContainerId};
use chapada_wire::v1;
use prost::Message;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::containers::{Means, beside};
use plan::{Question, question};

/// No probe takes longer, also of a task that sets no limit: a connection is not kept for ever.
const LONGEST: Duration = Duration::from_secs(3600);

/// Asks tasks how they are. At most one probe for each check of a task is out at a time, which the core sees to.
#[derive(Debug)]
pub(crate) struct Prober {
    means: Arc<Means>,
    /// What ends the probes of a container.
    out: HashMap<ContainerId, CancellationToken>,
}

/// One probe.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) agent: AgentId,
    pub(crate) task: Arc<TaskRecord>,
    /// The container's first process.
    pub(crate) pid: u32,
    pub(crate) purpose: Purpose,
    /// How long it may take.
    pub(crate) limit: Option<Duration>,
}

impl Prober {
    pub(crate) fn new(means: Arc<Means>) -> Self {
        Self { means, out: HashMap::new() }
    }

    /// Asks, and passes the answer on as an event.
    pub(crate) fn ask(&mut self, probe: Probe) {
        let stop = self.out.entry(probe.task.container.clone()).or_default().clone();
        let means = self.means.clone();
        tokio::spawn(async move {
            let asking = async {
                let limit = probe.limit.unwrap_or(LONGEST).min(LONGEST);
                let answered = timeout(limit, answer(&means, &probe)).await;
                let answer =
                    answered.unwrap_or_else(|_| Answer::Nothing(format!("no answer within {limit:?}")));
                let Probe { task, purpose, .. } = probe;
                tracing::trace!(task_id = %task.key.task, ?purpose, ?answer, "probed");
                let event = Event::Probed { container: task.container.clone(), purpose, answer };
                if means.events.send(event).await.is_err() {
                    tracing::debug!("the agent has stopped");
                }
            };
            stop.run_until_cancelled(asking).await
        });
    }

    /// Nobody waits for answers of this container any more.
    pub(crate) fn end(&mut self, container: &ContainerId) {
        if let Some(stop) = self.out.remove(container) {
            stop.cancel();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.out.values().for_each(CancellationToken::cancel);
    }
}

async fn answer(means: &Means, probe: &Probe) -> Answer {
    let Ok(info) = v1::TaskInfo::decode(probe.task.info.as_bytes()) else {
        return Answer::Nothing("the task's description cannot be read".to_owned());
    };
    let Some(question) = question(&info, probe.purpose) else {
        return Answer::Nothing("the check's description makes no sense".to_owned());
    };
    let network = network::of(&means.supplies.networks, &probe.task, probe.pid, means.settings.port);
    match question {
        Question::Tcp(address) => match network::connect(network, address).await {
            Ok(_connection) => Answer::Connected(true),
            Err(network::ConnectError::Refused(_)) => Answer::Connected(false),
            Err(error) => Answer::Nothing(error.to_string()),
        },
        Question::Http { address, tls, path } => {
            match http::get(network, http::Target { address, tls, path }).await {
                Ok(status) => Answer::Status(status),
                Err(error) => Answer::Nothing(error.to_string()),
            }
        }
        Question::Command(check) => match beside(means, &probe.agent, &probe.task, &check) {
            Ok(spec) => command::run(&means.runtime_dir.join(probe.task.container.as_str()), &spec).await,
            Err(problem) => Answer::Nothing(problem),
        },
    }
}
