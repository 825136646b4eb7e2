//! Whether it is this process' turn, and whose else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// How long a request waits for the turn to be known: after a hand-over it soon is.
///
/// Source: Marathon asks ten times, 250 ms apart.
const KNOWN_WITHIN: Duration = Duration::from_millis(2_500);

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not known yet.
    Unknown,
    /// This process'.
    Leading,
    /// Another's; its address.
    Following(String),
}

/// Tells whose turn it is. Clones tell the same.
#[derive(Clone)]
pub(crate) struct Turn {
    standing: watch::Sender<(Standing, Instant)>,
    given_up: Arc<Notify>,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self { standing: watch::Sender::new((Standing::Unknown, Instant::now())), given_up: Arc::default() }
    }

    pub(crate) fn set(&self, standing: Standing) {
        self.standing.send_replace((standing, Instant::now()));
    }

    /// Waits a while until it is known.
    pub(crate) async fn known(&self) -> Standing {
        let mut standing = self.standing.subscribe();
        let known = standing.wait_for(|(standing, _)| *standing != Standing::Unknown);
        match tokio::time::timeout(KNOWN_WITHIN, known).await {
            Ok(Ok(known)) => known.0.clone(),
            Ok(Err(_)) | Err(_) => Standing::Unknown,
        }
    }

    /// Whose it is now.
    pub(crate) fn now(&self) -> Standing {
        self.standing.borrow().0.clone()
    }

    /// Whether it is this process' now.
    pub(crate) fn is_leading(&self) -> bool {
        self.now() == Standing::Leading
    }

    /// For how many seconds it has been this process', if it is.
    pub(crate) fn leading_for(&self) -> Option<u64> {
        let now = self.standing.borrow();
        (now.0 == Standing::Leading).then(|| now.1.elapsed().as_secs())
    }

    /// Ends this process' turn soon, if it is its turn.
    pub(crate) fn give_up(&self) {
        if self.is_leading() {
            self.given_up.notify_one();
        }
    }

    /// Waits until the turn shall end.
    pub(crate) async fn given_up(&self) {
        self.given_up.notified().await;
    }
}
