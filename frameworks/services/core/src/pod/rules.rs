//! The rules that a pod of the right types must still keep.

use std::collections::BTreeSet;

use chapada_model::Milli;
use serde_json::{Map, Value};

use super::check;
use super::definition::{Endpoint, Pod, PodContainer, PodVolume};
use crate::definition::container::image_error;
use crate::definition::fetch::fetch_rules;
use crate::definition::limits::limit_rules;
use crate::definition::network::network_rules;
use crate::definition::reader::{Errors, FieldError};
use crate::definition::secret::{env_rules, secret_rules};
use crate::definition::volume::{host_error, target_error};
use crate::definition::{AppDefinition, NO_NETWORK, NetworkMode};

/// The longest name of a container, endpoint or volume.
const MAX_NAME: usize = 63;
/// The most containers of one pod: they travel in one message.
const MAX_CONTAINERS: usize = 32;
/// The largest definition, as JSON, for the same reason.
const MAX_DEFINITION: usize = 64 * 1024;
/// The longest path of a pod and name of a container together: with an instance's UUID and the number of an incarnation
/// they are the id of a task, which has 255 bytes at most.
const MAX_TASK_NAME: usize = 195;
/// What the master wants of the executor of a group at least.
const LEAST_EXECUTOR: (Milli, Milli) = (Milli(10), Milli(32_000));

/// Every rule that the pod breaks, those of scheduling apart.
pub(super) fn rules(pod: &Pod) -> Errors {
    let mut errors = Errors::new();
    if pod.containers.is_empty() || pod.containers.len() > MAX_CONTAINERS {
        let error = format!("must have at least one container and at most {MAX_CONTAINERS}");
        errors.push(FieldError::new("/containers", error));
    }
    let executor = pod.executor_resources;
    let (cpus, mem) = LEAST_EXECUTOR;
    for (name, enough, least) in [
        ("cpus", executor.cpus >= cpus, "0.01"),
        ("mem", executor.mem >= mem, "32"),
        ("disk", !executor.disk.is_zero(), "0.001"),
    ] {
        if !enough {
            let error = format!("must be greater than or equal to {least}");
            errors.push(FieldError::new(format!("/executorResources/{name}"), error));
        }
    }
    errors.extend(network_rules(&pod.networks));
    errors.extend(secret_rules(&pod.secrets));
    errors.extend(env_rules("/environment", &pod.environment, &pod.secrets));
    errors.extend(volume_rules(pod));
    errors.extend(endpoint_rules(pod));
    let mut names = BTreeSet::new();
    for (index, container) in pod.containers.iter().enumerate() {
        let path = format!("/containers({index})");
        errors.extend(name_rules(&path, &container.name));
        if !names.insert(&container.name) {
            errors.push(FieldError::new(format!("{path}/name"), "must be unique within the pod"));
        }
        errors.extend(container_rules(&path, container, pod));
    }
    errors
}

fn container_rules(path: &str, container: &PodContainer, pod: &Pod) -> Errors {
    let mut errors = Errors::new();
    let mut require = |holds: bool, field: &str, error: &str| {
        if !holds {
            errors.push(FieldError::new(format!("{path}{field}"), error));
        }
    };
    require(container.exec.is_some() || container.image.is_some(), "", "must have an exec or an image");
    require(container.resources.cpus >= Milli(1), "/resources/cpus", "got 0, expected 0.001 or more");
    require(!container.resources.mem.is_zero(), "/resources/mem", "must be greater than 0");
    let user = container.user.as_deref();
    require(user.is_none_or(|user| !user.is_empty() && !user.contains('\0')), "/user", "must not be empty");
    let grace = container.lifecycle.and_then(|lifecycle| lifecycle.kill_grace_period_seconds);
    let field = "/lifecycle/killGracePeriodSeconds";
    require(grace.is_none_or(|grace| grace.0 >= 0.0), field, "must be greater than or equal to 0");
    let shares = pod.legacy_shared_cgroups && container.resource_limits.is_some();
    require(!shares, "/resourceLimits", "may not be set in conjunction with legacySharedCgroups");
    let overrides = container.exec.as_ref().and_then(|exec| exec.override_entrypoint).is_some();
    let field = "/exec/overrideEntrypoint";
    require(!overrides || container.image.is_some(), field, "is only for containers with an image");
    let image = container.image.as_ref().and_then(|image| image_error(&image.id));
    errors.extend(image.map(|error| FieldError::new(format!("{path}/image/id"), error)));
    let resources = container.resources;
    let limits = container.resource_limits.as_ref();
    errors.extend(limit_rules(&format!("{path}/resourceLimits"), limits, resources.cpus, resources.mem));
    errors.extend(env_rules(&format!("{path}/environment"), &container.environment, &pod.secrets));
    errors.extend(fetch_rules(&format!("{path}/artifacts"), &container.artifacts));
    errors.extend(mount_rules(path, container, pod));
    errors.extend(check::rules(path, container));
    errors
}

fn mount_rules(path: &str, container: &PodContainer, pod: &Pod) -> Errors {
    let mut errors = Errors::new();
    let mut places = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        let at = |field: &str| format!("{path}/volumeMounts({index})/{field}");
        match pod.volume(&mount.name) {
            None => errors.push(FieldError::new(at("name"), "must be the name of one of the pod's volumes")),
            Some(PodVolume::Secret { .. }) if mount.read_only == Some(false) => {
                errors.push(FieldError::new(at("readOnly"), "must be true for a secret"));
            }
            Some(_) => {}
        }
        if let Some(error) = target_error(&mount.mount_path) {
            errors.push(FieldError::new(at("mountPath"), error));
        } else if !places.insert(mount.mount_path.trim_end_matches('/')) {
            errors.push(FieldError::new(at("mountPath"), "must be unique within the container"));
        }
    }
    errors
}

