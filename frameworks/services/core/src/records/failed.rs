//! How an app last failed, and how long it waits for that. What is kept of a wait is a time of day, so that another process can
//! go on with it; how much of it is left is never more than the whole, whatever the clock says.

use std::time::Duration;

use chapada_model::Now;
use chapada_sdk_core::Delay;
use serde::{Deserialize, Serialize};

use super::{Body, encode};
use crate::id::AppId;
use crate::services::{AppState, Failure};
use crate::timestamp::Timestamp;

/// What is kept of an app's failures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) id: AppId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay: Option<Wait>,
    /// That of the definition before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_before: Option<Wait>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Wait {
    milliseconds: u64,
    until: Timestamp,
}

pub(crate) fn write(now: Now, state: &AppState) -> Vec<u8> {
    let wait = |delay: &Delay| Wait {
        milliseconds: u64::try_from(delay.length().as_millis()).unwrap_or(u64::MAX),
        until: Timestamp::from(now.wall).after(delay.left(now.mono)),
    };
    encode(Body::Failed(Failed {
        id: state.app.definition.id.clone(),
        last: state.last_failure.clone(),
        delay: state.delay.as_ref().map(wait),
        delay_before: state.delay_before.as_ref().map(wait),
    }))
}

impl Failed {
    /// As it was in the process before. A wait that was over for long is forgotten there, too.
    pub(crate) fn bring_back(self, now: Now, state: &mut AppState) {
        let most = state.app.definition.delay_rule().most;
        let at = Timestamp::from(now.wall);
        let resumed = |wait: Wait| {
            let length = Duration::from_millis(wait.milliseconds);
            (at <= wait.until.after(most)).then(|| Delay::resumed(length, wait.until.since(at), now.mono))
        };
        state.last_failure = self.last;
        state.delay = self.delay.and_then(resumed);
        state.delay_before = self.delay_before.and_then(resumed);
    }
}
