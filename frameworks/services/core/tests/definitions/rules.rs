//! What is refused, and at which path.

use chapada_services_core::{AppDefinition, Defaults, FieldError, InvalidDefinition};
use serde_json::{Value, json};

fn parse(more: &Value) -> Result<AppDefinition, InvalidDefinition> {
    let mut json = json!({"id": "/a", "cmd": "true"});
    json.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    AppDefinition::from_json(json.as_object().expect("an object"), "*")
}

fn paths(errors: Vec<FieldError>) -> Vec<String> {
    errors.into_iter().map(|error| error.path).collect()
}

fn refused(more: Value, at: &str) {
    match parse(&more) {
        Err(InvalidDefinition::BreaksRule(errors)) => assert_eq!(paths(errors), [at], "{more}"),
        other => panic!("{more} gave {other:?}"),
    }
}

fn wrong(more: Value, at: &str) {
    match parse(&more) {
        Err(InvalidDefinition::WrongType(errors)) => assert_eq!(paths(errors), [at], "{more}"),
        other => panic!("{more} gave {other:?}"),
    }
}

fn docker(docker: Value) -> Value {
    json!({"container": {"type": "DOCKER", "docker": docker}})
}

#[test]
fn commands_come_from_the_definition_or_the_image() {
    refused(json!({"cmd": null}), "/");
    refused(json!({"args": ["x"]}), "/");
    refused(json!({"cmd": null, "args": [""]}), "/");
    refused(json!({"cmd": " "}), "/cmd");
    let image = json!({"docker": {"image": "x"}});
    assert!(parse(&json!({"cmd": null, "container": image})).is_ok());
    assert!(parse(&json!({"cmd": null, "args": ["--fast"], "container": image})).is_ok());
    refused(json!({"executor": "/usr/bin/executor"}), "/executor");
    refused(json!({"executorResources": {"cpus": 1}}), "/executorResources");
    refused(json!({"user": ""}), "/user");
}

#[test]
fn containers_are_what_agents_can_run() {
    refused(docker(json!({"image": "a b"})), "/container/docker/image");
    wrong(docker(json!({})), "/container/docker/image");
    refused(json!({"container": {"type": "DOCKER"}}), "/container/docker");
    refused(json!({"container": {"type": "LXC"}}), "/container/type");
    let parameter = |key: &str, value: &str| {
        docker(
            json!({"image": "x", "parameters": [{"key": "label", "value": "a"}, {"key": key, "value": value}]}),
        )
    };
    refused(parameter("network", "host"), "/container/docker/parameters(1)");
    refused(parameter("shm-size", "much"), "/container/docker/parameters(1)");
    refused(docker(json!({"image": "x", "pullConfig": {"secret": "s"}})), "/container/docker/pullConfig");
    refused(docker(json!({"image": "x", "credential": {"principal": "p"}})), "/container/docker/credential");
    let mesos = |docker: Value| json!({"container": {"type": "MESOS", "docker": docker}});
    refused(mesos(json!({"image": "x", "privileged": true})), "/container/docker/privileged");
    refused(
        mesos(json!({"image": "x", "parameters": [{"key": "label", "value": "a"}]})),
        "/container/docker/parameters",
    );
    let linux = |linux: Value| json!({"container": {"type": "MESOS", "linuxInfo": linux}});
    refused(linux(json!({"seccomp": {}})), "/container/linuxInfo/seccomp");
    refused(linux(json!({"ipcInfo": {"mode": "SHARE_PARENT"}})), "/container/linuxInfo/ipcInfo/mode");
    refused(
        json!({"container": {"docker": {"image": "x"}, "linuxInfo": {"ipcInfo": {}}}}),
        "/container/linuxInfo",
    );
    refused(json!({"gpus": 1, "container": {"docker": {"image": "x"}}}), "/gpus");
}

