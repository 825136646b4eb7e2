//! What one instance of an app asks of an offer, in the terms of the SDK's matching.

use chapada_model::Milli;
use chapada_sdk_core::{DiskWish, PortWish, Request};

use crate::definition::{AppDefinition, HostPort, Persistent};

/// What one instance of `app` needs that has no volumes yet.
pub fn request(app: &AppDefinition) -> Request {
    let wish = |port| match port {
        HostPort::None => None,
        HostPort::Any => Some(PortWish::Any),
        HostPort::Fixed(port) => Some(PortWish::Exactly(port)),
    };
    Request {
        cpus: app.cpus,
        mem: app.mem,
        disk: app.disk,
        gpus: Milli::whole(app.gpus.into()),
        ports: app.host_ports().filter_map(wish).collect(),
        constraints: app.constraints.clone(),
        disks: app.persistent_volumes().map(|(path, volume)| disk(path, volume)).collect(),
        accepted_roles: app.accepted_resource_roles.iter().map(|role| role.as_str().into()).collect(),
        // Source: Marathon's `gpu_scheduling_behavior` is `restricted` unless told otherwise.
        spares_gpus: true,
        ..Request::default()
    }
}

fn disk(path: &str, volume: &Persistent) -> DiskWish {
    DiskWish { name: path.into(), kind: volume.r#type.source(), size: volume.size, max_size: volume.max_size }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(more: Value) -> Request {
        let mut json = json!({"id": "/a", "cmd": "true", "cpus": 1.5, "mem": 64});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request(&AppDefinition::from_json(json.as_object().unwrap(), "*").unwrap())
    }

    #[test]
    fn ports_are_fixed_only_when_they_are_required() {
        let plain = asked(json!({"ports": [0, 101]}));
        assert_eq!((plain.cpus, plain.mem), (Milli(1_500), Milli::whole(64)));
        assert_eq!(plain.ports, [PortWish::Any, PortWish::Any]);
        let required = asked(json!({"ports": [0, 101], "requirePorts": true}));
        assert_eq!(required.ports, [PortWish::Any, PortWish::Exactly(101)]);
    }

    #[test]
    fn roles_and_constraints_are_asked_for() {
        let request = asked(json!({"acceptedResourceRoles": ["*"], "constraints": [["hostname", "UNIQUE"]]}));
        assert_eq!(request.accepted_roles, [chapada_model::Text::from("*")]);
        assert_eq!(request.constraints.len(), 1);
    }
}
