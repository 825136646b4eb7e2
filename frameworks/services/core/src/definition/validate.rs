//! The rules a definition of the right types must still keep, and what is refused because nothing here does it yet:
//! a field is never taken and then ignored.

use std::collections::BTreeSet;

use chapada_model::Milli;
use serde_json::Value;

use super::reader::{Errors, FieldError, Fields};
use super::{AppDefinition, UnreachableStrategy};

/// The most instances one app may ask for.
pub(crate) const MAX_INSTANCES: u32 = 100_000;
/// The largest definition, as JSON: a task made of it must reach the agent in one message of 256 KiB, labels twice.
const MAX_DEFINITION: usize = 64 * 1024;
/// The most ports of one instance; each takes a line of environment and of the offer.
const MAX_PORTS: usize = 100;

/// Fields of Marathon's that are refused when they say anything.
const REFUSED: &[(&str, &str)] = &[
    ("fetch", "fetching files into the sandbox is not supported yet"),
    ("uris", "fetching files into the sandbox is not supported yet"),
    ("storeUrls", "fetching files into the sandbox is not supported yet"),
    ("check", "checks are not supported yet"),
    ("secrets", "secrets are not supported"),
    ("resourceLimits", "limits apart from the requested resources are not supported yet"),
    ("executorResources", "apps run under the built-in executor, which needs no resources of its own"),
    ("tty", "terminals are not supported yet"),
    ("ipAddress", "addresses per task are not supported yet"),
];

/// Every field that asks for what does not exist here.
pub(super) fn unsupported(fields: &Fields<'_>) -> Errors {
    let mut errors: Errors = REFUSED
        .iter()
        .filter(|(name, _)| fields.says_something(name))
        .map(|(name, why)| FieldError::new(format!("/{name}"), *why))
        .collect();
    let mut ignored = Errors::new();
    for network in fields.objects("networks", &mut ignored).unwrap_or_default() {
        if network.text("mode", &mut ignored).as_deref() != Some("host") {
            errors.push(FieldError::new(network.path("mode"), "only host networking is supported yet"));
        }
    }
    if let Some(container) = fields.object("container", &mut ignored) {
        errors.extend(container_rules(&container));
    }
    errors.extend(ignored);
    errors
}

fn container_rules(container: &Fields<'_>) -> Errors {
    let mut errors = Errors::new();
    if container.says_something("docker") {
        let message =
            "container images are not supported yet; leave `docker` out to run on the agent's file system";
        errors.push(FieldError::new(container.path("docker"), message));
    } else if container.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "MESOS") {
        errors.push(FieldError::new(container.path("type"), "must be MESOS"));
    }
    for name in ["volumes", "portMappings", "linuxInfo"] {
        if container.says_something(name) {
            errors.push(FieldError::new(container.path(name), "not supported yet"));
        }
    }
    errors
}

/// Every rule that the definition breaks.
pub(super) fn rules(app: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    let mut require = |holds: bool, path: &str, error: &str| {
        if !holds {
            errors.push(FieldError::new(path, error));
        }
    };
    let one_command = app.cmd.is_some() == app.args.is_empty();
    require(
        one_command,
        "/",
        "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
    );
    require(app.cmd.as_ref().is_none_or(|cmd| !cmd.trim().is_empty()), "/cmd", "must not be empty");
    require(app.cpus >= Milli(1), "/cpus", "got 0, expected 0.001 or more");
    require(app.gpus == 0, "/gpus", "GPUs are not supported yet");
    require(app.instances <= MAX_INSTANCES, "/instances", "must not be more than 100000");
    require(
        matches!(app.executor.as_str(), "" | "//cmd"),
        "/executor",
        "only the command executor is supported",
    );
    require(app.backoff_factor >= 1.0, "/backoffFactor", "must be greater than or equal to 1.0");
    let times = [
        ("/backoffSeconds", Some(app.backoff_seconds)),
        ("/maxLaunchDelaySeconds", Some(app.max_launch_delay_seconds)),
        ("/taskKillGracePeriodSeconds", app.task_kill_grace_period_seconds),
    ];
    for (path, time) in times {
        require(time.is_none_or(|time| time.0 >= 0.0), path, "must be greater than or equal to 0");
    }
    let unit = |share: f64| (0.0..=1.0).contains(&share);
    let strategy = app.upgrade_strategy;
    let path = "/upgradeStrategy/minimumHealthCapacity";
    require(unit(strategy.minimum_health_capacity), path, "is not between 0.0 and 1.0");
    let path = "/upgradeStrategy/maximumOverCapacity";
    require(unit(strategy.maximum_over_capacity), path, "is not between 0.0 and 1.0");
    errors.extend(unreachable_rules(app));
    errors.extend(port_rules(app));
    errors.extend(text_rules(app));
    errors.extend(role_rules(app));
    errors.extend(single_instance_rules(app));
    errors.extend(super::health::rules(&app.health_checks, app.port_definitions.len()));
    let names: Vec<Option<&str>> = app.port_definitions.iter().map(|port| port.name.as_deref()).collect();
    errors.extend(super::readiness::rules(&app.readiness_checks, &names));
    errors
}

