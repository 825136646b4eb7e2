//! Reservations, volumes, and the end of frameworks: RESERVE_RESOURCES, UNRESERVE_RESOURCES, CREATE_VOLUMES,
//! DESTROY_VOLUMES, GROW_VOLUME, SHRINK_VOLUME and TEARDOWN.

use chapada_listener::{HttpResponse, Principal, empty, text};
use chapada_master_core::{Change, OperatorCall, OperatorRefused};
use chapada_model::{AgentId, FrameworkId};
use chapada_wire::convert::InvalidField;
use chapada_wire::v1::master::Call;
use chapada_wire::v1::master::call::Type;
use chapada_wire::v1::offer::{Operation, operation};
use chapada_wire::v1::{self};
use http::StatusCode;

use super::calls::invalid;
use crate::changes;
use crate::scheduler::principal;
use crate::shell::Led;

/// Whether this is one of these calls.
pub(crate) fn is_change(kind: Type) -> bool {
    matches!(
        kind,
        Type::Teardown
            | Type::ReserveResources
            | Type::UnreserveResources
            | Type::CreateVolumes
            | Type::DestroyVolumes
            | Type::GrowVolume
            | Type::ShrinkVolume
    )
}

/// Carries a call out; what it changes is in the books when it is answered.
pub(super) async fn change(
    led: &Led,
    kind: Type,
    asked: Call,
    by: &Principal,
) -> Result<HttpResponse, HttpResponse> {
    carry_out(led, read(kind, asked, by)?).await
}

/// Reads a call; the error is the answer.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn read(kind: Type, asked: Call, by: &Principal) -> Result<OperatorCall, HttpResponse> {
    Ok(match kind {
        Type::Teardown => {
            let teardown = asked.teardown.ok_or_else(|| invalid("Expecting 'teardown' to be present"))?;
            let id = teardown.framework_id.and_then(|id| id.value).unwrap_or_default();
            OperatorCall::Teardown { framework: framework_id(&id).map_err(|error| invalid(&error))? }
        }
        _ => {
            let (agent, operation, wire) = operation(kind, asked)?;
            let id = agent.and_then(|id| id.value);
            let id = id.ok_or_else(|| invalid("Expecting 'agent_id' to be present"))?;
            let change = changes::read(operation, &wire);
            let change = change.map_err(|problem: InvalidField| invalid(&problem.to_string()))?;
            changing(agent_id(&id).map_err(|error| invalid(&error))?, change, by)
        }
    })
}

/// The call for a change by this principal.
pub(crate) fn changing(agent: AgentId, change: Change, by: &Principal) -> OperatorCall {
    OperatorCall::Change { agent, change, principal: principal(by) }
}

/// Reads the id of an agent.
pub(crate) fn agent_id(text: &str) -> Result<AgentId, String> {
    AgentId::new(text).map_err(|error| format!("the agent's id: {error}"))
}

/// Reads the id of a framework.
pub(crate) fn framework_id(text: &str) -> Result<FrameworkId, String> {
    FrameworkId::new(text).map_err(|error| format!("the framework's id: {error}"))
}

/// Hands a call to the books, and answers as Mesos does: 200 when all is done, 202 when an agent has yet to do it.
pub(crate) async fn carry_out(led: &Led, call: OperatorCall) -> Result<HttpResponse, HttpResponse> {
    let success = match call {
        OperatorCall::Change { .. } => StatusCode::ACCEPTED,
        OperatorCall::Teardown { .. } => StatusCode::OK,
    };
    match led.core.operate(call).await {
        Ok(Ok(())) => Ok(empty(success)),
        Ok(Err(refused)) => Err(refusal(refused)),
        Err(stopped) => Err(text(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())),
    }
}

/// The answer to a refused call.
pub(crate) fn refusal(refused: OperatorRefused) -> HttpResponse {
    match refused {
        OperatorRefused::Invalid(why) => text(StatusCode::BAD_REQUEST, why),
        OperatorRefused::Conflict(why) => text(StatusCode::CONFLICT, why),
        OperatorRefused::NotFound(why) => text(StatusCode::NOT_FOUND, why),
    }
}

/// The operation of a scheduler that says the same.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
fn operation(
    kind: Type,
    asked: Call,
) -> Result<(Option<v1::AgentId>, operation::Type, Operation), HttpResponse> {
    let missing =
        || invalid(&format!("Expecting '{}' to be present", kind.as_str_name().to_ascii_lowercase()));
    let mut wire = Operation::default();
    let (agent, operation) = match kind {
        Type::ReserveResources => {
            let said = asked.reserve_resources.ok_or_else(missing)?;
            wire.reserve = Some(operation::Reserve { source: said.source, resources: said.resources });
            (said.agent_id, operation::Type::Reserve)
        }
        Type::UnreserveResources => {
            let said = asked.unreserve_resources.ok_or_else(missing)?;
            wire.unreserve = Some(operation::Unreserve { resources: said.resources });
            (said.agent_id, operation::Type::Unreserve)
        }
        Type::CreateVolumes => {
            let said = asked.create_volumes.ok_or_else(missing)?;
            wire.create = Some(operation::Create { volumes: said.volumes });
            (said.agent_id, operation::Type::Create)
        }
        Type::DestroyVolumes => {
            let said = asked.destroy_volumes.ok_or_else(missing)?;
            wire.destroy = Some(operation::Destroy { volumes: said.volumes });
            (said.agent_id, operation::Type::Destroy)
        }
        Type::GrowVolume => {
            let said = asked.grow_volume.ok_or_else(missing)?;
            wire.grow_volume = Some(operation::GrowVolume { volume: said.volume, addition: said.addition });
            (said.agent_id, operation::Type::GrowVolume)
        }
        _ => {
            let said = asked.shrink_volume.ok_or_else(missing)?;
            wire.shrink_volume =
                Some(operation::ShrinkVolume { volume: said.volume, subtract: said.subtract });
            (said.agent_id, operation::Type::ShrinkVolume)
        }
    };
    Ok((agent, operation, wire))
}
