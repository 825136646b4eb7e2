//! What scheduling needs of a pod, in the one form that it has for apps too. It is read as an app is, so that the same rules
//! hold; only the fields stand elsewhere.

use serde_json::{Map, Value, json};

use super::definition::Pod;
use crate::definition::persistent;
use crate::definition::reader::{FieldError, Fields};
use crate::definition::{AppDefinition, Defaults, InvalidDefinition, Rules};

/// Where the fields of an app stand in a pod, the longer paths first.
const PLACES: [(&str, &str); 16] = [
    ("/acceptedResourceRoles", "/scheduling/placement/acceptedResourceRoles"),
    ("/maxLaunchDelaySeconds", "/scheduling/backoff/maxLaunchDelay"),
    ("/unreachableStrategy", "/scheduling/unreachableStrategy"),
    ("/upgradeStrategy", "/scheduling/upgrade"),
    ("/backoffSeconds", "/scheduling/backoff/backoff"),
    ("/killSelection", "/scheduling/killSelection"),
    ("/backoffFactor", "/scheduling/backoff/backoffFactor"),
    ("/constraints", "/scheduling/placement/constraints"),
    ("/instances", "/scaling/instances"),
    ("/container/volumes", "/volumes"),
    ("/portDefinitions", "/containers"),
    ("/requirePorts", "/containers"),
    ("/disk", "/containers"),
    ("/cpus", "/containers"),
    ("/mem", "/containers"),
    ("/gpus", "/containers"),
];

/// Reads what scheduling needs of the definition in `fields`, whose containers are those of `pod`.
///
/// # Errors
/// As for an app, with the paths that the fields have in a pod.
pub(super) fn read(
    fields: &Fields<'_>,
    pod: &Pod,
    defaults: Defaults<'_>,
    rules: Rules,
) -> Result<AppDefinition, InvalidDefinition> {
    let mut wrong = Vec::new();
    let mut app = Map::new();
    let mut set = |name: &str, value: Option<&Value>| {
        if let Some(value) = value {
            app.insert(name.to_owned(), value.clone());
        }
    };
    for name in ["id", "labels", "user", "role"] {
        set(name, fields.get(name));
    }
    if let Some(scaling) = fields.object("scaling", &mut wrong) {
        if scaling.text("kind", &mut wrong).is_some_and(|kind| kind != "fixed") {
            wrong.push(FieldError::new(scaling.path("kind"), "error.expected: fixed"));
        }
        set("instances", scaling.get("instances"));
    }
    if let Some(scheduling) = fields.object("scheduling", &mut wrong) {
        set("killSelection", scheduling.get("killSelection"));
        set("unreachableStrategy", scheduling.get("unreachableStrategy"));
        set("upgradeStrategy", scheduling.get("upgrade"));
        if let Some(backoff) = scheduling.object("backoff", &mut wrong) {
            set("backoffSeconds", backoff.get("backoff"));
            set("backoffFactor", backoff.get("backoffFactor"));
            set("maxLaunchDelaySeconds", backoff.get("maxLaunchDelay"));
        }
        if let Some(placement) = scheduling.object("placement", &mut wrong) {
            let roles = placement.get("acceptedResourceRoles");
            set("acceptedResourceRoles", roles.filter(|roles| **roles != json!([])));
            let constraints = placement.objects("constraints", &mut wrong).unwrap_or_default();
            set("constraints", Some(&constraints.iter().map(words).collect()));
        }
    }
    let total = pod.total();
    set("cpus", Some(&json!(total.cpus.to_f64())));
    set("mem", Some(&json!(total.mem.to_f64())));
    set("disk", Some(&json!(total.disk.to_f64())));
    set("gpus", Some(&json!(total.gpus)));
    set("cmd", Some(&json!("pod")));
    set("portDefinitions", Some(&ports(pod)));
    set("requirePorts", Some(&json!(true)));
    let read = AppDefinition::read(&app, defaults, rules);
    match read {
        Err(InvalidDefinition::WrongType(errors)) => {
            wrong.extend(moved(errors));
            Err(InvalidDefinition::WrongType(wrong))
        }
        _ if !wrong.is_empty() => Err(InvalidDefinition::WrongType(wrong)),
        Err(InvalidDefinition::BreaksRule(errors)) => Err(InvalidDefinition::BreaksRule(moved(errors))),
        Ok(mut definition) => {
            if pod.persistent_volumes().next().is_some() {
                persistent::fill_in(&mut definition, |name| app.contains_key(name));
            }
            Ok(definition)
        }
    }
}

/// A constraint as an app has it.
fn words(constraint: &Fields<'_>) -> Value {
    let word = |name: &str| constraint.get(name).cloned();
    let mut words = vec![word("fieldName").unwrap_or(json!("")), word("operator").unwrap_or(json!(""))];
    words.extend(word("value").filter(|value| *value != json!("")));
    json!(words)
}

/// The ports of the machine that an instance needs, in the order of the endpoints.
fn ports(pod: &Pod) -> Value {
    let ports = pod.endpoints().filter_map(|(_, endpoint)| endpoint.host_port);
    ports.map(|port| json!({"port": port})).collect()
}

/// What is wrong with fields of an app, with the paths that they have in a pod.
pub(crate) fn moved(errors: Vec<FieldError>) -> Vec<FieldError> {
    let place = |path: &str| {
        let place = PLACES.iter().find_map(|(app, pod)| Some((pod, path.strip_prefix(app)?)));
        place.map_or_else(|| path.to_owned(), |(pod, rest)| format!("{pod}{rest}"))
    };
    errors.into_iter().map(|error| FieldError { path: place(&error.path), ..error }).collect()
}
