//! `/allocator/explain?framework=…&agent=…` and the same over gRPC: why one framework is offered an agent or not, and since
//! when. `explain.proto` says what each field means.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, json, text};
use chapada_master_core::{Explanation as Decided, LastPlan, Why};
use chapada_model::{AgentId, FrameworkId, Mono, Now};
use chapada_wire::explain::explain_service_server::ExplainService;
use chapada_wire::explain::{Decision, ExplainRequest, Explanation, LastPlan as Planned};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tonic::{Request, Response, Status};

use super::items::sentence;
use crate::core_loop::Stopped;
use crate::plain::path_and_query;
use crate::shell::{Led, Shell};

/// Why there is no answer.
enum Unanswered {
    /// An id cannot be one.
    Invalid(String),
    /// The framework or the agent is not known.
    Unknown(String),
    /// This master no longer leads.
    Stopped(String),
}

/// Answers over HTTP.
pub(super) async fn handle(shell: Arc<Shell>, call: Call) -> HttpResponse {
    // A suspended leader's allocator stands still, and does not answer.
    let led = match shell.leading() {
        Ok(led) => led,
        Err(elsewhere) => return elsewhere.response(&path_and_query(&call)),
    };
    let query = call.query();
    let id = |name: &str| query.get(name).unwrap_or_default();
    match explain(&led, id("framework"), id("agent")).await {
        Ok(explanation) => json(StatusCode::OK, &in_json(&explanation)),
        Err(Unanswered::Invalid(message)) => text(StatusCode::BAD_REQUEST, message),
        Err(Unanswered::Unknown(message)) => text(StatusCode::NOT_FOUND, message),
        Err(Unanswered::Stopped(message)) => text(StatusCode::SERVICE_UNAVAILABLE, message),
    }
}

/// Answers over gRPC.
pub(crate) struct ExplainGrpc {
    pub(crate) shell: Arc<Shell>,
}

#[tonic::async_trait]
impl ExplainService for ExplainGrpc {
    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<Explanation>, Status> {
        let led = self.shell.leading().map_err(|elsewhere| elsewhere.status())?;
        let ExplainRequest { framework_id, agent_id } = request.into_inner();
        match explain(&led, &framework_id, &agent_id).await {
            Ok(explanation) => Ok(Response::new(explanation)),
            Err(Unanswered::Invalid(message)) => Err(Status::invalid_argument(message)),
            Err(Unanswered::Unknown(message)) => Err(Status::not_found(message)),
            Err(Unanswered::Stopped(message)) => Err(Status::unavailable(message)),
        }
    }
}

/// Asks the allocator itself, which decides by the same rules.
async fn explain(led: &Led, framework: &str, agent: &str) -> Result<Explanation, Unanswered> {
    let stopped = |stopped: Stopped| Unanswered::Stopped(stopped.to_string());
    let invalid = |name: &str, error: String| Unanswered::Invalid(format!("{name}: {error}"));
    let framework = FrameworkId::new(framework).map_err(|error| invalid("framework", error.to_string()))?;
    let agent = AgentId::new(agent).map_err(|error| invalid("agent", error.to_string()))?;
    let (now, decisions) = led.core.decisions(framework.clone(), agent.clone()).await.map_err(stopped)?;
    if decisions.is_empty() {
        return Err(Unanswered::Unknown(format!(
            "framework {framework} or agent {agent} is not known, or has no part in offers"
        )));
    }
    let plan = led.snapshot().await.map_err(stopped)?.why.get(&framework).cloned();
    Ok(Explanation {
        framework_id: framework.to_string(),
        agent_id: agent.to_string(),
        decisions: decisions.iter().map(|decision| one(now, decision)).collect(),
        last_plan: plan.map(|plan| planned(&plan)),
    })
}

fn one(now: Now, decision: &Decided) -> Decision {
    let (until, capability) = match decision.why {
        Some(Why::FilteredUntil(until) | Why::AwaitingAgents(until)) => (Some(millis(now, until)), None),
        Some(Why::NotCapable(capability)) => (None, Some(capability.name().to_owned())),
        Some(_) | None => (None, None),
    };
    let kind = decision.why.map(Why::kind);
    Decision {
        role: decision.role.to_string(),
        offered: kind.is_none(),
        reason: kind.map(|kind| kind.name().to_owned()),
        message: kind.map_or("it is offered what is free", sentence).to_owned(),
        since: millis(now, decision.since),
        until,
        capability,
    }
}

fn planned(plan: &LastPlan) -> Planned {
    Planned {
        at: plan.at.wall.0 / NANOS_PER_MILLI,
        offers: plan.offers,
        reasons: plan.skipped.iter().map(|(kind, count)| (kind.name().to_owned(), *count)).collect(),
    }
}

/// The same names over HTTP; what is absent is null.
fn in_json(explanation: &Explanation) -> Value {
    let decision = |decision: &Decision| {
        json!({
            "role": decision.role,
            "offered": decision.offered,
            "reason": decision.reason,
            "message": decision.message,
            "since": decision.since,
            "until": decision.until,
            "capability": decision.capability,
        })
    };
    let plan = |plan: &Planned| {
        let reasons: Map<String, Value> =
            plan.reasons.iter().map(|(reason, count)| (reason.clone(), (*count).into())).collect();
        json!({"at": plan.at, "offers": plan.offers, "reasons": reasons})
    };
    json!({
        "framework_id": explanation.framework_id,
        "agent_id": explanation.agent_id,
        "decisions": explanation.decisions.iter().map(decision).collect::<Vec<_>>(),
        "last_plan": explanation.last_plan.as_ref().map(plan),
    })
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// A moment of this process as milliseconds since 1970, by the clock on the wall as it is now.
fn millis(now: Now, at: Mono) -> u64 {
    let wall = now.wall.0.saturating_sub(now.mono.0.saturating_sub(at.0));
    wall.saturating_add(at.0.saturating_sub(now.mono.0)) / NANOS_PER_MILLI
}

#[cfg(test)]
mod tests {
    use super::*;
    use chapada_model::{FrameworkCapability, Role, Wall};

    /// A second after the process began, at 1,000 s of the clock on the wall.
    const NOW: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_000_000_000_000) };

    fn said(why: Option<Why>) -> Decision {
        one(NOW, &Decided { role: Role::star(), why, since: Mono(500_000_000) })
    }

    #[test]
    fn what_belongs_to_a_reason_comes_with_it_and_with_no_other() {
        let offered = said(None);
        assert_eq!(
            (offered.offered, offered.reason, offered.until, offered.capability),
            (true, None, None, None)
        );
        assert_eq!(offered.since, 999_500, "half a second ago");
        let blind = said(Some(Why::NotCapable(FrameworkCapability::GpuResources)));
        assert_eq!((blind.offered, blind.until), (false, None));
        assert_eq!(
            (blind.reason.as_deref(), blind.capability.as_deref()),
            (Some("not-capable"), Some("GPU_RESOURCES"))
        );
        let filtered = said(Some(Why::FilteredUntil(Mono(3_000_000_000))));
        assert_eq!((filtered.reason.as_deref(), filtered.capability), (Some("filtered"), None));
        assert_eq!(filtered.until, Some(1_002_000), "in two seconds");
    }
}
