//! A call off the wire into what the books take. The order of checks and the words are those of Mesos.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use chapada_master_core::{Call, OfferConstraints};
use chapada_model::{FrameworkDescription, FrameworkId, Role, UpdateUuid};
use chapada_wire::convert::InvalidField;
use chapada_wire::v1;
use chapada_wire::v1::scheduler::{self as wire, call::Type};
use prost::Message;

use super::constraints::constraints;
use super::operations::operation;

/// The largest description of a framework, in bytes: it crosses the agent link with every task it launches.
const MAX_FRAMEWORK_BYTES: usize = 48 * 1024;
/// The largest message to an executor, in bytes, so that it fits into one message of the agent link.
const MAX_MESSAGE_BYTES: usize = 192 * 1024;

/// A call that is well formed.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A subscription.
    Subscribe(Box<Subscribing>),
    /// A subscription with a framework description that cannot be; it is answered on its stream.
    Unacceptable(String),
    /// Anything else.
    Call {
        /// Who calls.
        framework: FrameworkId,
        /// What.
        call: Box<Call>,
    },
    /// Anything else of a framework that cannot exist.
    UnknownFramework,
}

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscribing {
    pub(crate) framework: FrameworkDescription,
    pub(crate) suppressed: Vec<Role>,
    pub(crate) constraints: Arc<OfferConstraints>,
}

/// Why a call is a 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to validate scheduler::Call: {0}")]
pub(crate) struct Invalid(String);

impl From<InvalidField> for Invalid {
    fn from(error: InvalidField) -> Self {
        Self(error.to_string())
    }
}

/// Reads a call.
///
/// # Errors
/// [`Invalid`] names the field.
pub(crate) fn parse(call: wire::Call) -> Result<Parsed, Invalid> {
    let kind =
        call.r#type.and_then(|number| Type::try_from(number).ok()).filter(|kind| *kind != Type::Unknown);
    let kind = kind.ok_or_else(|| missing("type"))?;
    if kind == Type::Subscribe {
        return subscribe(call);
    }
    let framework = call.framework_id.as_ref().ok_or_else(|| missing("framework_id"))?;
    let framework = FrameworkId::try_from(framework);
    let parsed = body(kind, call)?;
    match framework {
        Ok(framework) => Ok(Parsed::Call { framework, call: Box::new(parsed) }),
        Err(_) => Ok(Parsed::UnknownFramework),
    }
}

fn subscribe(call: wire::Call) -> Result<Parsed, Invalid> {
    let subscribe = call.subscribe.ok_or_else(|| missing("subscribe"))?;
    let info = subscribe.framework_info.ok_or_else(|| missing("subscribe.framework_info"))?;
    let id = |id: &v1::FrameworkId| id.value.clone().unwrap_or_default();
    // An empty id is none: some clients always send one.
    let named = call.framework_id.as_ref().map(id).filter(|id| !id.is_empty());
    let own = info.id.as_ref().map(id).filter(|id| !id.is_empty());
    if named != own {
        return Err(Invalid("'framework_id' differs from 'subscribe.framework_info.id'".to_owned()));
    }
    let info = v1::FrameworkInfo { id: own.map(|id| v1::FrameworkId { value: Some(id) }), ..info };
    let framework = match describe(&info) {
        Ok(framework) => framework,
        Err(problem) => return Ok(Parsed::Unacceptable(problem)),
    };
    let suppressed = suppressed(&subscribe.suppressed_roles, &framework);
    let wishes = suppressed.and_then(|list| Ok((list, constraints(subscribe.offer_constraints.as_ref())?)));
    match wishes {
        Ok((suppressed, constraints)) => {
            Ok(Parsed::Subscribe(Box::new(Subscribing { framework, suppressed, constraints })))
        }
        Err(problem) => Ok(Parsed::Unacceptable(problem)),
    }
}

fn describe(info: &v1::FrameworkInfo) -> Result<FrameworkDescription, String> {
    if info.encoded_len() > MAX_FRAMEWORK_BYTES {
        return Err(format!("FrameworkInfo is larger than the {MAX_FRAMEWORK_BYTES} bytes that are allowed"));
    }
    FrameworkDescription::try_from(info).map_err(|problem| format!("FrameworkInfo is not valid: {problem}"))
}

fn suppressed(names: &[String], framework: &FrameworkDescription) -> Result<Vec<Role>, String> {
    let role = |name: &String| {
        let role = Role::new(name.as_str()).map_err(|error| format!("suppressed role '{name}': {error}"))?;
        match framework.roles.contains(&role) {
            true => Ok(role),
            false => Err(format!("suppressed role '{role}' is not one of the framework's roles")),
        }
    };
    names.iter().map(role).collect()
}

