//! Executes effects: each goes to the one queue it names, without ever waiting.

use std::collections::HashMap;
use std::sync::Arc;

use chapada_master_core::{AgentCommand, Effect, LinkId, SchedulerEvent, StreamId};
use chapada_model::{FrameworkId, Reason, TaskStatus};
use tokio::sync::mpsc;

use super::{Load, Outbox, ToScheduler, Writing};
use crate::feed::News;

/// The ways out of the loop.
pub(super) struct Outboxes {
    pub(super) streams: HashMap<StreamId, Outbox<ToScheduler>>,
    pub(super) links: HashMap<LinkId, Outbox<AgentCommand>>,
    /// Changes for the registry, sent on after each turn.
    pub(super) records: Vec<Writing>,
    /// Events for those who follow the cluster, sent on after each turn.
    pub(super) news: Vec<News>,
}

impl Outboxes {
    /// Carries out what came of one input. Updates of one scheduler that follow each other take one place in its queue: those
    /// that it asked for, and those repeated to a new subscription, are as many as it has tasks.
    pub(super) fn execute_all(&mut self, effects: Vec<Effect>) {
        self.execute_grouped(effects, |_| false);
    }

    /// As [`Outboxes::execute_all`], of what came of a RECONCILE: its answers are best effort. What the master says of its own accord may
    /// look the same and is said once, so that only who knows what came in can tell the two apart.
    pub(super) fn answer_all(&mut self, effects: Vec<Effect>) {
        self.execute_grouped(effects, is_answer);
    }

    fn execute_grouped(&mut self, effects: Vec<Effect>, is_answer: fn(&TaskStatus) -> bool) {
        let mut effects = effects.into_iter().peekable();
        while let Some(effect) = effects.next() {
            let Some((framework, stream, first)) = update(&effect) else {
                self.execute(effect);
                continue;
            };
            let (framework, stream, answers) = (framework.clone(), stream.clone(), is_answer(first));
            let mut statuses = vec![first.clone()];
            let of_the_same = |next: &Effect| {
                update(next).is_some_and(|(_, to, status)| *to == stream && is_answer(status) == answers)
            };
            while let Some(next) = effects.next_if(of_the_same) {
                statuses.extend(update(&next).map(|(_, _, status)| status.clone()));
            }
            match statuses.len() {
                1 => self.execute(effect),
                _ if answers => self.answer(framework, &stream, statuses),
                _ => self.tell(&framework.clone(), &stream, ToScheduler::Updates(framework, statuses)),
            }
        }
    }

    /// Puts answers to one reconciliation into a scheduler's queue, unless too many wait there.
    fn answer(&mut self, framework: FrameworkId, stream: &StreamId, statuses: Vec<Arc<TaskStatus>>) {
        let Some(outbox) = self.streams.get(stream) else { return };
        if outbox.answers.load(statuses.len()) {
            self.tell(&framework.clone(), stream, ToScheduler::Answers(framework, statuses));
        } else {
            tracing::info!(framework_id = %framework, tasks = statuses.len(), "reconciliation is not answered: earlier answers wait");
        }
    }

    /// Carries out one effect.
    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::ToFramework { framework, stream, event } => {
                let message = ToScheduler::Event(framework.clone(), event);
                self.tell(&framework, &stream, message);
            }
            Effect::RefuseStream { stream, code, message } => {
                // Its queue is empty: nothing was said on it before. Without this end of it, the stream ends too.
                let outbox = self.streams.remove(&stream);
                deliver(outbox.as_ref(), ToScheduler::Refused(code, message));
            }
            Effect::CloseStream { stream } => drop(self.streams.remove(&stream)),
            Effect::ToAgent { link, agent, command } => {
                if deliver(self.links.get(&link), command) == Delivery::TooSlow {
                    let agent_id = agent.map(|id| id.to_string());
                    tracing::warn!(agent_id, "cut off an agent that does not read its commands");
                    self.links.remove(&link);
                }
            }
            Effect::CloseLink { link } => drop(self.links.remove(&link)),
            Effect::Record { ticket, change } => self.records.push(Writing { ticket, change }),
            Effect::Operator(event) => self.news.push(event.into()),
            Effect::Dropped { what } => tracing::info!("{what}"),
            Effect::Warn { what } => tracing::warn!("{what}"),
        }
    }

    /// Puts something into a scheduler's queue; one that is full ends the stream.
    pub(super) fn tell(&mut self, framework: &FrameworkId, stream: &StreamId, message: ToScheduler) {
        if deliver(self.streams.get(stream), message) == Delivery::TooSlow {
            tracing::warn!(framework_id = %framework, "cut off a scheduler that does not read its events");
            self.streams.remove(stream);
        }
    }
}

/// An update of a task, and for whom.
fn update(effect: &Effect) -> Option<(&FrameworkId, &StreamId, &Arc<TaskStatus>)> {
    match effect {
        Effect::ToFramework { framework, stream, event: SchedulerEvent::Update(status) } => {
            Some((framework, stream, status))
        }
        _ => None,
    }
}

