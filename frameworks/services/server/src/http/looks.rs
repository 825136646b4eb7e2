//! Explanations and plans are matched with every agent that is known, on copies, beside the loop: of them only so many at once.

use std::sync::Arc;
use std::time::Duration;

use chapada_listener::HttpResponse;
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::error;

/// How many calls look at once: each holds a copy of what is offered.
const AT_ONCE: usize = 2;
/// How long another waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Looks(Arc<Semaphore>);

impl Default for Looks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// The turn of one call.
#[derive(Clone, Debug)]
pub(super) struct Look {
    _turn: Arc<OwnedSemaphorePermit>,
}

impl Looks {
    /// Waits for a turn, which begins before anything is copied.
    ///
    /// # Errors
    /// 503 when it took too long.
    pub(super) async fn turn(&self) -> Result<Look, HttpResponse> {
        let busy =
            || error(StatusCode::SERVICE_UNAVAILABLE, "too many explanations at once; try again later");
        let permit = timeout(PATIENCE, self.0.clone().acquire_owned()).await;
        Ok(Look { _turn: Arc::new(permit.map_err(|_| busy())?.map_err(|_| busy())?) })
    }
}

impl Look {
    /// Works something out where it holds up nobody. The turn lasts until that is done, also when the caller has left.
    ///
    /// # Errors
    /// 500 when it failed.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpResponse> {
        let turn = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let found = work();
            drop(turn);
            found
        });
        done.await.map_err(|why| error(StatusCode::INTERNAL_SERVER_ERROR, why))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_turn_lasts_until_its_work_is_done_though_nobody_waits_for_it() {
        let looks = Looks::default();
        let mut left = Vec::new();
        for _ in 0..AT_ONCE {
            let look = looks.turn().await.expect("there is room");
            let (end, wait) = mpsc::channel::<()>();
            assert!(poll!(pin!(look.beside(move || wait.recv()))).is_pending(), "it works");
            left.push(end);
        }
        let mut next = pin!(looks.turn());
        assert!(poll!(&mut next).is_pending(), "they have left, and their work goes on");
        left.pop();
        next.await.expect("one is done");
    }
}