fn unreachable_rules(app: &AppDefinition) -> Errors {
    match app.unreachable_strategy {
        UnreachableStrategy::After { inactive, expunge } if inactive.0 < 0.0 || expunge < inactive => {
            let error = "inactiveAfterSeconds must be 0 or more and no more than expungeAfterSeconds";
            vec![FieldError::new("/unreachableStrategy", error)]
        }
        UnreachableStrategy::After { .. } | UnreachableStrategy::Disabled => Errors::new(),
    }
}

fn port_rules(app: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    let ports = &app.port_definitions;
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    if !ports.iter().filter(|port| port.port != 0).all(|port| numbers.insert(port.port)) {
        errors.push(FieldError::new("/portDefinitions", "Ports must be unique."));
    }
    if !ports.iter().filter_map(|port| port.name.as_deref()).all(|name| names.insert(name)) {
        errors.push(FieldError::new("/portDefinitions", "Port names must be unique."));
    }
    if ports.len() > MAX_PORTS {
        errors.push(FieldError::new("/portDefinitions", format!("must not be more than {MAX_PORTS}")));
    }
    errors
}

fn text_rules(app: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    let mut check = |path: String, text: &str| {
        if text.contains('\0') {
            errors.push(FieldError::new(path, "must not contain a NUL character"));
        }
    };
    check("/cmd".to_owned(), app.cmd.as_deref().unwrap_or_default());
    for (index, arg) in app.args.iter().enumerate() {
        check(format!("/args({index})"), arg);
    }
    for (name, value) in &app.env {
        check(format!("/env({name})"), value);
    }
    for (name, value) in &app.labels {
        check(format!("/labels({name})"), value);
    }
    for name in app.env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
        errors.push(FieldError::new(format!("/env({name})"), "must not be empty nor contain `=` or NUL"));
    }
    if serde_json::to_vec(app).is_ok_and(|json| json.len() > MAX_DEFINITION) {
        errors.push(FieldError::new(
            "/",
            format!("the definition must not be longer than {MAX_DEFINITION} bytes"),
        ));
    }
    errors
}

fn role_rules(app: &AppDefinition) -> Errors {
    let usable = |role: &String| *role == "*" || *role == app.role;
    if app.accepted_resource_roles.iter().all(usable) {
        return Errors::new();
    }
    vec![FieldError::new("/acceptedResourceRoles", format!("may only contain * and {}", app.role))]
}

/// Rules of the label that promises there is never more than one.
fn single_instance_rules(app: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    if app.labels.get("MARATHON_SINGLE_INSTANCE_APP").is_none_or(|value| value != "true") {
        return errors;
    }
    if app.instances > 1 {
        errors.push(FieldError::new("/instances", "must be 0 or 1 for a single-instance app"));
    }
    let strategy = app.upgrade_strategy;
    if strategy.minimum_health_capacity != 0.0 || strategy.maximum_over_capacity != 0.0 {
        errors
            .push(FieldError::new("/upgradeStrategy", "both capacities must be 0 for a single-instance app"));
    }
    errors
}
