//! Agents that are taken out of service: DEACTIVATE_AGENT, REACTIVATE_AGENT, DRAIN_AGENT, MARK_AGENT_GONE; and CANCEL_DRAIN,
//! DRAIN_AGENTS and ALLOW_AGENT_REMOVALS, which are not Mesos'.

use std::time::Duration;

use chapada_listener::{HttpResponse, empty, json, text};
use chapada_master_core::{AgentCall, Drain, DrainOrder, Selection};
use chapada_model::{AgentId, Text};
use chapada_wire::Media;
use chapada_wire::convert::duration_to_wire;
use chapada_wire::v1;
use chapada_wire::v1::master::Call;
use chapada_wire::v1::master::call::{DrainAgents, Type};
use http::StatusCode;

use super::calls::invalid;
use super::operate::{agent_id, refusal};
use crate::shell::Led;

/// How long ALLOW_AGENT_REMOVALS holds that does not say.
const ALLOWED_FOR: Duration = Duration::from_secs(600);

/// Whether this is one of these calls.
pub(crate) fn is_change(kind: Type) -> bool {
    matches!(
        kind,
        Type::DeactivateAgent
            | Type::ReactivateAgent
            | Type::DrainAgent
            | Type::MarkAgentGone
            | Type::CancelDrain
            | Type::DrainAgents
            | Type::AllowAgentRemovals
    )
}

/// So many agents that a drain passes over are listed in its answer; of more their number is.
const LISTED: usize = 1_000;

/// Carries a call out; answers when what it changes is durable. The answer to a drain by attributes names the agents that have them
/// and are no part of it; there is none, as in Mesos, when there are no such agents, or the caller reads no JSON: the list is no
/// message.
pub(super) async fn change(
    led: &Led,
    kind: Type,
    asked: Call,
    accepted: Media,
) -> Result<HttpResponse, HttpResponse> {
    let call = read(kind, asked)?;
    let by_attributes = match &call {
        AgentCall::DrainMany { name, selection: Selection::Attributes(wanted), .. }
            if accepted == Media::Json =>
        {
            Some((name.clone(), wanted.clone()))
        }
        _ => None,
    };
    let done = carry_out(led, call).await?;
    match by_attributes {
        Some((name, wanted)) => Ok(passed_over(led, &name, &wanted).await.unwrap_or(done)),
        None => Ok(done),
    }
}

/// What a drain that has begun passes over; nothing to say when it is nobody.
async fn passed_over(led: &Led, name: &str, wanted: &[(Text, Text)]) -> Option<HttpResponse> {
    let Ok(books) = led.core.snapshot().await else {
        let message = "the drain is recorded; which agents it passes over is not known, for this master no longer leads";
        return Some(json(StatusCode::OK, &serde_json::json!({ "message": message })));
    };
    let others = books.passed_over(name, wanted);
    let listed = others.iter().take(LISTED).map(|(agent, why)| {
        let hostname = books.agents.get(agent).map(|agent| &*agent.description.hostname);
        serde_json::json!({ "agent_id": { "value": agent.as_str() }, "hostname": hostname, "why": why.to_string() })
    });
    let listed: Vec<_> = listed.collect();
    let answer = serde_json::json!({
        "message": format!("{} with these attributes passed over", counted(others.len())),
        "passed_over": listed,
    });
    (!others.is_empty()).then(|| json(StatusCode::OK, &answer))
}

fn counted(agents: usize) -> String {
    format!("{agents} agent{}", if agents == 1 { "" } else { "s" })
}

/// Hands a call to the books and waits until what it changes is durable.
pub(crate) async fn carry_out(led: &Led, call: AgentCall) -> Result<HttpResponse, HttpResponse> {
    match led.core.agents(call).await {
        Ok(Ok(())) => Ok(empty(StatusCode::OK)),
        Ok(Err(refused)) => Err(refusal(refused)),
        Err(stopped) => Err(text(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())),
    }
}

