//! From the JSON of a request or of the store to a pod.

use std::sync::Arc;

use chapada_model::Milli;
use serde_json::{Map, Value};

use super::definition::{Amounts, Pod, PodVolume};
use super::{container, rules, scheduling};
use crate::definition::network::read_networks;
use crate::definition::persistent;
use crate::definition::reader::{Errors, FieldError, Fields};
use crate::definition::secret::{read_env, read_secrets};
use crate::definition::{
    AppDefinition, Defaults, InvalidDefinition, Network, NetworkMode, Persistent, Rules,
};

/// Reads a definition that may leave to `defaults` what they say.
///
/// # Errors
/// Every field that has the wrong type; or, when none has, every field that breaks a rule or asks for something that is
/// not supported.
pub fn read(object: &Map<String, Value>, defaults: Defaults<'_>) -> Result<AppDefinition, InvalidDefinition> {
    read_by(object, defaults, Rules::Hold)
}

/// Reads a definition that was kept.
///
/// # Errors
/// Every field that has the wrong type, or says what nothing here can represent.
pub(crate) fn kept(object: &Map<String, Value>) -> Result<AppDefinition, InvalidDefinition> {
    read_by(object, Defaults { role: "*", network: None }, Rules::Held)
}

fn read_by(
    object: &Map<String, Value>,
    defaults: Defaults<'_>,
    by: Rules,
) -> Result<AppDefinition, InvalidDefinition> {
    let fields = Fields::root(object);
    let (mut wrong, mut broken) = (Errors::new(), Errors::new());
    let pod = read_pod(&fields, defaults, &mut wrong, &mut broken);
    let needs = scheduling::read(&fields, &pod, defaults, by);
    if let Err(InvalidDefinition::WrongType(errors)) = &needs {
        wrong.extend(errors.iter().cloned());
    }
    if !wrong.is_empty() {
        return Err(InvalidDefinition::WrongType(wrong));
    }
    if by == Rules::Hold {
        broken.extend(rules::rules(&pod));
    }
    match needs {
        Ok(needs) => {
            if by == Rules::Hold {
                broken.extend(rules::length_rules(&needs, &pod, object));
            }
            let definition = AppDefinition { pod: Some(Arc::new(pod)), ..needs };
            if by == Rules::Hold {
                broken.extend(scheduling::moved(persistent::rules(&definition)));
            }
            if broken.is_empty() { Ok(definition) } else { Err(InvalidDefinition::BreaksRule(broken)) }
        }
        Err(InvalidDefinition::BreaksRule(errors) | InvalidDefinition::WrongType(errors)) => {
            broken.extend(errors);
            Err(InvalidDefinition::BreaksRule(broken))
        }
    }
}

fn read_pod(fields: &Fields<'_>, defaults: Defaults<'_>, wrong: &mut Errors, broken: &mut Errors) -> Pod {
    if fields.get("containers").is_none() {
        wrong.push(FieldError::new("/containers", "error.path.missing"));
    }
    if fields.says_something("linuxInfo") {
        let error = "confine the containers by their own linuxInfo instead";
        broken.push(FieldError::new("/linuxInfo", error));
    }
    let networks = read_networks(fields, defaults.network, wrong, broken).unwrap_or_default();
    let networks = match networks.is_empty() {
        true => vec![Network::of_mode(NetworkMode::Host)],
        false => networks,
    };
    let mode = networks[0].mode;
    let containers = fields.objects("containers", wrong).unwrap_or_default();
    Pod {
        environment: read_env(fields, "environment", wrong).unwrap_or_default(),
        containers: containers.iter().map(|one| container::read(one, mode, wrong, broken)).collect(),
        secrets: read_secrets(fields, wrong),
        volumes: read_volumes(fields, wrong, broken),
        networks,
        executor_resources: read_executor(fields, wrong),
        legacy_shared_cgroups: fields.flag("legacySharedCgroups", wrong).unwrap_or(false),
    }
}

fn read_executor(fields: &Fields<'_>, wrong: &mut Errors) -> Amounts {
    let executor = fields.object("executorResources", wrong);
    let mut amount = |name, default| {
        executor.as_ref().and_then(|executor| executor.amount(name, wrong)).unwrap_or(Milli(default))
    };
    let (cpus, mem, disk) = (amount("cpus", 100), amount("mem", 32_000), amount("disk", 10_000));
    Amounts { cpus, mem, disk, gpus: 0 }
}

fn read_volumes(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Vec<PodVolume> {
    let mut found = Vec::new();
    for volume in fields.objects("volumes", wrong).unwrap_or_default() {
        if volume.get("name").is_none() {
            wrong.push(FieldError::new(volume.path("name"), "error.path.missing"));
        }
        let Some(name) = volume.text("name", wrong) else { continue };
        let (host, secret) = (volume.text("host", wrong), volume.text("secret", wrong));
        let persistent = Persistent::read(&volume, wrong, broken);
        let kinds = [host.is_some(), secret.is_some(), persistent.is_some()];
        if kinds.into_iter().filter(|there| *there).count() > 1 {
            broken.push(FieldError::new(volume.at(), "must be of one kind only"));
        }
        found.push(match (persistent, host, secret) {
            (Some(persistent), ..) => PodVolume::Persistent { name, persistent },
            (None, Some(host), _) => PodVolume::Host { name, host },
            (None, None, Some(secret)) => PodVolume::Secret { name, secret },
            (None, None, None) => PodVolume::Ephemeral { name },
        });
    }
    found
}
