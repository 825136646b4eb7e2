//! From the JSON of a request or of the store to an [`AppDefinition`].

use chapada_model::Milli;
use serde_json::{Map, Value};

use super::networking::{self, Networking};
use super::reader::{Errors, FieldError, Fields};
use super::{AppDefinition, KillSelection, Seconds, UnreachableStrategy, UpgradeStrategy};
use crate::group::PathId;
use crate::id::AppId;

/// Why a definition was refused, by field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDefinition {
    /// A field has the wrong type or is missing.
    #[error("invalid JSON at {}", paths(.0))]
    WrongType(Vec<FieldError>),
    /// The types are right, the meaning is not, or not supported.
    #[error("invalid definition at {}", paths(.0))]
    BreaksRule(Vec<FieldError>),
}

fn paths(errors: &[FieldError]) -> String {
    errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a definition means by leaving something out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults<'a> {
    /// The role it is offered resources in.
    pub role: &'a str,
    /// The container network of those that name none.
    pub network: Option<&'a str>,
}

/// Whether a definition is held against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// It is new.
    Hold,
    /// It was when it came. Rules that are newer than it do not keep what runs from being read back.
    Held,
}

/// `definition` with the fields of `update` in place of its own: what a partial update means. A command replaces the
/// arguments and the other way round, an old-style `ports` list replaces the port definitions.
pub fn merged(definition: &AppDefinition, update: &Map<String, Value>) -> Map<String, Value> {
    let mut result = match serde_json::to_value(definition) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::new(),
    };
    let says = |name: &str| update.get(name).is_some_and(|value| !value.is_null());
    for (given, replaced) in [("cmd", "args"), ("args", "cmd"), ("uris", "fetch")] {
        if says(given) {
            result.remove(replaced);
        }
    }
    networking::make_way(&mut result, update);
    for (name, value) in update {
        if !value.is_null() {
            result.insert(name.clone(), value.clone());
        }
    }
    result
}

impl AppDefinition {
    /// Reads a definition. `default_role` is taken when it names no role; a container network must have its name.
    ///
    /// # Errors
    /// Every field that has the wrong type; or, when none has, every field that breaks a rule or asks for something
    /// that is not supported.
    pub fn from_json(object: &Map<String, Value>, default_role: &str) -> Result<Self, InvalidDefinition> {
        Self::with_defaults(object, Defaults { role: default_role, network: None })
    }

    /// Reads a definition that may leave to `defaults` what they say.
    ///
    /// # Errors
    /// As [`AppDefinition::from_json`].
    pub fn with_defaults(
        object: &Map<String, Value>,
        defaults: Defaults<'_>,
    ) -> Result<Self, InvalidDefinition> {
        Self::read(object, defaults, Rules::Hold)
    }

    /// Reads a definition that was kept.
    ///
    /// # Errors
    /// Every field that has the wrong type, or says what nothing here can represent.
    pub(crate) fn kept(object: &Map<String, Value>) -> Result<Self, InvalidDefinition> {
        Self::read(object, Defaults { role: "*", network: None }, Rules::Held)
    }

    pub(crate) fn read(
        object: &Map<String, Value>,
        defaults: Defaults<'_>,
        rules: Rules,
    ) -> Result<Self, InvalidDefinition> {
        let fields = Fields::root(object);
        let mut wrong = Errors::new();
        let mut broken = Errors::new();
        let definition = read(&fields, defaults, &mut wrong, &mut broken);
        if !wrong.is_empty() {
            return Err(InvalidDefinition::WrongType(wrong));
        }
        if rules == Rules::Hold {
            broken.extend(super::validate::unsupported(&fields));
        }
        let Some(definition) = definition else {
            return Err(InvalidDefinition::BreaksRule(broken));
        };
        if rules == Rules::Hold {
            broken.extend(super::validate::rules(&definition));
        }
        if broken.is_empty() { Ok(definition) } else { Err(InvalidDefinition::BreaksRule(broken)) }
    }
}

