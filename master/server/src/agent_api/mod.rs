//! An agent's operator API through the master, `POST /agents/{agent}/api/v1`: so that whoever enters a container needs to reach
//! the master alone.
//!
//! - `asked`: what a call does, which decides who may make it;
//! - `exchange`: the call and its answer, on a connection that the agent dials.

mod asked;
mod exchange;

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, Object, text};
use chapada_model::AgentId;
use http::{Method, StatusCode};

pub(crate) use exchange::Exchanges;

use crate::agent_link::RelayError;
use crate::plain::path_and_query;
use crate::shell::{Led, Shell};

/// Passes a call on to its agent, and the answer back.
pub(crate) async fn handle(shell: Arc<Shell>, call: Call) -> HttpResponse {
    match answer(&shell, call).await {
        Ok(response) | Err(response) => response,
    }
}

async fn answer(shell: &Arc<Shell>, call: Call) -> Result<HttpResponse, HttpResponse> {
    let led = shell.leading().map_err(|elsewhere| elsewhere.response(&path_and_query(&call)))?;
    if call.method != Method::POST {
        return Err(crate::scheduler::wrong_method(&call.method));
    }
    let asked = asked::read(&call).await?;
    call.authorise(asked.action, &Object::Named { kind: "call", id: asked.kind.as_str_name() })?;
    let agent = agent(&led, call.param("agent")).await?;
    exchange::carry_out(&led, shell.stop.clone(), &agent, call, asked.body).await
}

async fn agent(led: &Led, named: &str) -> Result<AgentId, HttpResponse> {
    let unknown = || text(StatusCode::NOT_FOUND, format!("there is no agent {named}"));
    let books = led.snapshot().await.map_err(|stopped| {
        text(StatusCode::SERVICE_UNAVAILABLE, format!("{stopped}: ask again, another master may lead"))
    })?;
    let id = named.parse::<AgentId>().map_err(|_| unknown())?;
    match books.agents.contains_key(&id) {
        true => Ok(id),
        false => Err(unknown()),
    }
}

fn refusal(error: &RelayError) -> HttpResponse {
    let status = match error {
        RelayError::NotConnected(_) | RelayError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        RelayError::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
        RelayError::Failed { .. } => StatusCode::BAD_GATEWAY,
    };
    text(status, error.to_string())
}