fn body(kind: Type, call: wire::Call) -> Result<Call, Invalid> {
    Ok(match kind {
        Type::Unknown | Type::Subscribe => return Err(missing("type")),
        Type::Teardown => Call::Teardown,
        Type::Accept => accept(&call.accept.ok_or_else(|| missing("accept"))?)?,
        Type::Decline => {
            let decline = call.decline.ok_or_else(|| missing("decline"))?;
            Call::Decline {
                offers: ids("decline.offer_ids", &decline.offer_ids)?,
                filters: filters(decline.filters.as_ref()),
            }
        }
        // Without a body they mean all roles.
        Type::Revive => {
            Call::Revive { roles: roles("revive.roles", call.revive.map(|revive| revive.roles))? }
        }
        Type::Suppress => {
            Call::Suppress { roles: roles("suppress.roles", call.suppress.map(|suppress| suppress.roles))? }
        }
        Type::Kill => kill(&call.kill.ok_or_else(|| missing("kill"))?)?,
        Type::Shutdown => {
            let shutdown = call.shutdown.ok_or_else(|| missing("shutdown"))?;
            Call::Shutdown {
                agent: id("shutdown.agent_id", shutdown.agent_id.as_ref())?,
                executor: id("shutdown.executor_id", shutdown.executor_id.as_ref())?,
            }
        }
        Type::Acknowledge => acknowledge(&call.acknowledge.ok_or_else(|| missing("acknowledge"))?)?,
        Type::Reconcile => reconcile(&call.reconcile.ok_or_else(|| missing("reconcile"))?)?,
        Type::Message => message(call.message.ok_or_else(|| missing("message"))?)?,
        Type::UpdateFramework => update_framework(
            &call.framework_id,
            call.update_framework.ok_or_else(|| missing("update_framework"))?,
        )?,
        Type::AcknowledgeOperationStatus => {
            let body =
                call.acknowledge_operation_status.ok_or_else(|| missing("acknowledge_operation_status"))?;
            let field = |name: &str| format!("acknowledge_operation_status.{name}");
            Call::AcknowledgeOperation {
                uuid: uuid(body.uuid.as_deref())?,
                agent: id(&field("agent_id"), body.agent_id.as_ref())?,
                operation: id(&field("operation_id"), body.operation_id.as_ref())?,
            }
        }
        Type::AcceptInverseOffers => {
            let accept = call.accept_inverse_offers.ok_or_else(|| missing("accept_inverse_offers"))?;
            Call::AnswerInverse {
                offers: ids("accept_inverse_offers.inverse_offer_ids", &accept.inverse_offer_ids)?,
                will_leave: true,
                filters: filters(accept.filters.as_ref()),
            }
        }
        Type::DeclineInverseOffers => {
            let decline = call.decline_inverse_offers.ok_or_else(|| missing("decline_inverse_offers"))?;
            Call::AnswerInverse {
                offers: ids("decline_inverse_offers.inverse_offer_ids", &decline.inverse_offer_ids)?,
                will_leave: false,
                filters: filters(decline.filters.as_ref()),
            }
        }
        Type::ReconcileOperations => {
            reconcile_operations(&call.reconcile_operations.ok_or_else(|| missing("reconcile_operations"))?)?
        }
        Type::Request => {
            call.request.ok_or_else(|| missing("request"))?;
            without_effect("REQUEST")
        }
    })
}

fn without_effect(name: &'static str) -> Call {
    Call::WithoutEffect { name }
}

fn accept(accept: &wire::call::Accept) -> Result<Call, Invalid> {
    Ok(Call::Accept(chapada_master_core::Accept {
        offers: ids("accept.offer_ids", &accept.offer_ids)?,
        operations: accept.operations.iter().map(operation).collect(),
        filters: filters(accept.filters.as_ref()),
    }))
}

fn kill(kill: &wire::call::Kill) -> Result<Call, Invalid> {
    Ok(Call::Kill {
        task: id("kill.task_id", kill.task_id.as_ref())?,
        agent: optional("kill.agent_id", kill.agent_id.as_ref())?,
        policy: optional("kill.kill_policy", kill.kill_policy.as_ref())?,
    })
}

