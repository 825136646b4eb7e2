//! Events as messages of the stream.

use chapada_master_core::{Batch, Position};
use chapada_wire::Media;
use chapada_wire::v1::master::event::{
    AgentAdded, AgentRemoved, FrameworkAdded, FrameworkRemoved, FrameworkUpdated, TaskAdded, TaskUpdated,
    Type,
};
use chapada_wire::v1::master::{self, Event};

use super::view;
use crate::feed::{Heard, News, Records, Written};

/// The records of what a follower is to hear: those of the whole batch, which all share, when it has had nothing of it.
pub(super) fn records(heard: &Heard, epoch: u64, media: Media) -> Records {
    let Heard { batch, had } = heard;
    if *had + 1 > batch.first {
        let (first, events) = batch.after(*had);
        return write(events, Position { epoch, sequence: first }, media);
    }
    let made = match media {
        Media::Json => &batch.made.json,
        Media::Protobuf => &batch.made.protobuf,
    };
    made.get_or_init(|| whole(batch, epoch, media)).clone()
}

fn whole(batch: &Batch<News, Written>, epoch: u64, media: Media) -> Records {
    write(&batch.events, Position { epoch, sequence: batch.first }, media)
}

fn write(events: &[News], first: Position, media: Media) -> Records {
    let record = |(news, sequence)| {
        let position = Some(position(Position { sequence, ..first }));
        media.record(&Event { position, ..event(news) })
    };
    events.iter().zip(first.sequence..).map(record).collect()
}

/// A position as clients see it.
pub(super) fn position(position: Position) -> master::Position {
    master::Position { epoch: Some(position.epoch), sequence: Some(position.sequence) }
}

/// An event says only what changed, so it needs no books, which may be of a moment before or after.
fn event(news: &News) -> Event {
    match news {
        News::TaskAdded(task) => {
            Event { task_added: Some(TaskAdded { task: Some(view::task(task)) }), ..bare(Type::TaskAdded) }
        }
        News::TaskUpdated { framework, status, state } => Event {
            task_updated: Some(TaskUpdated {
                framework_id: Some(framework.into()),
                status: Some((&**status).into()),
                state: Some(state.number()),
            }),
            ..bare(Type::TaskUpdated)
        },
        News::AgentAdded(agent) => Event {
            agent_added: Some(AgentAdded { agent: Some(view::agent(agent)) }),
            ..bare(Type::AgentAdded)
        },
        News::AgentRemoved(id) => Event {
            agent_removed: Some(AgentRemoved { agent_id: Some(id.into()) }),
            ..bare(Type::AgentRemoved)
        },
        News::FrameworkAdded(framework) => Event {
            framework_added: Some(FrameworkAdded { framework: Some(view::framework_alone(framework)) }),
            ..bare(Type::FrameworkAdded)
        },
        News::FrameworkUpdated(framework) => Event {
            framework_updated: Some(FrameworkUpdated { framework: Some(view::framework_alone(framework)) }),
            ..bare(Type::FrameworkUpdated)
        },
        News::FrameworkRemoved(framework) => Event {
            framework_removed: Some(FrameworkRemoved {
                framework_info: view::framework_alone(framework).framework_info,
            }),
            ..bare(Type::FrameworkRemoved)
        },
    }
}

/// An event of this type and nothing else.
pub(super) fn bare(kind: Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}