/// Of the updates that come of a RECONCILE.
fn is_answer(status: &TaskStatus) -> bool {
    status.reason == Some(Reason::Reconciliation) && status.uuid.is_none()
}

#[derive(PartialEq, Eq)]
enum Delivery {
    Done,
    TooSlow,
}

/// A peer that is gone counts as served: the end of its connection is on its way in as an event.
fn deliver<T: Load>(outbox: Option<&Outbox<T>>, message: T) -> Delivery {
    let Some(outbox) = outbox else { return Delivery::Done };
    let freight = message.freight();
    if freight > 0 && !outbox.freight.load(freight) {
        tracing::info!(bytes = freight, "dropped a message for a peer that does not read its messages");
        return Delivery::Done;
    }
    match outbox.sender.try_send(message) {
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Delivery::Done,
        Err(mpsc::error::TrySendError::Full(_)) => {
            outbox.cut.cancel();
            Delivery::TooSlow
        }
    }
}

#[cfg(test)]
mod tests {
    use chapada_model::{TaskState, UpdateUuid};
    use tokio_util::sync::CancellationToken;

    use super::super::{Answers, Freight, STREAM_QUEUE};
    use super::*;

    fn reader() -> (Outboxes, mpsc::Receiver<ToScheduler>, CancellationToken, Answers) {
        let (sender, queue) = mpsc::channel(STREAM_QUEUE);
        let (cut, answers) = (CancellationToken::new(), Answers::default());
        let outbox =
            Outbox { sender, cut: cut.clone(), freight: Freight::default(), answers: answers.clone() };
        let streams = HashMap::from([(StreamId("s".into()), outbox)]);
        let (records, news) = (Vec::new(), Vec::new());
        (Outboxes { streams, links: HashMap::new(), records, news }, queue, cut, answers)
    }

    fn updates(count: usize, reason: Reason, uuid: Option<UpdateUuid>) -> Vec<Effect> {
        let status = |number: usize| TaskStatus {
            reason: Some(reason),
            uuid,
            ..TaskStatus::new(format!("t{number}").parse().unwrap(), TaskState::Running)
        };
        let effect = |number| Effect::ToFramework {
            framework: "f".parse().unwrap(),
            stream: StreamId("s".into()),
            event: SchedulerEvent::Update(status(number).into()),
        };
        (0..count).map(effect).collect()
    }

    #[test]
    fn who_asks_for_more_tasks_than_may_wait_is_not_cut_off() {
        let (mut outboxes, mut queue, cut, answers) = reader();
        let asked = || updates(2 * STREAM_QUEUE, Reason::Reconciliation, None);
        outboxes.answer_all(asked());
        outboxes.answer_all(asked());
        assert!(!cut.is_cancelled());
        let Some(ToScheduler::Answers(_, first)) = queue.try_recv().ok() else { panic!("no answers") };
        assert_eq!(first.len(), 2 * STREAM_QUEUE);
        assert_eq!(first[1].task.as_str(), "t1", "in order");
        assert!(queue.try_recv().is_err(), "the second question came while the first was being answered");
        first.iter().for_each(|_| answers.unload());
        outboxes.answer_all(asked());
        assert!(queue.try_recv().is_ok(), "and is answered afterwards");
    }

    #[test]
    fn what_nobody_asked_for_is_said_however_many_answers_wait() {
        let (mut outboxes, mut queue, cut, _) = reader();
        outboxes.answer_all(updates(STREAM_QUEUE, Reason::Reconciliation, None));
        let _answers = queue.try_recv().expect("it was asked for");
        // Ends of tasks that their agent does not have.
        outboxes.execute_all(updates(STREAM_QUEUE, Reason::Reconciliation, None));
        let said = queue.try_recv();
        assert!(matches!(&said, Ok(ToScheduler::Updates(_, all)) if all.len() == STREAM_QUEUE));
        // Nor is what else comes of a question an answer.
        outboxes.answer_all(updates(2, Reason::AgentRemoved, None));
        assert!(matches!(queue.try_recv(), Ok(ToScheduler::Updates(_, all)) if all.len() == 2));
        assert!(!cut.is_cancelled());
    }

    #[test]
    fn updates_that_are_repeated_to_a_new_subscription_take_one_place_and_others_one_each() {
        let (mut outboxes, mut queue, cut, _) = reader();
        outboxes.execute_all(updates(
            STREAM_QUEUE + 1,
            Reason::CommandExecutorFailed,
            Some(UpdateUuid([1; 16])),
        ));
        assert!(!cut.is_cancelled());
        assert!(
            matches!(queue.try_recv(), Ok(ToScheduler::Updates(_, all)) if all.len() == STREAM_QUEUE + 1)
        );
        for _ in 0..=STREAM_QUEUE {
            outboxes.execute_all(updates(1, Reason::CommandExecutorFailed, None));
        }
        assert!(cut.is_cancelled());
    }
}
