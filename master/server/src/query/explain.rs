//! `/allocator/explain?framework=…&agent=…`: why one framework is offered an agent or not, and since when.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, json, text};
use chapada_master_core::{Explanation, Why};
use chapada_model::{AgentId, FrameworkId, Mono, Now};
use http::StatusCode;
use serde_json::{Value, json};

use super::items::sentence;
use crate::plain::path_and_query;
use crate::shell::Shell;

/// Answers from the allocator itself, which decides by the same rules.
pub(super) async fn handle(shell: Arc<Shell>, call: Call) -> HttpResponse {
    let led = match shell.reading() {
        Ok(led) => led,
        Err(elsewhere) => return elsewhere.response(&path_and_query(&call)),
    };
    let query = call.query();
    let id = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let (framework, agent) = match (FrameworkId::new(id("framework")), AgentId::new(id("agent"))) {
        (Ok(framework), Ok(agent)) => (framework, agent),
        (Err(error), _) => return text(StatusCode::BAD_REQUEST, format!("framework: {error}")),
        (_, Err(error)) => return text(StatusCode::BAD_REQUEST, format!("agent: {error}")),
    };
    match led.core.decisions(framework.clone(), agent.clone()).await {
        Err(stopped) => text(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string()),
        Ok((_, decisions)) if decisions.is_empty() => {
            let message =
                format!("framework {framework} or agent {agent} is not known, or has no part in offers");
            text(StatusCode::NOT_FOUND, message)
        }
        Ok((now, decisions)) => {
            let decisions: Vec<Value> = decisions.iter().map(|decision| one(now, decision)).collect();
            let answer = json!({
                "framework_id": framework.as_str(),
                "agent_id": agent.as_str(),
                "decisions": decisions,
            });
            json(StatusCode::OK, &answer)
        }
    }
}

fn one(now: Now, decision: &Explanation) -> Value {
    let until = match decision.why {
        Some(Why::FilteredUntil(until)) => Some(millis(now, until)),
        Some(_) | None => None,
    };
    json!({
        "role": decision.role.as_str(),
        "offered": decision.why.is_none(),
        "reason": decision.why.map(|why| why.kind().name()),
        "message": decision.why.map_or("it is offered what is free", |why| sentence(why.kind())),
        "since": millis(now, decision.since),
        "until": until,
    })
}

/// A moment of this process as milliseconds since 1970, by the clock on the wall as it is now.
fn millis(now: Now, at: Mono) -> u64 {
    let wall = now.wall.0.saturating_sub(now.mono.0.saturating_sub(at.0));
    wall.saturating_add(at.0.saturating_sub(now.mono.0)) / 1_000_000
}
