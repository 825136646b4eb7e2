//! What the agent holds, as messages.

use std::sync::Arc;

use chapada_agent_core::{
    AgentDrain, ExecutorRecord, ExecutorView, FrameworkRecord, OperationView, TaskView, View,
};
use chapada_model::{AgentId, TaskState};
use chapada_wire::convert::{duration_to_wire, operation_uuid, wall_to_wire};
use chapada_wire::v1;
use chapada_wire::v1::agent::Response;
use chapada_wire::v1::agent::call::Type;
use chapada_wire::v1::agent::response::{
    GetAgent, GetExecutors, GetFrameworks, GetOperations, GetState, GetTasks, Type as Answer, get_executors,
    get_frameworks,
};
use prost::Message;

use super::super::state::executor_name;
use super::{Api, bare};
use crate::history::{Past, PastExecutor};
use crate::layout::executor_of;
use crate::outward::{Identity, status};

pub(super) fn agent(api: &Api, view: &View) -> GetAgent {
    let info = v1::AgentInfo { id: view.agent.as_ref().map(agent_id), ..api.who.info.clone() };
    let config = |drain: AgentDrain| v1::DrainConfig {
        max_grace_period: drain.max_grace.map(duration_to_wire),
        mark_gone: Some(drain.mark_gone),
    };
    GetAgent {
        agent_info: Some(info),
        drain_config: view.drain.map(config),
        estimated_drain_start_time: view.drain.map(|drain| wall_to_wire(drain.since)),
    }
}

fn agent_id(id: &AgentId) -> v1::AgentId {
    v1::AgentId { value: Some(id.to_string()) }
}

pub(super) fn answer(api: &Api, kind: Type, view: &View, past: &[Past]) -> Response {
    match kind {
        Type::GetFrameworks => {
            Response { get_frameworks: Some(frameworks(view, past)), ..bare(Answer::GetFrameworks) }
        }
        Type::GetExecutors => {
            Response { get_executors: Some(executors(view, past)), ..bare(Answer::GetExecutors) }
        }
        Type::GetOperations => {
            Response { get_operations: Some(operations(view)), ..bare(Answer::GetOperations) }
        }
        Type::GetTasks => Response { get_tasks: Some(tasks(api, view, past)), ..bare(Answer::GetTasks) },
        _ => {
            let get_state = GetState {
                get_tasks: Some(tasks(api, view, past)),
                get_executors: Some(executors(view, past)),
                get_frameworks: Some(frameworks(view, past)),
            };
            Response { get_state: Some(get_state), ..bare(Answer::GetState) }
        }
    }
}

/// Those whose outcome waits for an acknowledgement. Of what kind one was, the agent is not told.
fn operations(view: &View) -> GetOperations {
    let shown = |operation: &OperationView| {
        let known = &operation.status;
        let mut status = v1::OperationStatus::from(&**known);
        if !operation.is_durable {
            status.state = Some(v1::OperationState::OperationPending.into());
            (status.uuid, status.message) = (None, None);
            status.converted_resources.clear();
        }
        let info = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Unknown.into()),
            id: status.operation_id.clone(),
            ..v1::offer::Operation::default()
        };
        v1::Operation {
            framework_id: known.framework.as_ref().map(Into::into),
            agent_id: view.agent.as_ref().map(agent_id),
            info: Some(info),
            statuses: vec![status.clone()],
            latest_status: Some(status),
            uuid: known.key.as_ref().map(operation_uuid),
        }
    };
    GetOperations { operations: view.operations.iter().map(shown).collect() }
}

fn frameworks(view: &View, past: &[Past]) -> GetFrameworks {
    let shown = |framework: &Arc<FrameworkRecord>| get_frameworks::Framework {
        framework_info: v1::FrameworkInfo::decode(framework.info.as_bytes()).ok(),
    };
    let over = past.iter().filter(|past| past.is_over());
    GetFrameworks {
        frameworks: view.frameworks.iter().map(shown).collect(),
        completed_frameworks: over.map(|past| shown(&past.framework)).collect(),
    }
}