fn volume_rules(pod: &Pod) -> Errors {
    let mut errors = Errors::new();
    let mut names = BTreeSet::new();
    for (index, volume) in pod.volumes.iter().enumerate() {
        let path = format!("/volumes({index})");
        errors.extend(name_rules(&path, volume.name()));
        if !names.insert(volume.name()) {
            errors.push(FieldError::new(format!("{path}/name"), "must be unique within the pod"));
        }
        let mut mounts = pod.containers.iter().flat_map(|container| &container.volume_mounts);
        if !mounts.any(|mount| mount.name == volume.name()) {
            errors.push(FieldError::new(&path, "must be mounted by at least one container"));
        }
        match volume {
            PodVolume::Host { host, .. } => {
                let error = host_error(host);
                errors.extend(error.map(|error| FieldError::new(format!("{path}/host"), error)));
            }
            PodVolume::Secret { secret, .. } if !pod.secrets.contains_key(secret) => {
                let error = format!("references an undefined secret named '{secret}'");
                errors.push(FieldError::new(format!("{path}/secret"), error));
            }
            PodVolume::Persistent { name, .. } => {
                let error = target_error(name);
                errors.extend(error.map(|error| FieldError::new(format!("{path}/name"), error)));
            }
            PodVolume::Secret { .. } | PodVolume::Ephemeral { .. } => {}
        }
    }
    errors
}

fn endpoint_rules(pod: &Pod) -> Errors {
    let mut errors = Errors::new();
    let (mut names, mut hosts, mut inside) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (at, container) in pod.containers.iter().enumerate() {
        for (index, endpoint) in container.endpoints.iter().enumerate() {
            let path = format!("/containers({at})/endpoints({index})");
            errors.extend(name_rules(&path, &endpoint.name));
            errors.extend(port_rules(&path, endpoint, pod));
            let mut once = |is_new: bool, field: &str| {
                if !is_new {
                    let error = "must be unique within the pod";
                    errors.push(FieldError::new(format!("{path}/{field}"), error));
                }
            };
            once(names.insert(endpoint.name.as_str()), "name");
            let host = endpoint.host_port.filter(|port| *port != 0);
            once(host.is_none_or(|port| hosts.insert(port)), "hostPort");
            let container = endpoint.container_port.filter(|port| *port != 0);
            once(container.is_none_or(|port| inside.insert(port)), "containerPort");
        }
    }
    errors
}

fn port_rules(path: &str, endpoint: &Endpoint, pod: &Pod) -> Errors {
    let mut errors = Errors::new();
    let mut refuse = |field: &str, error: &str| {
        errors.push(FieldError::new(format!("{path}/{field}"), error));
    };
    let networks = &pod.networks;
    match (networks[0].mode, endpoint.container_port) {
        (NetworkMode::Host, Some(_)) => refuse("containerPort", "is not for the host network"),
        (NetworkMode::Container | NetworkMode::Bridge, None) => {
            refuse("containerPort", "must be given for container networks");
        }
        _ => {}
    }
    let distinct: BTreeSet<&String> = endpoint.protocol.iter().collect();
    let known = endpoint.protocol.iter().all(|protocol| ["tcp", "udp"].contains(&protocol.as_str()));
    if !known || distinct.len() != endpoint.protocol.len() {
        refuse("protocol", "must be tcp, udp or both, each once");
    }
    let named = |name: &String| networks.iter().any(|network| network.name.as_ref() == Some(name));
    if !endpoint.network_names.iter().all(named) {
        refuse("networkNames", "must be names of the pod's networks");
    }
    let alone = networks[0].name.as_deref() == Some(NO_NETWORK);
    if alone && endpoint.host_port.is_some() {
        refuse("hostPort", "nothing leads into the network none: leave it out");
    }
    let several = networks[0].mode == NetworkMode::Container && networks.len() > 1;
    if several && endpoint.host_port.is_some() && endpoint.network_names.len() != 1 {
        refuse("networkNames", "must be the one network that the host port leads to");
    }
    errors
}

fn name_rules(path: &str, name: &str) -> Errors {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges = name.bytes().next().is_some_and(is_letter) && name.bytes().last().is_some_and(is_letter);
    let fits = edges && name.len() <= MAX_NAME && name.bytes().all(|b| is_letter(b) || b == b'-');
    if fits {
        return Errors::new();
    }
    let error =
        "must fully match regular expression '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' and have 63 letters at most";
    vec![FieldError::new(format!("{path}/name"), error)]
}

/// What is wrong with how long things are.
pub(super) fn length_rules(needs: &AppDefinition, pod: &Pod, object: &Map<String, Value>) -> Errors {
    let mut errors = Errors::new();
    for (index, container) in pod.containers.iter().enumerate() {
        if needs.id.as_str().len() + container.name.len() > MAX_TASK_NAME {
            let error = format!("and the pod's id must not be longer than {MAX_TASK_NAME} letters together");
            errors.push(FieldError::new(format!("/containers({index})/name"), error));
        }
    }
    if serde_json::to_vec(object).is_ok_and(|json| json.len() > MAX_DEFINITION) {
        let error = format!("the definition must not be longer than {MAX_DEFINITION} bytes");
        errors.push(FieldError::new("/", error));
    }
    errors
}