fn read(
    fields: &Fields<'_>,
    defaults: Defaults<'_>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<AppDefinition> {
    let id = id(fields, wrong, broken);
    let Networking { networks, container, port_definitions } =
        networking::read(fields, defaults.network, wrong, broken);
    let mapped = container.as_ref().and_then(|container| container.port_mappings.as_ref());
    let has_ports = mapped.is_some_and(|ports| !ports.is_empty())
        || port_definitions.as_ref().is_some_and(|ports| !ports.is_empty());
    let mut seconds = |name, default| Seconds(fields.number(name, wrong).unwrap_or(default));
    let backoff_seconds = seconds("backoffSeconds", 1.0);
    let max_launch_delay_seconds = seconds("maxLaunchDelaySeconds", 300.0);
    let mut definition = AppDefinition {
        id: id.clone().unwrap_or_else(|| "/unnamed".parse().expect("a lower-case word is a path")),
        cmd: fields.text("cmd", wrong),
        args: fields.texts("args", wrong).unwrap_or_default(),
        instances: fields.count("instances", wrong).unwrap_or(1),
        cpus: fields.amount("cpus", wrong).unwrap_or(Milli(1_000)),
        mem: fields.amount("mem", wrong).unwrap_or(Milli(128_000)),
        disk: fields.amount("disk", wrong).unwrap_or(Milli(0)),
        gpus: fields.count("gpus", wrong).unwrap_or(0),
        resource_limits: super::limits::read_limits(fields, wrong),
        executor: fields.text("executor", wrong).unwrap_or_default(),
        user: fields.text("user", wrong),
        env: super::secret::read_env(fields, "env", wrong).unwrap_or_default(),
        secrets: super::secret::read_secrets(fields, wrong),
        labels: fields.text_map("labels", wrong).unwrap_or_default(),
        fetch: super::fetch::read_app(fields, wrong, broken),
        constraints: constraints(fields, wrong, broken),
        accepted_resource_roles: accepted_roles(fields, wrong, broken),
        role: fields.text("role", wrong).unwrap_or_else(|| defaults.role.to_owned()),
        networks,
        port_definitions,
        health_checks: super::health::read(fields, has_ports, wrong, broken),
        readiness_checks: super::readiness::read(fields, wrong, broken),
        container,
        check: super::check::read(fields, wrong, broken),
        residency: super::residency::read(fields, wrong, broken),
        tty: fields.flag("tty", wrong),
        dependencies: dependencies(fields, id.as_ref(), wrong),
        require_ports: fields.flag("requirePorts", wrong).unwrap_or(false),
        backoff_seconds,
        backoff_factor: fields.number("backoffFactor", wrong).unwrap_or(1.15),
        max_launch_delay_seconds,
        task_kill_grace_period_seconds: fields.number("taskKillGracePeriodSeconds", wrong).map(Seconds),
        kill_selection: kill_selection(fields, wrong, broken),
        unreachable_strategy: unreachable(fields, wrong, broken),
        upgrade_strategy: upgrade(fields, wrong),
        rollout: super::rollout::read(fields, wrong, broken),
        pod: None,
    };
    if definition.is_resident() {
        super::persistent::fill_in(&mut definition, |name| fields.get(name).is_some());
    }
    id.map(|_| definition)
}

/// What it depends on, beginning where it stands.
fn dependencies(fields: &Fields<'_>, id: Option<&AppId>, wrong: &mut Errors) -> Vec<PathId> {
    let here = id.map_or_else(PathId::root, PathId::from);
    crate::group::dependencies(fields, &here, wrong).unwrap_or_default()
}

