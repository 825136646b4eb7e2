//! Pods and how they are.

use chapada_services_core::{
    Amounts, App, AppState, Condition, ContainerState, ContainerTask, Endpoint, Instance, Pod, PodContainer,
    PodTermination, Task, Timestamp, pod_definition,
};
use serde_json::{Value, json};

use super::{Assembly, tasks};

/// A pod's definition and its version.
pub(crate) fn definition(app: &App, pod: &Pod) -> Value {
    let mut json = Value::Object(pod_definition(&app.definition, pod));
    json["version"] = json!(app.version);
    json
}

/// A pod's definition alone.
#[derive(Debug)]
pub(crate) struct Definition(Value);

impl Definition {
    pub(crate) fn of(state: &AppState) -> Self {
        Self(super::apps::definition(&state.app))
    }
}

impl Assembly for Definition {
    type Out = Value;

    fn wants_instances(&self) -> bool {
        false
    }

    fn add(&mut self, _state: &AppState, _instance: &Instance) {}

    fn done(self, _state: &AppState) -> Value {
        self.0
    }
}

/// How a pod is.
#[derive(Debug, Default)]
pub(crate) struct Status {
    instances: Vec<Value>,
    stable: usize,
    since: Timestamp,
}

impl Assembly for Status {
    type Out = Value;

    fn add(&mut self, state: &AppState, one: &Instance) {
        let json = instance(state, one);
        self.stable += usize::from(json["status"] == "STABLE");
        self.since = self.since.max(changed_at(&state.app, one));
        self.instances.push(json);
    }

    fn done(self, state: &AppState) -> Value {
        let Some(pod) = &state.app.definition.pod else { return Value::Null };
        let status = match () {
            () if state.deleting => "TERMINAL",
            () if self.stable >= state.target() as usize => "STABLE",
            () => "DEGRADED",
        };
        let since = self.since.max(state.app.version);
        let ended: Vec<Value> = state.terminations.iter().map(termination).collect();
        json!({
            "id": state.app.definition.id,
            "spec": definition(&state.app, pod),
            "status": status,
            "statusSince": since,
            "instances": self.instances,
            "terminationHistory": ended,
            "lastUpdated": since,
            "lastChanged": since,
        })
    }
}

/// When something about an instance last changed.
fn changed_at(app: &App, instance: &Instance) -> Timestamp {
    let Some(task) = instance.task() else {
        return instance.waiting_since().unwrap_or(app.version);
    };
    let parts = task.pod.iter().flat_map(|pod| &pod.containers);
    parts.map(|part| part.since.max(part.healthy_since.unwrap_or_default())).fold(task.staged_at, Ord::max)
}

/// How an instance is.
pub(crate) fn instance(state: &AppState, instance: &Instance) -> Value {
    let since = changed_at(&state.app, instance);
    let task = instance.task();
    let app = task.map_or(&state.app, |task| state.versions.get(&task.version).unwrap_or(&state.app));
    let id = &app.definition.id;
    let version = task.map_or(app.version, |task| task.version);
    let mut json = json!({
        "id": instance.id,
        "status": instance_status(instance),
        "statusSince": since,
        "conditions": [],
        "resources": resources_of(app),
        "networks": [],
        "containers": [],
        "specReference": format!("/v2/pods{id}::versions/{version}"),
        "localVolumes": local_volumes(state, instance),
        "lastUpdated": since,
        "lastChanged": since,
        "role": app.definition.role,
    });
    if let (Some(task), Some(pod)) = (task, &app.definition.pod) {
        json["agentHostname"] = json!(task.hostname);
        json["agentId"] = json!(task.agent);
        for (name, value) in [("agentRegion", &task.region), ("agentZone", &task.zone)] {
            if let Some(value) = value {
                json[name] = json!(value);
            }
        }
        json["networks"] = networks(pod, task);
        let parts = task.pod.as_ref().map_or(&[][..], |parts| &parts.containers);
        let containers = pod.containers.iter().zip(parts);
        json["containers"] = containers.map(|(definition, part)| container(definition, part)).collect();
        if let Some(part) = parts.iter().find(|part| !part.is_alive() && !part.message.is_empty()) {
            json["message"] = json!(part.message);
        }
    }
    json
}

