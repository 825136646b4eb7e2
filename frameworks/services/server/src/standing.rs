//! Whether it is this process' turn, and whose else.

use std::time::Duration;

use tokio::sync::watch;

/// How long a request waits for the turn to be known: a process that has just started soon knows.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

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
pub(crate) struct Turn(watch::Sender<Standing>);

impl Turn {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Standing::Unknown))
    }

    pub(crate) fn set(&self, standing: Standing) {
        self.0.send_replace(standing);
    }

    /// Waits a while until it is known.
    pub(crate) async fn known(&self) -> Standing {
        let mut standing = self.0.subscribe();
        let known = standing.wait_for(|standing| *standing != Standing::Unknown);
        match tokio::time::timeout(KNOWN_WITHIN, known).await {
            Ok(Ok(standing)) => standing.clone(),
            Ok(Err(_)) | Err(_) => Standing::Unknown,
        }
    }

    /// Whether it is this process' now.
    pub(crate) fn is_leading(&self) -> bool {
        *self.0.borrow() == Standing::Leading
    }
}
