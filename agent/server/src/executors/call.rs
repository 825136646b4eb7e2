//! Calls of executors, read. Source of rules and words: Mesos' validation of `executor::Call`.

use chapada_agent_core::Report;
use chapada_model::{ExecutorKey, Payload, Reason, Source, TaskId, TaskState, UpdateUuid, Wall};
use chapada_wire::v1::{self, executor as wire};
use prost::Message;

/// The largest update or message of an executor, in bytes, so that it fits into one message of the agent link.
const MAX_BYTES: usize = 192 * 1024;

/// What an executor asks.
#[derive(Debug)]
pub(crate) enum Asked {
    Subscribe { tasks: Vec<TaskId>, updates: Vec<Report> },
    Update(Box<Report>),
    Message(Payload),
    Heartbeat,
}

/// A call that can be understood.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) executor: ExecutorKey,
    pub(crate) asked: Asked,
}

/// Why a call cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to validate Executor::Call: {0}")]
pub(crate) struct CallInvalid(String);

fn expecting(field: &str) -> CallInvalid {
    CallInvalid(format!("Expecting '{field}' to be present"))
}

/// Reads a call.
pub(crate) fn parse(call: wire::Call) -> Result<Parsed, CallInvalid> {
    use wire::call::Type;
    let kind = call.r#type.ok_or_else(|| expecting("type"))?;
    let framework = call.framework_id.as_ref().ok_or_else(|| expecting("framework_id"))?;
    let executor = call.executor_id.as_ref().ok_or_else(|| expecting("executor_id"))?;
    let executor = ExecutorKey {
        framework: framework.try_into().map_err(|error| CallInvalid(format!("framework_id: {error}")))?,
        executor: executor.try_into().map_err(|error| CallInvalid(format!("executor_id: {error}")))?,
    };
    let asked = match Type::try_from(kind).unwrap_or(Type::Unknown) {
        Type::Subscribe => {
            let subscribe = call.subscribe.ok_or_else(|| expecting("subscribe"))?;
            let id = |task: &v1::TaskInfo| task_id(task.task_id.as_ref());
            let report = |update: wire::call::Update| report(update, &executor);
            Asked::Subscribe {
                tasks: subscribe.unacknowledged_tasks.iter().map(id).collect::<Result<_, _>>()?,
                updates: subscribe
                    .unacknowledged_updates
                    .into_iter()
                    .map(report)
                    .collect::<Result<_, _>>()?,
            }
        }
        Type::Update => {
            let update = call.update.ok_or_else(|| expecting("update"))?;
            Asked::Update(Box::new(report(update, &executor)?))
        }
        Type::Message => {
            let data = call.message.ok_or_else(|| expecting("message"))?.data;
            let data = data.ok_or_else(|| expecting("message.data"))?;
            if data.len() > MAX_BYTES {
                return Err(CallInvalid(format!("message.data has more than {MAX_BYTES} bytes")));
            }
            Asked::Message(data.into())
        }
        Type::Heartbeat => Asked::Heartbeat,
        Type::Unknown => return Err(CallInvalid("the type of the call is unknown".to_owned())),
    };
    Ok(Parsed { executor, asked })
}

fn task_id(id: Option<&v1::TaskId>) -> Result<TaskId, CallInvalid> {
    let id = id.ok_or_else(|| expecting("task_id"))?;
    id.try_into().map_err(|error| CallInvalid(format!("task_id: {error}")))
}

fn report(update: wire::call::Update, executor: &ExecutorKey) -> Result<Report, CallInvalid> {
    let status = update.status.ok_or_else(|| expecting("update.status"))?;
    let uuid = status.uuid.as_deref().ok_or_else(|| expecting("uuid"))?;
    let uuid = UpdateUuid::from_slice(uuid)
        .ok_or_else(|| CallInvalid(format!("'uuid' has {} bytes, not 16", uuid.len())))?;
    let named = status.executor_id.as_ref().and_then(|id| id.value.as_deref());
    if named.is_some_and(|named| named != executor.executor.as_str()) {
        return Err(CallInvalid(format!(
            "ExecutorID in Call: {} does not match ExecutorID in TaskStatus: {}",
            executor.executor,
            named.unwrap_or_default()
        )));
    }
    if status.source != Some(Source::Executor.number()) {
        return Err(CallInvalid(format!(
            "Received Call from executor {} of framework {} with invalid source, expecting 'SOURCE_EXECUTOR'",
            executor.executor, executor.framework
        )));
    }
    let state = status.state.and_then(|number| TaskState::try_from(number).ok());
    let state = state.ok_or_else(|| expecting("update.status.state"))?;
    if state == TaskState::Staging {
        return Err(CallInvalid(format!(
            "Received TASK_STAGING from executor {} of framework {} which is not allowed",
            executor.executor, executor.framework
        )));
    }
    if status.encoded_len() > MAX_BYTES {
        return Err(CallInvalid(format!("update.status has more than {MAX_BYTES} bytes")));
    }
    Ok(Report {
        task: task_id(status.task_id.as_ref())?,
        uuid,
        state,
        reason: status.reason.and_then(|number| Reason::try_from(number).ok()),
        message: status.message.clone().unwrap_or_default(),
        at: status.timestamp.and_then(Wall::from_secs_f64),
        details: status.encode_to_vec().into(),
    })
}

#[cfg(test)]
mod tests {
    use chapada_wire::Json;

    use super::*;

    fn said(call: &str) -> String {
        parse(wire::Call::from_json(call.as_bytes()).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn each_rule_has_its_words() {
        let call = |body: &str| {
            format!(r#"{{"framework_id":{{"value":"f"}},"executor_id":{{"value":"e"}},{body}}}"#)
        };
        let update = |body: &str| call(&format!(r#""type":"UPDATE","update":{{"status":{{{body}}}}}"#));
        let sound = r#""task_id":{"value":"t"},"state":"TASK_RUNNING""#;
        let uuid = r#""uuid":"AAAAAAAAAAAAAAAAAAAAAA==""#;
        let cases = [
            (call(r#""type":"UPDATE""#), "Expecting 'update' to be present"),
            (call(r#""type":"SUBSCRIBE""#), "Expecting 'subscribe' to be present"),
            (call(r#""type":"MESSAGE""#), "Expecting 'message' to be present"),
            (update(sound), "Expecting 'uuid' to be present"),
            (update(&format!(r#"{sound},"uuid":"AAAA""#)), "has 3 bytes, not 16"),
            (update(&format!(r#"{sound},{uuid},"source":"SOURCE_AGENT""#)), "expecting 'SOURCE_EXECUTOR'"),
            (
                update(&format!(r#"{sound},{uuid},"executor_id":{{"value":"x"}}"#)),
                "does not match ExecutorID in TaskStatus: x",
            ),
            (
                update(&format!(
                    r#""task_id":{{"value":"t"}},"state":"TASK_STAGING",{uuid},"source":"SOURCE_EXECUTOR""#
                )),
                "TASK_STAGING",
            ),
            (
                update(&format!(
                    r#""task_id":{{"value":"a/b"}},"state":"TASK_RUNNING",{uuid},"source":"SOURCE_EXECUTOR""#
                )),
                "task_id",
            ),
        ];
        for (call, words) in cases {
            let said = said(&call);
            assert!(
                said.starts_with("Failed to validate Executor::Call: ") && said.contains(words),
                "{said}"
            );
        }
        let good = update(&format!(r#"{sound},{uuid},"source":"SOURCE_EXECUTOR""#));
        assert!(parse(wire::Call::from_json(good.as_bytes()).unwrap()).is_ok());
    }
}
