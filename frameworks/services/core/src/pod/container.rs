//! One container, from its JSON. Defaults are Marathon's.

use chapada_model::Milli;

use super::check;
use super::definition::{Amounts, Endpoint, Exec, Image, Lifecycle, PodContainer, VolumeMount};
use crate::definition::container::read_linux;
use crate::definition::fetch::read_fetch;
use crate::definition::limits::read_limits;
use crate::definition::reader::{Errors, FieldError, Fields};
use crate::definition::secret::read_env;
use crate::definition::{CommandLine, NetworkMode, Seconds};

pub(super) fn read(
    fields: &Fields<'_>,
    mode: NetworkMode,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> PodContainer {
    PodContainer {
        name: required(fields, "name", wrong),
        exec: read_exec(fields, wrong, broken),
        resources: read_resources(fields, wrong),
        resource_limits: read_limits(fields, wrong),
        endpoints: read_endpoints(fields, mode, wrong),
        image: read_image(fields, wrong, broken),
        environment: read_env(fields, "environment", wrong).unwrap_or_default(),
        user: fields.text("user", wrong),
        health_check: check::read_health(fields, wrong, broken),
        check: check::read_check(fields, wrong, broken),
        volume_mounts: read_mounts(fields, wrong),
        artifacts: read_fetch(fields, "artifacts", wrong),
        labels: fields.text_map("labels", wrong).unwrap_or_default(),
        lifecycle: fields.object("lifecycle", wrong).map(|lifecycle| Lifecycle {
            kill_grace_period_seconds: lifecycle.number("killGracePeriodSeconds", wrong).map(Seconds),
        }),
        tty: fields.flag("tty", wrong),
        linux_info: read_linux(fields, wrong, broken),
    }
}

/// A text that must be there.
fn required(fields: &Fields<'_>, name: &str, wrong: &mut Errors) -> String {
    if fields.get(name).is_none() {
        wrong.push(FieldError::new(fields.path(name), "error.path.missing"));
    }
    fields.text(name, wrong).unwrap_or_default()
}

fn read_exec(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Exec> {
    let exec = fields.object("exec", wrong)?;
    let command = CommandLine::read(&exec, wrong, broken)?;
    Some(Exec { command, override_entrypoint: exec.flag("overrideEntrypoint", wrong) })
}

fn read_resources(fields: &Fields<'_>, wrong: &mut Errors) -> Amounts {
    let Some(resources) = fields.object("resources", wrong) else {
        if fields.get("resources").is_none() {
            wrong.push(FieldError::new(fields.path("resources"), "error.path.missing"));
        }
        return Amounts { cpus: Milli(0), mem: Milli(0), disk: Milli(0), gpus: 0 };
    };
    for name in ["cpus", "mem"] {
        if resources.get(name).is_none() {
            wrong.push(FieldError::new(resources.path(name), "error.path.missing"));
        }
    }
    let gpus = resources.count("gpus", wrong).unwrap_or(0);
    let mut amount = |name| resources.amount(name, wrong).unwrap_or(Milli(0));
    Amounts { cpus: amount("cpus"), mem: amount("mem"), disk: amount("disk"), gpus }
}

fn read_endpoints(fields: &Fields<'_>, mode: NetworkMode, wrong: &mut Errors) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for endpoint in fields.objects("endpoints", wrong).unwrap_or_default() {
        let mut port = |name: &str| {
            let number = endpoint.count(name, wrong)?;
            let port = u16::try_from(number).ok();
            if port.is_none() {
                let error = "error.max: must be a port from 0 to 65535";
                wrong.push(FieldError::new(endpoint.path(name), error));
            }
            port
        };
        let (container_port, host_port) = (port("containerPort"), port("hostPort"));
        let any = (mode != NetworkMode::Container).then_some(0);
        let protocol = match endpoint.get("protocol") {
            // A single one may stand alone.
            Some(one) if one.is_string() => endpoint.text("protocol", wrong).map(|one| vec![one]),
            _ => endpoint.texts("protocol", wrong),
        };
        found.push(Endpoint {
            name: required(&endpoint, "name", wrong),
            container_port,
            host_port: host_port.or(any),
            protocol: protocol.filter(|list| !list.is_empty()).unwrap_or_else(|| vec!["tcp".to_owned()]),
            labels: endpoint.text_map("labels", wrong).unwrap_or_default(),
            network_names: endpoint.texts("networkNames", wrong).unwrap_or_default(),
        });
    }
    found
}

fn read_image(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Image> {
    let image = fields.object("image", wrong)?;
    let kind = required(&image, "kind", wrong);
    if !kind.is_empty() && kind != "DOCKER" {
        broken.push(FieldError::new(image.path("kind"), "must be DOCKER"));
    }
    if image.says_something("pullConfig") {
        let error = "agents have the credentials of registries from their operator (--docker-config)";
        broken.push(FieldError::new(image.path("pullConfig"), error));
    }
    Some(Image {
        kind: "DOCKER",
        id: required(&image, "id", wrong),
        force_pull: image.flag("forcePull", wrong),
        labels: image.text_map("labels", wrong).unwrap_or_default(),
    })
}

fn read_mounts(fields: &Fields<'_>, wrong: &mut Errors) -> Vec<VolumeMount> {
    let mounts = fields.objects("volumeMounts", wrong).unwrap_or_default();
    let mut found = Vec::new();
    for mount in mounts {
        found.push(VolumeMount {
            name: required(&mount, "name", wrong),
            mount_path: required(&mount, "mountPath", wrong),
            read_only: mount.flag("readOnly", wrong),
        });
    }
    found
}