fn acknowledge(body: &wire::call::Acknowledge) -> Result<Call, Invalid> {
    Ok(Call::Acknowledge {
        uuid: uuid(body.uuid.as_deref())?,
        agent: id("acknowledge.agent_id", body.agent_id.as_ref())?,
        task: id("acknowledge.task_id", body.task_id.as_ref())?,
    })
}

fn reconcile(body: &wire::call::Reconcile) -> Result<Call, Invalid> {
    let task = |(index, task): (usize, &wire::call::reconcile::Task)| {
        let agent = optional(&format!("reconcile.tasks[{index}].agent_id"), task.agent_id.as_ref())?;
        Ok((id(&format!("reconcile.tasks[{index}].task_id"), task.task_id.as_ref())?, agent))
    };
    Ok(Call::Reconcile { tasks: body.tasks.iter().enumerate().map(task).collect::<Result<_, Invalid>>()? })
}

fn reconcile_operations(body: &wire::call::ReconcileOperations) -> Result<Call, Invalid> {
    let operation = |(index, operation): (usize, &wire::call::reconcile_operations::Operation)| {
        let field = |name: &str| format!("reconcile_operations.operations[{index}].{name}");
        let agent = optional(&field("agent_id"), operation.agent_id.as_ref())?;
        Ok((id(&field("operation_id"), operation.operation_id.as_ref())?, agent))
    };
    let operations = body.operations.iter().enumerate().map(operation).collect::<Result<_, Invalid>>()?;
    Ok(Call::ReconcileOperations { operations })
}

fn message(body: wire::call::Message) -> Result<Call, Invalid> {
    if body.data.as_ref().is_some_and(|data| data.len() > MAX_MESSAGE_BYTES) {
        return Err(Invalid(format!(
            "'message.data' is larger than the {MAX_MESSAGE_BYTES} bytes that are allowed"
        )));
    }
    Ok(Call::Message {
        agent: id("message.agent_id", body.agent_id.as_ref())?,
        executor: id("message.executor_id", body.executor_id.as_ref())?,
        data: body.data.unwrap_or_default().into(),
    })
}

fn update_framework(
    caller: &Option<v1::FrameworkId>,
    body: wire::call::UpdateFramework,
) -> Result<Call, Invalid> {
    let info = body.framework_info.ok_or_else(|| missing("update_framework.framework_info"))?;
    if info.id.as_ref().and_then(|id| id.value.as_ref()) != caller.as_ref().and_then(|id| id.value.as_ref()) {
        return Err(Invalid("'framework_id' differs from 'update_framework.framework_info.id'".to_owned()));
    }
    let description = describe(&info).map_err(Invalid)?;
    let suppressed = suppressed(&body.suppressed_roles, &description).map_err(Invalid)?;
    let constraints = constraints(body.offer_constraints.as_ref()).map_err(Invalid)?;
    Ok(Call::UpdateFramework { description, suppressed, constraints })
}

fn uuid(bytes: Option<&[u8]>) -> Result<UpdateUuid, Invalid> {
    bytes.and_then(UpdateUuid::from_slice).ok_or_else(|| Invalid("Not a valid UUID".to_owned()))
}

fn filters(filters: Option<&v1::Filters>) -> chapada_model::Filters {
    filters.map(Into::into).unwrap_or_default()
}

fn roles(field: &str, names: Option<Vec<String>>) -> Result<Vec<Role>, Invalid> {
    let role = |(index, name): (usize, String)| {
        Role::new(name).map_err(|error| Invalid(format!("{field}[{index}]: {error}")))
    };
    names.unwrap_or_default().into_iter().enumerate().map(role).collect()
}

fn id<'a, W, M: TryFrom<&'a W, Error = InvalidField>>(
    field: &str,
    wire: Option<&'a W>,
) -> Result<M, Invalid> {
    optional(field, wire)?.ok_or_else(|| missing(field))
}

fn optional<'a, W, M: TryFrom<&'a W, Error = InvalidField>>(
    field: &str,
    wire: Option<&'a W>,
) -> Result<Option<M>, Invalid> {
    wire.map(|wire| M::try_from(wire).map_err(|error| error.within(field).into())).transpose()
}

fn ids<'a, W, M: TryFrom<&'a W, Error = InvalidField>>(
    field: &str,
    wire: &'a [W],
) -> Result<Vec<M>, Invalid> {
    let each =
        |(index, wire)| M::try_from(wire).map_err(|error| error.within(format!("{field}[{index}]")).into());
    wire.iter().enumerate().map(each).collect()
}

fn missing(field: &str) -> Invalid {
    Invalid(format!("Expecting '{field}' to be present"))
}
