//! What executors are told, on the wire.

use chapada_agent_core::{ExecutorRecord, TaskRecord, ToExecutor};
use chapada_model::KillPolicy;
use chapada_wire::v1;
use chapada_wire::v1::executor::Event;
use chapada_wire::v1::executor::event::{Acknowledged, Kill, Launch, LaunchGroup, Message, Subscribed, Type};
use prost::Message as _;

use crate::secrets::Secrets;

/// What events say of the agent.
#[derive(Debug)]
pub(crate) struct Speaker<'a> {
    pub(crate) agent: v1::AgentInfo,
    /// Those of the tasks: what an executor runs, it runs with them.
    pub(crate) secrets: &'a Secrets,
}

impl Speaker<'_> {
    /// An event on the wire.
    pub(crate) fn event(&self, message: &ToExecutor) -> Event {
        match message {
            ToExecutor::Subscribed { executor, framework } => Event {
                subscribed: Some(Subscribed {
                    executor_info: Some(executor_info(executor)),
                    framework_info: v1::FrameworkInfo::decode(framework.info.as_bytes()).ok(),
                    agent_info: Some(self.agent.clone()),
                    container_id: Some((&executor.container).into()),
                }),
                ..bare(Type::Subscribed)
            },
            ToExecutor::Launch(task) => {
                Event { launch: Some(Launch { task: Some(self.task_info(task)) }), ..bare(Type::Launch) }
            }
            ToExecutor::LaunchGroup(tasks) => {
                let tasks = tasks.iter().map(|task| self.task_info(task)).collect();
                let task_group = Some(v1::TaskGroupInfo { tasks });
                Event { launch_group: Some(LaunchGroup { task_group }), ..bare(Type::LaunchGroup) }
            }
            ToExecutor::Kill { task, grace } => {
                let policy = grace.map(|grace| KillPolicy { grace_period: Some(grace) });
                let kill_policy = policy.as_ref().map(Into::into);
                Event { kill: Some(Kill { task_id: Some(task.into()), kill_policy }), ..bare(Type::Kill) }
            }
            ToExecutor::Acknowledged { task, uuid } => {
                let (task_id, uuid) = (Some(task.into()), Some(uuid.0.to_vec()));
                Event { acknowledged: Some(Acknowledged { task_id, uuid }), ..bare(Type::Acknowledged) }
            }
            ToExecutor::Message(data) => {
                let data = Some(data.as_bytes().to_vec());
                Event { message: Some(Message { data }), ..bare(Type::Message) }
            }
            ToExecutor::Shutdown => bare(Type::Shutdown),
        }
    }

    fn task_info(&self, task: &TaskRecord) -> v1::TaskInfo {
        let mut info = v1::TaskInfo::decode(task.info.as_bytes()).unwrap_or_default();
        if !self.secrets.reveal(&task.info, &mut info) {
            tracing::warn!(task_id = %task.key.task, "the values of a task's secrets are gone since the agent was restarted");
        }
        info
    }
}

/// A sign of life.
pub(crate) fn heartbeat() -> Event {
    bare(Type::Heartbeat)
}

/// The executor's description, with whose it is.
fn executor_info(executor: &ExecutorRecord) -> v1::ExecutorInfo {
    let mut info = v1::ExecutorInfo::decode(executor.info.as_bytes()).unwrap_or_default();
    info.framework_id.get_or_insert_with(|| (&executor.key.framework).into());
    info
}

fn bare(kind: Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}