/// Reads a call; the error is the answer.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn read(kind: Type, asked: Call) -> Result<AgentCall, HttpResponse> {
    let missing = |field: &str| invalid(&format!("Expecting '{field}' to be present"));
    Ok(match kind {
        Type::DeactivateAgent => {
            let said = asked.deactivate_agent.ok_or_else(|| missing("deactivate_agent"))?;
            AgentCall::Deactivate { agent: id(said.agent_id, "deactivate_agent.agent_id")? }
        }
        Type::ReactivateAgent => {
            let said = asked.reactivate_agent.ok_or_else(|| missing("reactivate_agent"))?;
            AgentCall::Reactivate { agent: id(said.agent_id, "reactivate_agent.agent_id")? }
        }
        Type::MarkAgentGone => {
            let said = asked.mark_agent_gone.ok_or_else(|| missing("mark_agent_gone"))?;
            AgentCall::MarkGone { agent: id(said.agent_id, "mark_agent_gone.agent_id")? }
        }
        Type::CancelDrain => {
            let said = asked.cancel_drain.ok_or_else(|| missing("cancel_drain"))?;
            match said.drain_id {
                Some(name) => AgentCall::CancelMany { name: name.into() },
                None => AgentCall::CancelDrain { agent: id(said.agent_id, "cancel_drain.agent_id")? },
            }
        }
        Type::AllowAgentRemovals => {
            let said = asked.allow_agent_removals.ok_or_else(|| missing("allow_agent_removals"))?;
            let time = said.duration.map(|time| (time.seconds, time.nanos));
            let time = time_of(time, "allow_agent_removals.duration")?;
            AgentCall::AllowRemovals { time: time.unwrap_or(ALLOWED_FOR) }
        }
        Type::DrainAgents => {
            let said = asked.drain_agents.ok_or_else(|| missing("drain_agents"))?;
            let selection = selection(&said)?;
            let order = DrainOrder {
                notice: time_of(
                    said.leave_within.map(|time| (time.seconds, time.nanos)),
                    "drain_agents.leave_within",
                )?,
                max_grace: time_of(
                    said.max_grace_period.map(|time| (time.seconds, time.nanos)),
                    "drain_agents.max_grace_period",
                )?,
                mark_gone: said.mark_gone.unwrap_or_default(),
            };
            let name = said.drain_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            AgentCall::DrainMany { name: name.into(), selection, at_once: said.at_once.unwrap_or(1), order }
        }
        _ => {
            let said = asked.drain_agent.ok_or_else(|| missing("drain_agent"))?;
            let order = DrainOrder {
                notice: time_of(
                    said.leave_within.map(|time| (time.seconds, time.nanos)),
                    "drain_agent.leave_within",
                )?,
                max_grace: time_of(
                    said.max_grace_period.map(|time| (time.seconds, time.nanos)),
                    "drain_agent.max_grace_period",
                )?,
                mark_gone: said.mark_gone.unwrap_or_default(),
            };
            AgentCall::Drain { agent: id(said.agent_id, "drain_agent.agent_id")?, order }
        }
    })
}

/// By id, or by attributes.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn selection(said: &DrainAgents) -> Result<Selection, HttpResponse> {
    match (said.agent_ids.is_empty(), said.attributes.is_empty()) {
        (false, true) => {
            let ids = said.agent_ids.iter().cloned().map(|one| id(Some(one), "drain_agents.agent_ids"));
            Ok(Selection::Agents(ids.collect::<Result<_, _>>()?))
        }
        (true, false) => {
            let attribute = |text: &String| match text.split_once('=') {
                Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
                _ => Err(invalid(&format!("'{text}' in 'drain_agents.attributes' is not name=value"))),
            };
            Ok(Selection::Attributes(said.attributes.iter().map(attribute).collect::<Result<_, _>>()?))
        }
        _ => Err(invalid("Expecting either 'drain_agents.agent_ids' or 'drain_agents.attributes'")),
    }
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn id(said: Option<v1::AgentId>, field: &str) -> Result<AgentId, HttpResponse> {
    let value = said.and_then(|id| id.value);
    let value = value.ok_or_else(|| invalid(&format!("Expecting '{field}' to be present")))?;
    agent_id(&value).map_err(|why| invalid(&why))
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn time_of(said: Option<(i64, i32)>, field: &str) -> Result<Option<Duration>, HttpResponse> {
    let Some((seconds, nanos)) = said else { return Ok(None) };
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(invalid(&format!("'{field}' must not be negative, nor its nanos a second or more"))),
    }
}

/// `drain_info` of an agent.
pub(crate) fn drain_info(drain: &Drain) -> v1::DrainInfo {
    let state = if drain.is_drained { v1::DrainState::Drained } else { v1::DrainState::Draining };
    v1::DrainInfo { state: Some(state.into()), config: Some(drain_config(&drain.order)) }
}

/// How an agent is drained, as far as Mesos has it.
pub(crate) fn drain_config(order: &DrainOrder) -> v1::DrainConfig {
    v1::DrainConfig {
        max_grace_period: order.max_grace.map(duration_to_wire),
        mark_gone: Some(order.mark_gone),
    }
}