#[test]
fn volumes_are_of_one_kind_and_where_they_may_be() {
    let volume = |volume: Value| json!({"container": {"type": "MESOS", "volumes": [volume]}});
    let host = |at: &str, path: &str| volume(json!({"containerPath": at, "hostPath": path, "mode": "RO"}));
    assert!(parse(&host("data", "/srv/data")).is_ok());
    refused(host("../data", "/srv"), "/container/volumes(0)/containerPath");
    refused(host("stdout", "/srv"), "/container/volumes(0)/containerPath");
    refused(host("/data", "/srv/../etc"), "/container/volumes(0)/hostPath");
    refused(host("/data", "tasks/x"), "/container/volumes(0)/hostPath");
    refused(
        volume(json!({"containerPath": "x", "hostPath": "/a", "mode": "rw"})),
        "/container/volumes(0)/mode",
    );
    wrong(volume(json!({"containerPath": "x", "hostPath": "/a"})), "/container/volumes(0)/mode");
    wrong(volume(json!({"hostPath": "/a", "mode": "RO"})), "/container/volumes(0)/containerPath");
    refused(volume(json!({"containerPath": "x"})), "/container/volumes(0)");
    refused(
        volume(json!({"containerPath": "x", "mode": "RW", "external": {"provider": "dvdi"}})),
        "/container/volumes(0)/external",
    );
    refused(volume(json!({"containerPath": "x", "secret": "none"})), "/container/volumes(0)/secret");
}

#[test]
fn networks_and_ports_fit_together() {
    refused(json!({"networks": [{"mode": "container"}]}), "/networks(0)/name");
    refused(json!({"networks": [{"mode": "bridge"}]}), "/networks(0)/mode");
    refused(json!({"networks": [{"mode": "host", "name": "x"}]}), "/networks(0)/name");
    let mixed = json!([{"mode": "host"}, {"mode": "container", "name": "x"}]);
    refused(json!({"networks": mixed}), "/networks");
    let two = json!([{"mode": "container", "name": "x"}, {"mode": "container", "name": "y"}]);
    let mapped = |mapping: Value, networks: &Value| json!({"networks": networks, "container": {"type": "MESOS", "portMappings": [mapping]}});
    let names = "/container/portMappings(0)/networkNames";
    refused(mapped(json!({"containerPort": 1, "hostPort": 0}), &two), names);
    refused(mapped(json!({"containerPort": 1, "networkNames": ["z"]}), &two), names);
    refused(mapped(json!({}), &json!([{"mode": "host"}])), "/container/portMappings");
    let bridge = json!([{"mode": "container/bridge"}]);
    refused(mapped(json!({"protocol": "sctp"}), &bridge), "/container/portMappings(0)/protocol");
    refused(mapped(json!({"containerPort": 70000}), &bridge), "/container/portMappings(0)/containerPort");
    refused(mapped(json!({"name": "a b"}), &bridge), "/container/portMappings(0)/name");
    refused(json!({"networks": bridge, "portDefinitions": [{"port": 0}]}), "/portDefinitions");
    refused(json!({"networks": two, "container": {"docker": {"image": "x"}}}), "/networks");
    refused(json!({"networks": bridge, "ipAddress": {}}), "/networks");
    refused(json!({"ipAddress": {}}), "/networks(0)/name");
    refused(json!({"ipAddress": {"networkName": "x", "groups": ["g"]}}), "/ipAddress/groups");
    refused(docker(json!({"image": "x", "network": "MACVLAN"})), "/container/docker/network");
    refused(json!({"ports": [80], "portDefinitions": [{"port": 81}]}), "/ports");
    refused(json!({"portDefinitions": [{"port": 80}, {"port": 80}]}), "/portDefinitions");
    refused(json!({"ports": vec![0; 101]}), "/portDefinitions");
}

#[test]
fn ports_may_be_said_twice_and_lead_apart_by_transport() {
    let same = json!({"ports": [80, 0], "portDefinitions": [{"port": 80, "name": "web"}, {"port": 0}]});
    assert_eq!(
        parse(&same).unwrap().port_definitions.map(|ports| ports[0].name.clone()),
        Some(Some("web".to_owned()))
    );
    let mapping = |protocol: &str| json!({"containerPort": 53, "hostPort": 53, "protocol": protocol});
    let bridge = |mappings: [Value; 2]| json!({"networks": [{"mode": "container/bridge"}], "container": {"type": "MESOS", "portMappings": mappings}});
    assert!(parse(&bridge([mapping("tcp"), mapping("udp")])).is_ok());
    refused(bridge([mapping("tcp"), mapping("udp,tcp")]), "/container/portMappings");
}

#[test]
fn checks_ask_the_first_port_and_say_so() {
    let index = |more: Value| parse(&more).unwrap().health_checks[0].port_index;
    assert_eq!(index(json!({"ports": [1, 2], "healthChecks": [{}]})), Some(0));
    assert_eq!(index(json!({"healthChecks": [{"protocol": "MESOS_TCP"}]})), Some(0));
    assert_eq!(index(json!({"healthChecks": [{"port": 80}]})), None);
    let command = json!({"protocol": "COMMAND", "command": {"value": "true"}});
    assert_eq!(index(json!({"healthChecks": [command]})), None);
}

