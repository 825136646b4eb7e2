//! Events in Marathon's words.

#[cfg(test)]
mod tests;

use chapada_model::FrameworkId;
use chapada_sdk::ExecutorMessage;
use chapada_services_core::{Action, ActionKind, AppId, Deployment, Published};
use serde_json::{Value, json};

use super::{deployments, state_name, tasks};

/// An event in both forms, without its type and time.
pub(crate) struct Rendered {
    /// Its type.
    pub(crate) kind: &'static str,
    /// With whole plans.
    pub(crate) heavy: Value,
    /// With plans that are steps only, if it carries one.
    pub(crate) light: Option<Value>,
}

impl Rendered {
    /// An event that carries no plan.
    pub(crate) fn plain(kind: &'static str, body: Value) -> Self {
        Self { kind, heavy: body, light: None }
    }

    fn with_plan(kind: &'static str, plan: &Deployment, body: impl Fn(Value) -> Value) -> Self {
        let heavy = body(deployments::plan(plan, false));
        Self { kind, heavy, light: Some(body(deployments::plan(plan, true))) }
    }
}

fn step(actions: &[Action]) -> impl Fn(Value) -> Value {
    let step = deployments::step(actions);
    move |plan| json!({"plan": plan, "currentStep": step})
}

/// The master takes our calls from now on, for the first time or again.
pub(crate) fn subscribed(framework: &FrameworkId, master: Option<&str>, new: bool) -> Rendered {
    match new {
        true => {
            Rendered::plain("scheduler_registered_event", json!({"frameworkId": framework, "master": master}))
        }
        false => Rendered::plain("scheduler_reregistered_event", json!({"master": master})),
    }
}

/// An executor says something to the framework.
pub(crate) fn message(message: &ExecutorMessage) -> Rendered {
    let said = String::from_utf8_lossy(&message.data);
    let body = json!({"executorId": message.executor, "slaveId": message.agent, "message": said});
    Rendered::plain("framework_message_event", body)
}

/// It does not any more.
pub(crate) fn disconnected() -> Rendered {
    Rendered::plain("scheduler_disconnected_event", json!({}))
}

/// The event in Marathon's words, which are two for a change of health, and more for a step that begins or ends health checks.
pub(crate) fn render(event: &Published) -> Vec<Rendered> {
    let mut rendered = Vec::new();
    if let Published::Failed { plan, .. } = event
        && !plan.now().is_empty()
    {
        rendered.push(Rendered::with_plan("deployment_step_failure", plan, step(plan.now())));
    }
    rendered.push(render_one(event));
    if let Published::Health { id, version, healthy } = event {
        let body =
            json!({"appId": id.app(), "instanceId": id, "version": version, "alive": healthy == &Some(true)});
        rendered.push(Rendered::plain("health_status_changed_event", body));
    }
    if let Published::Step { plan, actions } = event {
        rendered.extend(actions.iter().flat_map(|action| health_checks(plan, action)));
    }
    rendered
}

/// The health checks of the apps that a step begins to bring about, or ends.
fn health_checks(plan: &Deployment, action: &Action) -> Vec<Rendered> {
    let app: &AppId = &action.app;
    let Some(change) = plan.changes.get(app) else { return Vec::new() };
    match (action.action, &change.to, &change.from) {
        (ActionKind::StartApplication | ActionKind::RestartApplication, Some(to), _) => {
            let body = |check| json!({"appId": app, "version": to.version, "healthCheck": check});
            let checks = to.definition.health_checks.iter();
            checks.map(|check| Rendered::plain("add_health_check_event", body(check))).collect()
        }
        (ActionKind::StopApplication, _, Some(from)) if !from.definition.health_checks.is_empty() => {
            vec![Rendered::plain("remove_health_check_event", json!({"appId": app}))]
        }
        _ => Vec::new(),
    }
}

fn render_one(event: &Published) -> Rendered {
    match event {
        Published::Status { app, task, state, message } => Rendered::plain(
            "status_update_event",
            json!({
                "slaveId": task.agent, "taskId": task.id, "taskStatus": state_name(*state), "message": message,
                "appId": app, "host": task.hostname, "ipAddresses": tasks::addresses(task), "ports": task.ports, "version": task.version,
            }),
        ),
        Published::Instance { id, condition, version, place } => {
            let (agent, host) = place.as_ref().map(|(agent, host)| (agent, host)).unzip();
            Rendered::plain(
                "instance_changed_event",
                json!({
                    "instanceId": id, "condition": condition, "runSpecId": id.app(), "agentId": agent, "host": host,
                    "runSpecVersion": version,
                }),
            )
        }
        Published::CheckFailed { id, version, check } => Rendered::plain(
            "failed_health_check_event",
            json!({"appId": id.app(), "taskId": id, "instanceId": id, "version": version, "healthCheck": check}),
        ),
        Published::Health { id, version, healthy } | Published::InstanceHealth { id, version, healthy } => {
            Rendered::plain(
                "instance_health_changed_event",
                json!({"instanceId": id, "runSpecId": id.app(), "runSpecVersion": version, "healthy": healthy}),
            )
        }
        Published::UnhealthyKill { id, cause, task } => Rendered::plain(
            "unhealthy_instance_kill_event",
            json!({
                "appId": id.app(), "taskId": task.id, "instanceId": id, "version": task.version,
                "reason": cause, "host": task.hostname,
                "slaveId": task.agent,
            }),
        ),
        Published::UnknownTerminated { id, condition } => Rendered::plain(
            "unknown_instance_terminated_event",
            json!({"instanceId": id, "runSpecId": id.app(), "condition": condition}),
        ),
        Published::Step { plan, actions } => Rendered::with_plan("deployment_info", plan, step(actions)),
        Published::StepDone { plan, actions } => {
            Rendered::with_plan("deployment_step_success", plan, step(actions))
        }
        Published::Deployed(plan) => {
            Rendered::with_plan("deployment_success", plan, |json| json!({"id": plan.id, "plan": json}))
        }
        Published::Cancelled(plan) => Rendered::with_plan(
            "deployment_failed",
            plan,
            |json| json!({"id": plan.id, "plan": json, "reason": "cancelled"}),
        ),
        Published::Failed { plan, reason } => Rendered::with_plan(
            "deployment_failed",
            plan,
            |json| json!({"id": plan.id, "plan": json, "reason": reason}),
        ),
        Published::Changed { group, version } => {
            Rendered::plain("group_change_success", json!({"groupId": group, "version": version}))
        }
        Published::GroupFailed { group, version, reason } => Rendered::plain(
            "group_change_failed",
            json!({"groupId": group, "version": version, "reason": reason}),
        ),
        Published::Terminated(app) => Rendered::plain("app_terminated_event", json!({"appId": app})),
    }
}