/// Executors of frameworks' own and of pods, and one for each command task, as Mesos has it.
fn executors(view: &View, past: &[Past]) -> GetExecutors {
    let shown = |executor_info| get_executors::Executor { executor_info: Some(executor_info) };
    let alone = view.tasks.iter().filter(|task| task.record.executor().is_none());
    let (live, ended): (Vec<_>, Vec<_>) = alone.partition(|task| task.phase.is_live());
    let own = view.executors.iter().map(|executor: &ExecutorView| own_executor(&executor.record));
    let over = past.iter().flat_map(|past| &past.executors).map(|executor| match executor {
        PastExecutor::OfCommand(task) => command_executor(task),
        PastExecutor::Own(record, _) => own_executor(record),
    });
    GetExecutors {
        executors: own.chain(live.into_iter().map(command_executor)).map(shown).collect(),
        completed_executors: ended.into_iter().map(command_executor).chain(over).map(shown).collect(),
    }
}

fn own_executor(record: &ExecutorRecord) -> v1::ExecutorInfo {
    let info = v1::ExecutorInfo::decode(record.info.as_bytes()).unwrap_or_default();
    v1::ExecutorInfo { framework_id: Some((&record.key.framework).into()), ..info }
}

fn command_executor(task: &TaskView) -> v1::ExecutorInfo {
    let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
    v1::ExecutorInfo {
        executor_id: Some((&executor_of(&task.record)).into()),
        framework_id: Some((&task.record.key.framework).into()),
        name: Some(executor_name(&info)),
        source: Some(task.record.key.task.to_string()),
        command: info.command,
        discovery: info.discovery,
        labels: info.labels,
        ..v1::ExecutorInfo::default()
    }
}

fn tasks(api: &Api, view: &View, past: &[Past]) -> GetTasks {
    let ip = api.who.address.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let identity = view.agent.clone().zip(ip).map(|(agent, ip)| Identity {
        agent,
        ip,
        networks: api.means.supplies.networks.clone(),
        classes: api.means.supplies.network_classes.clone(),
    });
    let shown = |task: &TaskView| task_of(task, identity.as_ref());
    let (live, ended): (Vec<_>, Vec<_>) = view.tasks.iter().partition(|task| task.phase.is_live());
    let (queued, launched): (Vec<_>, Vec<_>) = live.into_iter().partition(|task| task.is_queued);
    GetTasks {
        queued_tasks: queued.into_iter().map(shown).collect(),
        launched_tasks: launched.into_iter().map(shown).collect(),
        terminated_tasks: ended.into_iter().map(shown).collect(),
        completed_tasks: past.iter().flat_map(Past::all_tasks).map(shown).collect(),
        ..GetTasks::default()
    }
}

fn task_of(task: &TaskView, identity: Option<&Identity>) -> v1::Task {
    let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
    let newest = task.newest.as_deref();
    let said = newest.zip(identity).map(|(update, identity)| status(&task.record, update, identity));
    let state = newest.map_or(TaskState::Staging, |update| update.state);
    v1::Task {
        name: info.name,
        task_id: info.task_id,
        framework_id: Some((&task.record.key.framework).into()),
        executor_id: task.record.executor().map(Into::into),
        agent_id: info.agent_id,
        state: Some(state.number()),
        resources: info.resources,
        status_update_state: newest.map(|update| update.state.number()),
        status_update_uuid: newest.map(|update| update.uuid.0.to_vec()),
        statuses: said.into_iter().collect(),
        labels: info.labels,
        discovery: info.discovery,
        user: info.command.and_then(|command| command.user),
        container: info.container,
        health_check: info.health_check,
        kill_policy: info.kill_policy,
        limits: info.limits,
    }
}
