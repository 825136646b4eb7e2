//! Probes of running tasks: made from inside the network of the task, each on its own, bounded in time, and dropped as
//! soon as nobody waits for the answer. What an answer means is decided in `agent/core`.

mod http;
mod network;
mod plan;
mod tls;

pub(crate) use plan::watch_of;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Answer, Event, Purpose, TaskRecord};
use chapada_model::ContainerId;
use chapada_wire::v1;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use plan::{Question, question};

/// No probe takes longer, also of a task that sets no limit: a connection is not kept for ever.
const LONGEST: Duration = Duration::from_secs(3600);

/// Asks tasks how they are. At most one probe for each check of a task is out at a time, which the core sees to.
#[derive(Debug)]
pub(crate) struct Prober {
    events: mpsc::Sender<Event>,
    /// What ends the probes of a container.
    out: HashMap<ContainerId, CancellationToken>,
}

impl Prober {
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, out: HashMap::new() }
    }

    /// Asks, and passes the answer on as an event.
    pub(crate) fn ask(
        &mut self,
        task: &Arc<TaskRecord>,
        pid: u32,
        purpose: Purpose,
        limit: Option<Duration>,
    ) {
        let stop = self.out.entry(task.container.clone()).or_default().clone();
        let (task, events) = (task.clone(), self.events.clone());
        tokio::spawn(async move {
            let asking = async {
                let answer = answer(&task, pid, purpose, limit.unwrap_or(LONGEST).min(LONGEST)).await;
                tracing::trace!(task_id = %task.key.task, ?purpose, ?answer, "probed");
                let event = Event::Probed { container: task.container.clone(), purpose, answer };
                if events.send(event).await.is_err() {
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

async fn answer(task: &TaskRecord, pid: u32, purpose: Purpose, limit: Duration) -> Answer {
    let Ok(info) = v1::TaskInfo::decode(task.info.as_bytes()) else {
        return Answer::Nothing("the task's description cannot be read".to_owned());
    };
    let Some(question) = question(&info, purpose) else {
        return Answer::Nothing("the check's description makes no sense".to_owned());
    };
    let network = network::of(&info, pid);
    let asking = async {
        match &question {
            Question::Tcp(address) => match network::connect(network, *address).await {
                Ok(_connection) => Answer::Connected(true),
                Err(network::ConnectError::Refused(_)) => Answer::Connected(false),
                Err(error) => Answer::Nothing(error.to_string()),
            },
            Question::Http { address, tls, path } => {
                let target = http::Target { address: *address, tls: *tls, path: path.clone() };
                match http::get(network, target).await {
                    Ok(status) => Answer::Status(status),
                    Err(error) => Answer::Nothing(error.to_string()),
                }
            }
        }
    };
    let answered = timeout(limit, asking).await;
    answered.unwrap_or_else(|_| Answer::Nothing(format!("no answer within {limit:?}")))
}
