//! Why instances wait, and what would help.

use chapada_model::{Attribute, AttributeValue, Ranges, Resource, ResourceValue};
use chapada_services_core::{
    Explanation, FunnelStep, KnownOffer, MismatchKind, OfferFunnel, Reason, Suggestion,
};
use serde_json::{Value, json};

/// An explanation: `sentence` says it all.
pub(crate) fn explanation(explanation: &Explanation) -> Value {
    json!({
        "id": explanation.id,
        "waiting": explanation.waiting,
        "sentence": explanation.sentence(),
        "reasons": explanation.reasons.iter().map(reason).collect::<Vec<Value>>(),
        "funnel": funnel(&explanation.funnel),
        "offers": {
            "agents": explanation.funnel.offers(),
            "fitting": explanation.funnel.fitting(),
            "absent": explanation.absent,
            "lastOfferAt": explanation.newest,
        },
    })
}

fn reason(reason: &Reason) -> Value {
    json!({
        "cause": reason.cause.name(),
        "count": reason.count,
        "sentence": reason.sentence,
        "changes": reason.suggestions.iter().map(suggestion).collect::<Vec<Value>>(),
    })
}

fn suggestion(suggestion: &Suggestion) -> Value {
    let mut json = json!({"sentence": suggestion.sentence, "fits": suggestion.fits});
    if let Some(patch) = &suggestion.patch {
        json["patch"] = json!(patch);
    }
    if let Some((method, path)) = &suggestion.call {
        json["call"] = json!({"method": method, "path": path});
    }
    json
}

/// The funnel: each row has looked at what the rows before let through.
pub(crate) fn funnel(funnel: &OfferFunnel) -> Value {
    let row =
        |step: FunnelStep| json!({"reason": step.kind, "declined": step.stopped, "processed": step.reached});
    funnel.steps().map(row).collect()
}

/// An offer of which nothing was used.
pub(crate) fn unused(known: &KnownOffer, reasons: &[MismatchKind]) -> Value {
    let offer = &known.offer;
    json!({
        "offer": {
            "id": offer.id,
            "hostname": offer.hostname,
            "agentId": offer.agent,
            "resources": offer.resources.iter().map(resource).collect::<Vec<Value>>(),
            "attributes": offer.attributes.iter().map(attribute).collect::<Vec<Value>>(),
        },
        "reason": reasons,
        "timestamp": known.at,
    })
}

fn attribute(attribute: &Attribute) -> Value {
    let name = &attribute.name;
    match &attribute.value {
        AttributeValue::Scalar(amount) => json!({"name": name, "scalar": amount.to_f64()}),
        AttributeValue::Text(text) => json!({"name": name, "text": text}),
        AttributeValue::Ranges(ranges) => json!({"name": name, "ranges": shown_ranges(ranges)}),
        AttributeValue::Set(items) => json!({"name": name, "set": items.iter().collect::<Vec<_>>()}),
    }
}

fn resource(resource: &Resource) -> Value {
    let role = resource.reserved_role().map_or("*", |role| role.as_str());
    let mut json = json!({"name": resource.name, "role": role});
    match &resource.value {
        ResourceValue::Scalar(amount) => json["scalar"] = json!(amount.to_f64()),
        ResourceValue::Ranges(ranges) => json["ranges"] = shown_ranges(ranges),
        ResourceValue::Set(items) => json["set"] = json!(items.iter().collect::<Vec<_>>()),
    }
    json
}

fn shown_ranges(ranges: &Ranges) -> Value {
    ranges.iter().map(|range| json!({"begin": range.begin, "end": range.end})).collect()
}
