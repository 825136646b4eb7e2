//! The stream of what changes in the cluster: the state first, then each change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapada_listener::{HttpResponse, stream};
use chapada_master_core::OperatorEvent;
use chapada_wire::v1::master::Event;
use chapada_wire::v1::master::event::{
    AgentAdded, AgentRemoved, FrameworkAdded, FrameworkRemoved, FrameworkUpdated, Subscribed, TaskAdded,
    TaskUpdated, Type,
};
use futures_util::StreamExt;
use http::StatusCode;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::view;
use crate::media::Media;
use crate::shell::{Led, Shell};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// Encoded events between us and the connection.
const BODY_QUEUE: usize = 16;
/// How long a reader may leave its socket unread before it is cut off.
const SEND_LIMIT: Duration = Duration::from_secs(30);

/// Opens the stream.
pub(super) fn open(shell: Arc<Shell>, led: Arc<Led>, media: Media) -> HttpResponse {
    let (body, records) = mpsc::channel(BODY_QUEUE);
    // Before the snapshot is taken, so that nothing falls between the two. What comes twice says the same.
    let news = led.core.follow();
    tokio::spawn(pump(shell, led, media, news, body));
    stream(StatusCode::OK, media.content_type(), ReceiverStream::new(records).map(Ok::<_, std::io::Error>))
}

async fn pump(
    shell: Arc<Shell>,
    led: Arc<Led>,
    media: Media,
    mut news: broadcast::Receiver<Arc<OperatorEvent>>,
    body: mpsc::Sender<Bytes>,
) {
    let first = Event {
        subscribed: Some(Subscribed {
            get_state: Some(view::state(&led.snapshot())),
            heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
        }),
        ..bare(Type::Subscribed)
    };
    let mut beat = tokio::time::interval(HEARTBEAT_INTERVAL);
    let mut next = Some(first);
    loop {
        if let Some(event) = next.take()
            && body.send_timeout(media.record(&event), SEND_LIMIT).await.is_err()
        {
            return;
        }
        next = tokio::select! {
            () = led.ended.cancelled() => return,
            () = shell.stop.cancelled() => return,
            () = body.closed() => return,
            _ = beat.tick() => Some(bare(Type::Heartbeat)),
            news = news.recv() => match news {
                Ok(event) => Some(wire(&event)),
                // Who falls this far behind has missed events and must ask for the state again.
                Err(_) => return,
            },
        };
    }
}

/// An event says only what changed, so it needs no books, which may be of a moment before or after.
fn wire(event: &OperatorEvent) -> Event {
    match event {
        OperatorEvent::TaskAdded(task) => {
            Event { task_added: Some(TaskAdded { task: Some(view::task(task)) }), ..bare(Type::TaskAdded) }
        }
        OperatorEvent::TaskUpdated { task, status } => Event {
            task_updated: Some(TaskUpdated {
                framework_id: Some((&task.framework).into()),
                status: Some((&**status).into()),
                state: Some(task.state.number()),
            }),
            ..bare(Type::TaskUpdated)
        },
        OperatorEvent::AgentAdded(agent) => Event {
            agent_added: Some(AgentAdded { agent: Some(view::agent(agent)) }),
            ..bare(Type::AgentAdded)
        },
        OperatorEvent::AgentRemoved(id) => Event {
            agent_removed: Some(AgentRemoved { agent_id: Some(id.into()) }),
            ..bare(Type::AgentRemoved)
        },
        OperatorEvent::FrameworkAdded(framework) => Event {
            framework_added: Some(FrameworkAdded { framework: Some(view::framework_alone(framework)) }),
            ..bare(Type::FrameworkAdded)
        },
        OperatorEvent::FrameworkUpdated(framework) => Event {
            framework_updated: Some(FrameworkUpdated { framework: Some(view::framework_alone(framework)) }),
            ..bare(Type::FrameworkUpdated)
        },
        OperatorEvent::FrameworkRemoved(framework) => Event {
            framework_removed: Some(FrameworkRemoved {
                framework_info: view::framework_alone(framework).framework_info,
            }),
            ..bare(Type::FrameworkRemoved)
        },
    }
}

fn bare(kind: Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}
