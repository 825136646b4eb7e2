//! Reads bodies as JSON. Of the large ones only so many are held as values at once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chapada_listener::{Call, HttpResponse, json};
use chapada_services_core::{FieldError, Refusal};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::{error, refusal};

/// Up to how many bytes a body need not wait for its turn. It takes a few MiB as values.
const SMALL: usize = 256 << 10;
/// How many larger ones are held as values at once: 8 MiB of small definitions, the most that the listener takes unless it is
/// told otherwise, were measured to take 110 MiB as values.
const LARGE_AT_ONCE: usize = 2;
/// How many more wait for that. Each holds its text.
const WAITING: usize = 8;
/// For how long. A large group is carried out in a few seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns of large bodies, and that of one call. It ends with the call.
#[derive(Clone)]
pub(crate) struct Bodies {
    /// Who is in it waits or has a place.
    line: Arc<Semaphore>,
    places: Arc<Semaphore>,
    turn: Arc<OnceLock<Turn>>,
}

/// To be dropped when the values are.
#[derive(Debug)]
struct Turn {
    _in_line: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            line: Arc::new(Semaphore::new(LARGE_AT_ONCE + WAITING)),
            places: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            turn: Arc::default(),
        }
    }
}

impl Bodies {
    /// The same turns, for another call.
    pub(crate) fn of_call(&self) -> Self {
        Self { turn: Arc::default(), ..self.clone() }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// The answer: the body is none that can be read, or 503 when too many large ones are at it.
    pub(crate) async fn read<T: DeserializeOwned>(&self, call: &Call) -> Result<T, HttpResponse> {
        let bytes = call.read_body().await.map_err(|why| {
            let message = why.to_string();
            error(why.into_response().status(), message)
        })?;
        self.take_turn(bytes.len()).await?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|why| {
            let body = json!({"message": "Invalid JSON", "details": why.to_string()});
            json(StatusCode::BAD_REQUEST, &body)
        })?;
        serde_json::from_value(value)
            .map_err(|why| refusal(&Refusal::WrongType(vec![FieldError::new("/", why.to_string())])))
    }

    /// Waits until a body of so many bytes may be held as values, for as long as the call lasts.
    ///
    /// # Errors
    /// 503 when as many wait as may, or it waited for too long.
    pub(crate) async fn take_turn(&self, bytes: usize) -> Result<(), HttpResponse> {
        if bytes <= SMALL {
            return Ok(());
        }
        let busy = || {
            let message = "too many large requests at once; try again later";
            error(StatusCode::SERVICE_UNAVAILABLE, message)
        };
        let in_line = self.line.clone().try_acquire_owned().map_err(|_| busy())?;
        let place = timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        let place = place.map_err(|_| busy())?.map_err(|_| busy())?;
        self.turn.get_or_init(|| Turn { _in_line: in_line, _place: place });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    const LARGE: usize = SMALL + 1;

    async fn holding(all: &Bodies) -> Bodies {
        let call = all.of_call();
        call.take_turn(LARGE).await.expect("there is room");
        call
    }

    #[tokio::test]
    async fn large_bodies_take_turns_and_small_ones_go_by() {
        let all = Bodies::default();
        let mut held = Vec::new();
        for _ in 0..LARGE_AT_ONCE {
            held.push(holding(&all).await);
        }
        let next = all.of_call();
        let mut waits = pin!(next.take_turn(LARGE));
        assert!(poll!(&mut waits).is_pending(), "as many as may are held");
        all.of_call().take_turn(SMALL).await.expect("no turn is needed");
        held.pop();
        waits.await.expect("a call has ended");
        let next = all.of_call();
        assert!(poll!(pin!(next.take_turn(LARGE))).is_pending(), "its turn lasts as long as its call");
    }

    #[tokio::test]
    async fn only_so_many_wait_and_who_gives_up_leaves_the_line() {
        let all = Bodies::default();
        let mut held = Vec::new();
        for _ in 0..LARGE_AT_ONCE {
            held.push(holding(&all).await);
        }
        let calls: Vec<Bodies> = (0..WAITING).map(|_| all.of_call()).collect();
        let mut waiting: Vec<_> = calls.iter().map(|call| Box::pin(call.take_turn(LARGE))).collect();
        for one in &mut waiting {
            assert!(poll!(one).is_pending());
        }
        let refused = all.of_call().take_turn(LARGE).await.expect_err("no room to wait");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        waiting.pop();
        let next = all.of_call();
        assert!(poll!(pin!(next.take_turn(LARGE))).is_pending(), "it waits in that one's stead");
    }
}
