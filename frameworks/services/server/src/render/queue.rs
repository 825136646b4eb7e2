//! The launch queue: what waits, and why.

use chapada_services_core::{Funnel, Looked, MismatchKind, Waiting};
use serde_json::{Value, json};

/// An app that waits.
pub(crate) fn waiting(waiting: &Waiting<'_>) -> Value {
    let kind = if waiting.state.app.is_pod() { "pod" } else { "app" };
    json!({
        "count": waiting.count,
        "since": waiting.since,
        "delay": {
            "timeLeftSeconds": waiting.delay.as_secs_f64().ceil() as u64,
            "overdue": waiting.delay.is_zero(),
        },
        "processedOffersSummary": summary(&waiting.state.funnel),
        kind: super::apps::definition(&waiting.state.app),
    })
}

fn summary(funnel: &Funnel) -> Value {
    let mut json = json!({
        "processedOffersCount": funnel.whole.processed,
        "unusedOffersCount": funnel.unused,
        "rejectSummaryLastOffers": reasons(&funnel.last),
        "rejectSummaryLaunchAttempt": reasons(&funnel.whole),
    });
    if let Some(at) = funnel.last_unused {
        json["lastUnusedOfferAt"] = json!(at);
    }
    if let Some(at) = funnel.last_used {
        json["lastUsedOfferAt"] = json!(at);
    }
    json
}

/// A funnel: each row has looked at what the rows before let through.
fn reasons(looked: &Looked) -> Vec<Value> {
    let mut left = looked.processed;
    let mut rows = Vec::new();
    for why in MismatchKind::ALL {
        let declined = looked.reasons.get(&why).copied().unwrap_or(0);
        rows.push(json!({"reason": why, "declined": declined, "processed": left}));
        left = left.saturating_sub(declined);
    }
    rows
}
