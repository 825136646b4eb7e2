//! Executes effects: each goes to the one queue it names, without ever waiting.

use std::collections::HashMap;

use chapada_master_core::{AgentCommand, Effect, LinkId, StreamId};
use chapada_model::FrameworkId;
use tokio::sync::mpsc;

use super::{Load, Outbox, ToScheduler, Writing};
use crate::feed::News;

/// The ways out of the loop.
pub(super) struct Outboxes {
    pub(super) streams: HashMap<StreamId, Outbox<ToScheduler>>,
    pub(super) links: HashMap<LinkId, Outbox<AgentCommand>>,
    /// Changes for the registry, sent on after each batch.
    pub(super) records: Vec<Writing>,
    /// Events for those who follow the cluster, sent on after each batch.
    pub(super) news: Vec<News>,
}

impl Outboxes {
    /// Carries out one effect.
    pub(super) fn execute(&mut self, effect: Effect) {
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
