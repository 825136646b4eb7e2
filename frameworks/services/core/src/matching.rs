//! What one instance of an app asks of an offer, in the terms of the SDK's matching.

use std::collections::BTreeSet;

use chapada_model::Milli;
use chapada_sdk_core::{DiskWish, PortWish, Request};

use crate::definition::{AppDefinition, HostPort, Persistent};

/// What one instance of `app` needs that has no volumes yet.
pub fn request(app: &AppDefinition) -> Request {
    let mut fixed = BTreeSet::new();
    let wish = |port| match port {
        HostPort::None => None,
        HostPort::Any => Some(PortWish::Any),
        // One port of the machine, whichever transports lead where from it.
        HostPort::Fixed(port) => fixed.insert(port).then_some(PortWish::Exactly(port)),
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
        ..Request::default()
    }
}

/// The ports that were placed for [`request`], one for each port of the app that is one of the machine's.
pub(crate) fn spread(app: &AppDefinition, placed: Vec<u16>) -> Vec<u16> {
    let (mut placed, mut fixed) = (placed.into_iter(), BTreeSet::new());
    let given = |port| match port {
        HostPort::Fixed(port) if !fixed.insert(port) => Some(port),
        HostPort::None | HostPort::Any | HostPort::Fixed(_) => placed.next(),
    };
    app.host_ports().filter_map(given).collect()
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
    fn a_port_of_the_machine_is_asked_for_once_and_leads_to_all_that_name_it() {
        let mapping = |container: u16, host: u16, protocol: &str| json!({"containerPort": container, "hostPort": host, "protocol": protocol});
        let mappings = [mapping(53, 53, "udp"), mapping(80, 0, "tcp"), mapping(53, 53, "tcp")];
        let json = json!({
            "id": "/dns", "cmd": "true", "networks": [{"mode": "container/bridge"}],
            "container": {"type": "MESOS", "portMappings": mappings},
        });
        let app = AppDefinition::from_json(json.as_object().unwrap(), "*").unwrap();
        assert_eq!(request(&app).ports, [PortWish::Exactly(53), PortWish::Any]);
        assert_eq!(spread(&app, vec![53, 31_000]), [53, 31_000, 53]);
    }

    #[test]
    fn roles_and_constraints_are_asked_for() {
        let request = asked(json!({"acceptedResourceRoles": ["*"], "constraints": [["hostname", "UNIQUE"]]}));
        assert_eq!(request.accepted_roles, [chapada_model::Text::from("*")]);
        assert_eq!(request.constraints.len(), 1);
    }
}