/// Also those of one that waits for them.
fn local_volumes(state: &AppState, instance: &Instance) -> Vec<Value> {
    let home = state.homes.get(&instance.id).map(|home| &home.volumes);
    let volumes = home.or(instance.task().map(|task| &task.volumes)).into_iter().flatten();
    volumes.map(|volume| tasks::local_volume(&state.app, volume)).collect()
}

fn instance_status(instance: &Instance) -> &'static str {
    match instance.task() {
        None => "PENDING",
        Some(task) => match task.condition {
            Condition::Provisioned => "PENDING",
            Condition::Staging | Condition::Starting => "STAGING",
            Condition::Running if task.healthy == Some(false) => "DEGRADED",
            Condition::Running => "STABLE",
            Condition::Unreachable => "DEGRADED",
            Condition::Killing => "TERMINAL",
        },
    }
}

fn resources_of(app: &App) -> Value {
    let definition = &app.definition;
    resources(Amounts {
        cpus: definition.cpus,
        mem: definition.mem,
        disk: definition.disk,
        gpus: definition.gpus,
    })
}

fn resources(amounts: Amounts) -> Value {
    json!(amounts)
}

fn networks(pod: &Pod, task: &Task) -> Value {
    let own = pod.has_own_network();
    let addresses = match own {
        true => task.addresses.iter().map(ToString::to_string).collect(),
        false => vec![task.hostname.clone()],
    };
    let network = |name: Option<&String>| match name {
        Some(name) => json!({"name": name, "addresses": addresses}),
        None => json!({"addresses": addresses}),
    };
    pod.networks.iter().map(|one| network(one.name.as_ref())).collect()
}

fn container(definition: &PodContainer, part: &ContainerTask) -> Value {
    let ports = definition.endpoints.iter().zip(&part.host_ports);
    let mut json = json!({
        "name": part.name,
        "status": part.state.task_state().name(),
        "statusSince": part.since,
        "containerId": part.id,
        "endpoints": ports.map(|(one, port)| endpoint(definition, one, *port, part)).collect::<Vec<Value>>(),
        "conditions": conditions(part),
        "resources": resources(definition.resources),
        "lastUpdated": part.since,
        "lastChanged": part.since,
    });
    if !part.message.is_empty() {
        json["message"] = json!(part.message);
    }
    if let Some(end) = end(part) {
        json["termination"] = end;
    }
    json
}

/// With whether it is well when it is what the container's health check asks, and was answered.
fn endpoint(container: &PodContainer, endpoint: &Endpoint, port: Option<u16>, part: &ContainerTask) -> Value {
    let mut json = json!({"name": endpoint.name});
    if let Some(port) = port {
        json["allocatedHostPort"] = json!(port);
    }
    let asked = container.health_check.as_ref().and_then(|check| check.asks.endpoint());
    if let Some(healthy) = part.healthy.filter(|_| asked == Some(endpoint.name.as_str())) {
        json["healthy"] = json!(healthy);
    }
    json
}

fn conditions(part: &ContainerTask) -> Value {
    if !part.checked {
        return json!([]);
    }
    let at = part.healthy_since.unwrap_or(part.since);
    let reason = match part.healthy {
        Some(_) => "health-reported-by-mesos",
        None => "health-unreported-by-mesos",
    };
    let value = (part.healthy == Some(true)).to_string();
    json!([{"name": "healthy", "value": value, "reason": reason, "lastChanged": at, "lastUpdated": at}])
}

/// How a container ended, if it did. Its agent says the status it ended with only in words.
fn end(part: &ContainerTask) -> Option<Value> {
    if part.is_alive() {
        return None;
    }
    let mut json = json!({"message": part.message});
    let said = part.message.rsplit_once("exited with status ").and_then(|(_, code)| code.parse::<i32>().ok());
    let code = said.or((part.state == ContainerState::Finished).then_some(0));
    if let Some(code) = code {
        json["exitCode"] = json!(code);
    }
    Some(json)
}

/// An instance that has ended.
fn termination(ended: &PodTermination) -> Value {
    let container = |part: &ContainerTask| {
        let mut json = json!({"containerId": part.id, "lastKnownState": part.state.task_state().name()});
        if let Some(end) = end(part) {
            json["termination"] = end;
        }
        json
    };
    let mut json = json!({
        "instanceID": ended.instance,
        "startedAt": ended.started_at,
        "terminatedAt": ended.at,
        "containers": ended.containers.iter().map(container).collect::<Vec<Value>>(),
    });
    if !ended.message.is_empty() {
        json["message"] = json!(ended.message);
    }
    json
}
