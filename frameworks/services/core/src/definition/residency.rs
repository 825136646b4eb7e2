//! `residency`: taken for the sake of old definitions. It has no effect.

use serde::Serialize;

use super::reader::{Errors, FieldError, Fields};

/// What Marathon once asked of apps with volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Residency {
    /// Has no effect.
    pub relaunch_escalation_timeout_seconds: u32,
    /// Has no effect.
    pub task_lost_behavior: String,
}

/// The field, if it is there.
pub(super) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Residency> {
    let residency = fields.object("residency", wrong)?;
    let behavior = residency.text("taskLostBehavior", wrong).unwrap_or_else(|| "WAIT_FOREVER".to_owned());
    if !["WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT"].contains(&behavior.as_str()) {
        let error = "must be WAIT_FOREVER or RELAUNCH_AFTER_TIMEOUT";
        broken.push(FieldError::new(residency.path("taskLostBehavior"), error));
    }
    Some(Residency {
        relaunch_escalation_timeout_seconds: residency
            .count("relaunchEscalationTimeoutSeconds", wrong)
            .unwrap_or(3_600),
        task_lost_behavior: behavior,
    })
}
