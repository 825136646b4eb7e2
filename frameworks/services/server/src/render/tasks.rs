//! Tasks.

use chapada_model::TaskState;
use chapada_services_core::{
    App, AppState, CheckResult, CheckState, Condition, Instance, InstanceId, LocalVolume, Network, Port,
    ReadinessCheck, Task, task_ports,
};
use serde_json::{Value, json};

use super::{Assembly, state_name};

/// A task as the API lists it.
pub(crate) fn task(app: &App, task: &Task) -> Value {
    let mut json = json!({
        "appId": app.definition.id,
        "id": task.id,
        "host": task.hostname,
        "slaveId": task.agent,
        "state": state_name(shown_state(task)),
        "stagedAt": task.staged_at,
        "version": task.version,
        "ipAddresses": addresses(task),
        "servicePorts": service_ports(app),
        "role": app.definition.role,
    });
    if task.condition != Condition::Unreachable {
        json["ports"] = json!(task.ports);
    }
    if let Some(started) = task.started_at {
        json["startedAt"] = json!(started);
    }
    for (name, value) in [("region", &task.region), ("zone", &task.zone)] {
        if let Some(value) = value {
            json[name] = json!(value);
        }
    }
    if !task.volumes.is_empty() {
        json["localVolumes"] = task.volumes.iter().map(|volume| local_volume(app, volume)).collect();
    }
    if let Some(result) = task.check {
        json["checkResult"] = match result {
            CheckResult::Http(status) => json!({"http": {"statusCode": status}}),
            CheckResult::Tcp(succeeded) => json!({"tcp": {"succeeded": succeeded}}),
            CheckResult::Command(code) => json!({"command": {"exitCode": code}}),
        };
    }
    let results = health(task);
    if !results.is_empty() {
        json["healthCheckResults"] = json!(results);
    }
    json
}

/// A volume that an instance finds again.
pub(super) fn local_volume(app: &App, volume: &LocalVolume) -> Value {
    json!({
        "runSpecId": app.definition.id, "containerPath": volume.container_path, "uuid": volume.uuid,
        "persistenceId": volume.persistence_id,
    })
}

/// Its own addresses, where it is in a network of its own.
pub(super) fn addresses(task: &Task) -> Vec<Value> {
    let each = task.addresses.iter().map(|address| {
        let protocol = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        json!({"ipAddress": address, "protocol": protocol})
    });
    each.collect()
}

/// Who has been told to end is not to be counted on any more, whatever was heard of it last.
pub(crate) fn shown_state(task: &Task) -> TaskState {
    match task.kill_sent.is_some() && task.condition != Condition::Unreachable {
        true => TaskState::Killing,
        false => task.condition.task_state(),
    }
}

/// Whether there are readiness checks in any definition that its tasks may have.
pub(crate) fn is_asked(state: &AppState) -> bool {
    let definitions = state.versions.values().chain([&state.app]);
    definitions.into_iter().any(|app| !app.definition.readiness_checks.is_empty())
}

/// What readiness checks have found of one of an app's tasks.
pub(crate) fn readiness_of(state: &AppState, task: &Task) -> Vec<Value> {
    let definition = &state.versions.get(&task.version).unwrap_or(&state.app).definition;
    let result = |(index, check): (usize, &ReadinessCheck)| {
        let found = task.readiness.get(index);
        let ready = task.ready || found.is_some_and(|found| found.ready);
        let mut json = json!({"name": check.name, "taskId": task.id, "ready": ready});
        if let Some(response) = found.and_then(|found| found.response.as_ref()) {
            json["lastResponse"] = json!({
                "status": response.status, "contentType": response.content_type, "body": response.body,
            });
        }
        json
    };
    definition.readiness_checks.iter().enumerate().map(result).collect()
}

/// What each health check has found; what the executor says of one that has none of ours.
fn health(task: &Task) -> Vec<Value> {
    if task.health.is_empty() {
        return task.healthy.iter().map(|alive| json!({"alive": alive, "consecutiveFailures": 0})).collect();
    }
    let instance = InstanceId::of_task(task.id.as_str());
    let result = |check: &CheckState| {
        let mut json = json!({
            "alive": check.alive.unwrap_or(false),
            "consecutiveFailures": check.consecutive_failures,
            "instanceId": instance,
        });
        let times = [
            ("firstSuccess", check.first_success),
            ("lastSuccess", check.last_success),
            ("lastFailure", check.last_failure),
        ];
        for (name, at) in times {
            if let Some(at) = at {
                json[name] = json!(at);
            }
        }
        if let Some(cause) = &check.last_failure_cause {
            json["lastFailureCause"] = json!(cause);
        }
        json
    };
    task.health.iter().map(result).collect()
}

/// Every task of an app.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Vec<Value>);

impl Assembly for Tasks {
    type Out = Vec<Value>;

    fn add(&mut self, state: &AppState, instance: &Instance) {
        self.0.extend(instance.task().map(|one| task(&state.app, one)));
    }

    fn done(self, _state: &AppState) -> Vec<Value> {
        self.0
    }
}

fn service_ports(app: &App) -> Vec<u16> {
    app.definition.ports().map(|port| port.service).collect()
}

/// Whether a port is in one of `networks`. Those of the machine and of the bridge are, and every one is when none is named.
fn counts(app: &App, port: &Port<'_>, networks: &[String]) -> bool {
    let named = |network: &Network| network.name.as_ref().is_some_and(|name| networks.contains(name));
    networks.is_empty()
        || !app.definition.has_own_address()
        || match port.network_names {
            [] => app.definition.networks.iter().any(named),
            names => names.iter().any(|name| networks.contains(name)),
        }
}

/// The old text form that load balancer scripts read: app, service port, then where it is reached. Ports of container networks
/// that are not among those named are left out, unless none is.
#[derive(Debug)]
pub(crate) struct Text {
    /// The number of each port and its line so far; without ports there is one line, of hosts.
    lines: Vec<(usize, String)>,
    has_ports: bool,
}

impl Text {
    pub(crate) fn of(state: &AppState, networks: &[String]) -> Self {
        let id = state.app.definition.id.safe();
        let ports = || state.app.definition.ports().enumerate();
        let shown = ports().filter(|(_, port)| counts(&state.app, port, networks));
        let lines: Vec<_> = shown.map(|(index, port)| (index, format!("{id}\t{}\t", port.service))).collect();
        match ports().next() {
            Some(_) => Self { lines, has_ports: true },
            None => Self { lines: vec![(0, format!("{id}\t \t"))], has_ports: false },
        }
    }
}

impl Assembly for Text {
    type Out = String;

    fn add(&mut self, state: &AppState, instance: &Instance) {
        let running = |task: &&Task| shown_state(task) == TaskState::Running && task.ready;
        let Some(task) = instance.task().filter(running) else { return };
        for (index, line) in &mut self.lines {
            if !self.has_ports {
                line.push_str(&format!("{}\t", task.hostname));
                continue;
            }
            let Some(port) = task_ports(&state.app.definition, task).nth(*index) else { continue };
            match (port.host, task.addresses.first()) {
                (Some(host), _) => line.push_str(&format!("{}:{host}\t", task.hostname)),
                (None, Some(own)) => line.push_str(&format!("{own}:{}\t", port.listens)),
                (None, None) => {}
            }
        }
    }

    fn done(self, _state: &AppState) -> String {
        let bare = |line: &str| !self.has_ports && line.ends_with(" \t");
        self.lines
            .iter()
            .map(|(_, line)| format!("{line}{}", if bare(line) { "\t\n" } else { "\n" }))
            .collect()
    }
}