#[test]
fn a_container_network_without_a_name_is_the_default_one() {
    let json = json!({"id": "/a", "cmd": "true", "networks": [{"mode": "container"}]});
    let defaults = Defaults { role: "web", network: Some("dev") };
    let app = AppDefinition::with_defaults(json.as_object().expect("an object"), defaults).unwrap();
    assert_eq!((app.networks[0].name.as_deref(), app.role.as_str()), (Some("dev"), "web"));
}

#[test]
fn checks_ask_ports_that_are_there() {
    let health = |check: Value| json!({"healthChecks": [check]});
    refused(health(json!({"portIndex": 1})), "/healthChecks(0)/portIndex");
    refused(health(json!({"port": 80, "portIndex": 0})), "/healthChecks(0)");
    refused(health(json!({"protocol": "ICMP"})), "/healthChecks(0)/protocol");
    refused(health(json!({"path": "a b"})), "/healthChecks(0)/path");
    refused(health(json!({"command": {"value": "true"}})), "/healthChecks(0)/command");
    refused(health(json!({"ipProtocol": "IPv6", "protocol": "MESOS_TCP"})), "/healthChecks(0)/ipProtocol");
    refused(health(json!({"intervalSeconds": 0})), "/healthChecks(0)/intervalSeconds");
    wrong(health(json!({"protocol": "COMMAND"})), "/healthChecks(0)/command");
    let two = json!([{"protocol": "MESOS_TCP"}, {"protocol": "COMMAND", "command": {"value": "true"}}]);
    refused(json!({"healthChecks": two}), "/healthChecks");
    refused(json!({"ports": [], "healthChecks": [{}]}), "/healthChecks(0)");
    refused(json!({"check": {}}), "/check");
    refused(json!({"check": {"http": {"scheme": "HTTPS"}}}), "/check/http/scheme");
    refused(json!({"check": {"tcp": {"portIndex": 3}}}), "/check/tcp/portIndex");
    refused(json!({"check": {"exec": {"command": {"shell": "a", "argv": ["b"]}}}}), "/check/exec/command");
    refused(json!({"check": {"tcp": {}}, "container": {"docker": {"image": "x"}}}), "/check");
}

#[test]
fn the_rest_is_named_where_it_stands() {
    refused(json!({"fetch": [{"uri": "gopher://x/y"}]}), "/fetch(0)/uri");
    refused(json!({"fetch": [{"uri": "http://x/y", "destPath": "/etc"}]}), "/fetch(0)/destPath");
    wrong(json!({"fetch": [{}]}), "/fetch(0)/uri");
    refused(json!({"uris": ["http://x"], "fetch": [{"uri": "http://y/z"}]}), "/uris");
    refused(json!({"storeUrls": ["http://x"]}), "/storeUrls");
    refused(json!({"env": {"A": {"secret": "s"}}}), "/env(A)");
    refused(json!({"env": {"A=B": "c"}}), "/env(A=B)");
    wrong(json!({"env": {"A": {"secrets": "s"}}}), "/env(A)");
    wrong(json!({"secrets": {"s": {}}}), "/secrets(s)/source");
    refused(json!({"secrets": {"s": {"source": ""}}}), "/secrets(s)/source");
    refused(json!({"resourceLimits": {"mem": 1}}), "/resourceLimits/mem");
    wrong(json!({"resourceLimits": {"cpus": "much"}}), "/resourceLimits/cpus");
    refused(json!({"residency": {"taskLostBehavior": "PANIC"}}), "/residency/taskLostBehavior");
    refused(json!({"acceptedResourceRoles": []}), "/acceptedResourceRoles");
    refused(json!({"acceptedResourceRoles": ["web"]}), "/acceptedResourceRoles");
    refused(json!({"constraints": [["hostname", "UNIQUE"], ["rack", "LIKE", "("]]}), "/constraints(1)");
    refused(json!({"id": format!("/{}", "a".repeat(300))}), "/id");
    refused(json!({"cmd": "x".repeat(70_000)}), "/");
    let label = json!({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}});
    refused(label, "/upgradeStrategy");
}
