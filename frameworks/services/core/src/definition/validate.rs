//! The rules a definition of the right types must still keep, and what is refused because nothing here does it yet:
//! a field is never taken and then ignored.

use chapada_model::Milli;

use super::network::network_rules;
use super::port;
use super::reader::{Errors, FieldError, Fields};
use super::{AppDefinition, ContainerKind, UnreachableStrategy, Volume};

/// The most instances one app may ask for.
pub(crate) const MAX_INSTANCES: u32 = 100_000;
/// The largest definition, as JSON: a task made of it must reach the agent in one message of 256 KiB, labels twice.
const MAX_DEFINITION: usize = 64 * 1024;

/// Fields of Marathon's that are refused when they say anything.
const REFUSED: &[(&str, &str)] = &[
    ("storeUrls", "there is no artifact store; name the files in fetch"),
    ("executorResources", "apps run under the built-in executor, which needs no resources of its own"),
];

/// Every field that asks for what does not exist here.
pub(super) fn unsupported(fields: &Fields<'_>) -> Errors {
    let refused = REFUSED.iter().filter(|(name, _)| fields.says_something(name));
    refused.map(|(name, why)| FieldError::new(format!("/{name}"), *why)).collect()
}

/// Every rule that the definition breaks.
pub(super) fn rules(app: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    let mut require = |holds: bool, path: &str, error: &str| {
        if !holds {
            errors.push(FieldError::new(path, error));
        }
    };
    let one_command = match (&app.cmd, app.args.as_slice()) {
        (Some(_), []) => true,
        // Without an image the first argument is the program.
        (None, [program, ..]) => app.image().is_some() || !program.is_empty(),
        (None, []) => app.image().is_some(),
        (Some(_), [_, ..]) => false,
    };
    require(
        one_command,
        "/",
        "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
    );
    require(app.cmd.as_ref().is_none_or(|cmd| !cmd.trim().is_empty()), "/cmd", "must not be empty");
    require(app.cpus >= Milli(1), "/cpus", "got 0, expected 0.001 or more");
    let in_docker = app.container.as_ref().is_some_and(|container| container.r#type == ContainerKind::Docker);
    require(app.gpus == 0 || !in_docker, "/gpus", "must be 0 for containers of type DOCKER");
    require(app.check.is_none() || !in_docker, "/check", "is not for containers of type DOCKER");
    let user = app.user.as_deref();
    require(user.is_none_or(|user| !user.is_empty() && !user.contains('\0')), "/user", "must not be empty");
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
    errors.extend(super::fetch::fetch_rules("/fetch", &app.fetch));
    errors.extend(secret_rules(app));
    let limits = app.resource_limits.as_ref();
    errors.extend(super::limits::limit_rules("/resourceLimits", limits, app.cpus, app.mem));
    errors.extend(text_rules(app));
    errors.extend(role_rules(app));
    errors.extend(super::persistent::rules(app));
    errors.extend(single_instance_rules(app));
    errors.extend(migration_rules(app));
    let names: Vec<Option<&str>> = app.ports().map(|port| port.name).collect();
    errors.extend(super::health::rules(&app.health_checks, names.len(), in_docker));
    errors.extend(super::readiness::rules(&app.readiness_checks, &names));
    let check = app.check.as_ref();
    errors.extend(check.map(|check| super::check::rules(check, names.len())).unwrap_or_default());
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
    let mut errors = network_rules(&app.networks);
    errors.extend(port::definition_rules(app.port_definitions.as_deref().unwrap_or_default()));
    if let Some(container) = &app.container {
        let mappings = container.port_mappings.as_deref().unwrap_or_default();
        errors.extend(port::mapping_rules(mappings, &app.networks));
        errors.extend(super::container::rules(container));
        let in_docker = container.r#type == ContainerKind::Docker;
        if in_docker && app.networks.len() > 1 {
            let error = "must be only one for containers of type DOCKER";
            errors.push(FieldError::new("/networks", error));
        }
    }
    errors
}

/// Secrets, and what refers to them.
fn secret_rules(app: &AppDefinition) -> Errors {
    let mut errors = super::secret::secret_rules(&app.secrets);
    errors.extend(super::secret::env_rules("/env", &app.env, &app.secrets));
    let volumes = app.container.iter().flat_map(|container| &container.volumes);
    for (index, volume) in volumes.enumerate() {
        if let Volume::Secret { secret, .. } = volume
            && !app.secrets.contains_key(secret)
        {
            let path = format!("/container/volumes({index})/secret");
            errors.push(FieldError::new(path, format!("references an undefined secret named '{secret}'")));
        }
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
    for (name, value) in &app.labels {
        check(format!("/labels({name})"), value);
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

/// Labels by which a framework that is run as an app says where its API is.
fn migration_rules(app: &AppDefinition) -> Errors {
    let mut errors = Errors::new();
    let Some(version) = app.labels.get("DCOS_MIGRATION_API_VERSION") else { return errors };
    if version != "v1" {
        errors.push(FieldError::new("/labels(DCOS_MIGRATION_API_VERSION)", "must be v1"));
    }
    for name in ["DCOS_PACKAGE_FRAMEWORK_NAME", "DCOS_MIGRATION_API_PATH"] {
        if app.labels.get(name).is_none_or(String::is_empty) {
            let error = "must be there with DCOS_MIGRATION_API_VERSION";
            errors.push(FieldError::new(format!("/labels({name})"), error));
        }
    }
    errors
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
