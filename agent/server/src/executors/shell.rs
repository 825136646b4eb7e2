//! The loop's part in what executors say and hear.

use chapada_agent_core::{Event, Subscription, ToExecutor};
use chapada_model::ExecutorKey;
use chapada_wire::v1;

use super::{Answer, Asked, ExecutorCall, NotTaken, Speaker};
use crate::shell::Shell;

impl Shell {
    pub(crate) fn hear_executor(&mut self, call: ExecutorCall) {
        let ExecutorCall { executor, token, asked, reply } = call;
        let verdict = self.check_executor(&executor, token.as_deref(), &asked);
        let answer = verdict.map(|()| self.obey_executor(executor.clone(), asked));
        if let Err(Ok(Answer::Subscribed(opened))) = reply.send(answer) {
            // The caller went away before it had its stream.
            self.streams.close(&executor, opened.stream);
            self.apply(Event::ExecutorClosed { executor, stream: opened.stream });
        }
    }

    fn check_executor(
        &self,
        executor: &ExecutorKey,
        token: Option<&str>,
        asked: &Asked,
    ) -> Result<(), NotTaken> {
        if let Some(container) = self.agent.executor_container(executor)
            && !self.tokens.admits(container, token)
        {
            return Err(NotTaken::Unauthenticated);
        }
        match asked {
            // Taken at any time, and for nothing but to keep the connection busy.
            Asked::Heartbeat => Ok(()),
            Asked::Subscribe { .. } => Ok(self.agent.check_executor(executor, true)?),
            Asked::Update(_) | Asked::Message(_) => Ok(self.agent.check_executor(executor, false)?),
        }
    }

    fn obey_executor(&mut self, executor: ExecutorKey, asked: Asked) -> Answer {
        let event = match asked {
            Asked::Heartbeat => return Answer::Taken,
            Asked::Update(report) => Event::ExecutorUpdate { executor, report },
            Asked::Message(data) => Event::ExecutorSays { executor, data },
            Asked::Subscribe { tasks, updates } => {
                let opened = self.streams.open(&executor);
                tracing::info!(framework_id = %executor.framework, executor_id = %executor.executor, "an executor has subscribed");
                let stream = opened.stream;
                self.apply(Event::ExecutorSubscribed(Box::new(Subscription {
                    executor,
                    stream,
                    tasks,
                    updates,
                })));
                return Answer::Subscribed(opened);
            }
        };
        self.apply(event);
        Answer::Taken
    }

    pub(crate) fn tell_executor(&mut self, executor: &ExecutorKey, stream: u64, message: &ToExecutor) {
        let id = self.agent.id().map(|id| v1::AgentId { value: Some(id.to_string()) });
        let agent = v1::AgentInfo { id, ..self.who.info.clone() };
        let speaker = Speaker { agent, secrets: &self.secrets };
        self.streams.send(executor, stream, speaker.event(message));
    }
}
