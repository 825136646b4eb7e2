//! Long lists: read from the loop in turns of bounded work, so that nobody else waits long, and sent as they are read. With
//! `limit` an answer is a page of so many items, those whose ids come after `after`.

use bytes::Bytes;
use chapada_listener::{HttpResponse, Query, stream as answer_stream};
use http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::answer::{self, Answer, ok, unavailable};
use crate::handle::{ServicesHandle, Unavailable};
use crate::seen::Seen;

/// The longest page.
const MAX_LIMIT: usize = 1_000;

/// What one turn has found.
pub(crate) struct Turn<C, I = Value> {
    pub(crate) items: Vec<I>,
    /// Where the next turn goes on; none at the end.
    pub(crate) next: Option<C>,
}

/// How many items are wanted; `None` for all.
pub(crate) fn limit(query: &Query) -> Result<Option<usize>, HttpResponse> {
    let Some(text) = query.get("limit") else { return Ok(None) };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.map(Some).ok_or_else(|| answer::invalid("/limit", "must be a number from 1 to 1000"))
}

/// The list `name`. `turn` finds at most so many items from a place on, and looks at a bounded number of those it passes
/// over.
pub(crate) async fn list<C, T>(
    services: &ServicesHandle,
    name: &'static str,
    limit: Option<usize>,
    from: Option<C>,
    turn: T,
) -> Answer
where
    C: Send + 'static,
    T: Fn(&Seen, Option<C>, usize) -> Turn<C> + Clone + Send + Sync + 'static,
{
    let reader = Reader { services: services.clone(), turn };
    let mut first = reader.read(from, limit.unwrap_or(usize::MAX)).await.map_err(unavailable)?;
    if let Some(limit) = limit {
        while first.items.len() < limit
            && let Some(next) = first.next.take()
        {
            let left = limit - first.items.len();
            let more = reader.read(Some(next), left).await.map_err(unavailable)?;
            first.items.extend(more.items);
            first.next = more.next;
        }
        first.next = None;
    }
    match first.next {
        None => ok(&Value::Object(Map::from_iter([(name.to_owned(), Value::Array(first.items))]))),
        Some(_) => Ok(answer_stream(StatusCode::OK, "application/json", reader.send(name, first))),
    }
}

struct Reader<T> {
    services: ServicesHandle,
    turn: T,
}

impl<T> Reader<T> {
    async fn read<C>(&self, from: Option<C>, most: usize) -> Result<Turn<C>, Unavailable>
    where
        C: Send + 'static,
        T: Fn(&Seen, Option<C>, usize) -> Turn<C> + Clone + Send + 'static,
    {
        let turn = self.turn.clone();
        self.services.read(move |seen, _| turn(seen, from, most)).await
    }

    /// The rest follows as the client reads. It is cut short when the loop does not answer, which an ending without the last
    /// chunk tells the client.
    fn send<C>(
        self,
        name: &'static str,
        first: Turn<C>,
    ) -> impl futures_util::Stream<Item = Result<Bytes, Unavailable>> + Send + Sync
    where
        C: Send + 'static,
        T: Fn(&Seen, Option<C>, usize) -> Turn<C> + Clone + Send + Sync + 'static,
    {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut text = format!("{{\"{name}\":[").into_bytes();
            let mut turn = first;
            let mut begun = false;
            loop {
                for item in turn.items {
                    if std::mem::replace(&mut begun, true) {
                        text.push(b',');
                    }
                    text.extend_from_slice(item.to_string().as_bytes());
                }
                let next = turn.next.take();
                if next.is_none() {
                    text.extend_from_slice(b"]}");
                }
                if sender.send(Ok(std::mem::take(&mut text).into())).await.is_err() {
                    return;
                }
                let Some(next) = next else { return };
                turn = match self.read(Some(next), usize::MAX).await {
                    Ok(turn) => turn,
                    Err(why) => {
                        let told = sender.send(Err(why)).await;
                        return tracing::debug!(%why, told = told.is_ok(), "a list was cut short");
                    }
                };
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(receiver)
    }
}