fn id(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<AppId> {
    if fields.get("id").is_none() {
        wrong.push(FieldError::new("/id", "error.path.missing"));
        return None;
    }
    let text = fields.text("id", wrong)?;
    text.parse()
        .map_err(|error: crate::id::InvalidAppId| broken.push(FieldError::new("/id", error.to_string())))
        .ok()
}

fn constraints(
    fields: &Fields<'_>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Vec<chapada_sdk_core::Constraint> {
    let mut found = Vec::new();
    for (index, value) in fields.list("constraints", wrong).unwrap_or_default().iter().enumerate() {
        let path = format!("/constraints({index})");
        let words: Option<Vec<&str>> =
            value.as_array().and_then(|words| words.iter().map(Value::as_str).collect());
        match words.map(|words| chapada_sdk_core::Constraint::from_words(&words)) {
            None => wrong.push(FieldError::new(path, "error.expected.jsarray of strings")),
            Some(Err(error)) => broken.push(FieldError::new(path, error.to_string())),
            Some(Ok(constraint)) => found.push(constraint),
        }
    }
    found
}

fn accepted_roles(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Vec<String> {
    let roles = fields.texts("acceptedResourceRoles", wrong);
    if roles.as_ref().is_some_and(Vec::is_empty) {
        broken.push(FieldError::new("/acceptedResourceRoles", "must not be empty"));
    }
    roles.unwrap_or_default()
}

fn kill_selection(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> KillSelection {
    match fields.text("killSelection", wrong).as_deref() {
        None | Some("YOUNGEST_FIRST") => KillSelection::YoungestFirst,
        Some("OLDEST_FIRST") => KillSelection::OldestFirst,
        Some(_) => {
            broken.push(FieldError::new("/killSelection", "must be YOUNGEST_FIRST or OLDEST_FIRST"));
            KillSelection::YoungestFirst
        }
    }
}

fn unreachable(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> UnreachableStrategy {
    match fields.get("unreachableStrategy") {
        Some(Value::String(text)) if text == "disabled" => UnreachableStrategy::Disabled,
        Some(Value::String(_)) => {
            broken.push(FieldError::new("/unreachableStrategy", "must be an object or \"disabled\""));
            UnreachableStrategy::Disabled
        }
        _ => {
            let object = fields.object("unreachableStrategy", wrong);
            let mut seconds =
                |name| Seconds(object.as_ref().and_then(|object| object.number(name, wrong)).unwrap_or(0.0));
            let inactive = seconds("inactiveAfterSeconds");
            UnreachableStrategy::After { inactive, expunge: seconds("expungeAfterSeconds") }
        }
    }
}

fn upgrade(fields: &Fields<'_>, wrong: &mut Errors) -> UpgradeStrategy {
    let object = fields.object("upgradeStrategy", wrong);
    let mut share = |name| match &object {
        None => 1.0,
        Some(object) if object.get(name).is_none() => {
            wrong.push(FieldError::new(object.path(name), "error.path.missing"));
            1.0
        }
        Some(object) => object.number(name, wrong).unwrap_or(1.0),
    };
    let minimum_health_capacity = share("minimumHealthCapacity");
    UpgradeStrategy { minimum_health_capacity, maximum_over_capacity: share("maximumOverCapacity") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: Value) -> Result<AppDefinition, InvalidDefinition> {
        AppDefinition::from_json(json.as_object().unwrap(), "*")
    }

    fn broken(json: Value) -> Vec<String> {
        match parse(json.clone()) {
            Err(InvalidDefinition::BreaksRule(errors)) => {
                errors.into_iter().map(|error| error.path).collect()
            }
            other => panic!("{json} gave {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_marathons() {
        let app = parse(json!({"id": "web", "cmd": "sleep 1"})).unwrap();
        assert_eq!(
            serde_json::to_value(&app).unwrap(),
            json!({
                "id": "/web", "cmd": "sleep 1", "instances": 1, "cpus": 1, "mem": 128, "disk": 0, "gpus": 0,
                "executor": "", "labels": {}, "role": "*", "networks": [{"mode": "host"}],
                "portDefinitions": [{"port": 0, "protocol": "tcp", "name": "default", "labels": {}}],
                "requirePorts": false, "backoffSeconds": 1, "backoffFactor": 1.15, "maxLaunchDelaySeconds": 300,
                "killSelection": "YOUNGEST_FIRST",
                "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
                "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
            })
        );
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let app = parse(json!({
            "id": "/a/b", "args": ["x", "y"], "instances": 3, "cpus": 0.1, "mem": 32.5, "disk": 1, "user": "nobody",
            "env": {"A": "1", "N": 2}, "labels": {"k": "v"}, "constraints": [["hostname", "unique"]],
            "acceptedResourceRoles": ["*"], "role": "web", "container": {"type": "MESOS"}, "requirePorts": true,
            "portDefinitions": [{"port": 8080, "protocol": "udp,tcp", "name": "http", "labels": {"VIP_0": "x"}}],
            "healthChecks": [{"path": "/up", "portIndex": 0, "intervalSeconds": 5}, {"protocol": "TCP", "port": 80}],
            "backoffSeconds": 0.5, "backoffFactor": 2, "maxLaunchDelaySeconds": 10, "taskKillGracePeriodSeconds": 3,
            "killSelection": "OLDEST_FIRST", "unreachableStrategy": "disabled",
            "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0},
        }))
        .unwrap();
        let written = serde_json::to_value(&app).unwrap();
        assert_eq!(parse(written), Ok(app));
    }

    #[test]
    fn every_wrong_type_is_named() {
        let Err(InvalidDefinition::WrongType(errors)) = parse(
            json!({"cpus": "1", "env": [], "labels": {"a": []}, "ports": [70000], "upgradeStrategy": {}}),
        ) else {
            panic!("accepted")
        };
        let mut paths: Vec<_> = errors.into_iter().map(|error| error.path).collect();
        paths.sort();
        assert_eq!(
            paths,
            [
                "/cpus",
                "/env",
                "/id",
                "/labels(a)",
                "/ports(0)",
                "/upgradeStrategy/maximumOverCapacity",
                "/upgradeStrategy/minimumHealthCapacity"
            ]
        );
    }

    #[test]
    fn rules_name_the_field() {
        for (json, path) in [
            (json!({"id": "/A", "cmd": "true"}), "/id"),
            (json!({"id": "/a"}), "/"),
            (json!({"id": "/a", "cmd": "true", "args": ["true"]}), "/"),
            (json!({"id": "/a", "cmd": "true", "cpus": 0}), "/cpus"),
            (json!({"id": "/a", "cmd": "true", "backoffFactor": 0.5}), "/backoffFactor"),
            (json!({"id": "/a", "cmd": "true", "constraints": [["hostname", "NEAR"]]}), "/constraints(0)"),
            (
                json!({"id": "/a", "cmd": "true", "healthChecks": [{"portIndex": 1}]}),
                "/healthChecks(0)/portIndex",
            ),
            (json!({"id": "/a", "cmd": "true", "ports": [], "healthChecks": [{}]}), "/healthChecks(0)"),
            (json!({"id": "/a", "cmd": "true", "ports": [80, 80]}), "/portDefinitions"),
            (
                json!({"id": "/a", "cmd": "true", "upgradeStrategy": {"minimumHealthCapacity": 2, "maximumOverCapacity": 0}}),
                "/upgradeStrategy/minimumHealthCapacity",
            ),
            (
                json!({"id": "/a", "cmd": "true", "unreachableStrategy": {"inactiveAfterSeconds": 9, "expungeAfterSeconds": 3}}),
                "/unreachableStrategy",
            ),
        ] {
            assert_eq!(broken(json), [path]);
        }
    }

    #[test]
    fn a_partial_update_keeps_what_it_does_not_name() {
        let app = parse(json!({"id": "/a", "cmd": "old", "mem": 64, "ports": [0, 0]})).unwrap();
        let update = json!({"args": ["new"], "instances": 2});
        let after = AppDefinition::from_json(&merged(&app, update.as_object().unwrap()), "*").unwrap();
        assert_eq!((after.cmd.as_deref(), after.args.as_slice()), (None, ["new".to_owned()].as_slice()));
        assert_eq!((after.instances, after.mem, after.ports().count()), (2, Milli(64_000), 2));
    }
}
