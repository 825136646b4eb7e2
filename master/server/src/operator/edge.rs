//! Calls that change something, read without carrying them out.

use chapada_listener::Principal;
use chapada_wire::v1::master::Call;
use chapada_wire::v1::master::call::Type;
use http::StatusCode;

use super::{agents, maintenance, operate, roles};
use crate::edge::OperatorChange;

/// What a call changes; nothing for one that only reads.
///
/// # Errors
/// The status that the operator is answered with.
pub(crate) fn read_call(asked: Call) -> Result<Option<OperatorChange>, StatusCode> {
    let kind = asked.r#type.and_then(|number| Type::try_from(number).ok()).unwrap_or(Type::Unknown);
    let read = if roles::is_change(kind) {
        roles::read(kind, asked).map(|call| Some(OperatorChange::Roles(call)))
    } else if operate::is_change(kind) {
        operate::read(kind, asked, &Principal::Anonymous).map(|call| Some(OperatorChange::Resources(call)))
    } else if maintenance::is_change(kind) {
        maintenance::read(kind, asked).map(|call| Some(OperatorChange::Maintenance(call)))
    } else if agents::is_change(kind) {
        agents::read(kind, asked).map(|call| Some(OperatorChange::Agents(call)))
    } else {
        Ok(None)
    };
    read.map_err(|answer| answer.status())
}
