//! From a definition to what the master is sent.

use std::collections::BTreeMap;

use chapada_model::{Milli, Now, Range, Ranges, Resource, Resources, Role};
use chapada_sdk::{Offer, wire};
use chapada_services_core::{Command, Effect, Event, Launch, Seed, Services, Settings};
use serde_json::{Value, json};

use super::task;
use crate::secrets::Secrets;

/// How the core would launch an instance of an app.
fn launch(app: Value) -> Launch {
    let settings = Settings { secrets: true, ..Settings::default() };
    let mut services = Services::new(Role::star(), Seed::new(1, 2)).with_settings(settings);
    let definition = app.as_object().unwrap().clone();
    let resources = Resources::from_list([
        Resource::scalar("cpus", Milli::whole(8)),
        Resource::scalar("mem", Milli::whole(8_192)),
        // An agent with some is left to those that ask for them.
        Resource::scalar("gpus", Milli::whole(app["gpus"].as_u64().unwrap_or(0))),
        Resource::ranges("ports", Ranges::new([Range { begin: 31_000, end: 31_000 }])),
    ]);
    let offer = Offer::new("o".parse().unwrap(), "agent".parse().unwrap(), "host", resources.unwrap());
    let mut events = vec![
        Event::Offers(vec![offer]),
        Event::Command { request: 1, command: Command::Create { definition, force: false } },
        Event::Subscribed,
    ];
    while let Some(event) = events.pop() {
        for effect in services.apply(Now::default(), event) {
            match effect {
                Effect::Store { number, .. } => events.push(Event::Stored(number)),
                Effect::Launch { mut tasks, .. } => return tasks.remove(0),
                Effect::Answer { answer, .. } => {
                    answer.unwrap();
                }
                _ => {}
            }
        }
    }
    panic!("nothing was launched")
}

async fn described(app: Value) -> wire::TaskInfo {
    let description = task(launch(app), &Secrets::default()).await.unwrap();
    wire::TaskInfo::from(&description)
}

fn variables(info: &wire::TaskInfo) -> BTreeMap<String, String> {
    let environment = info.command.as_ref().unwrap().environment.as_ref().unwrap();
    let pair = |variable: &wire::environment::Variable| {
        (variable.name.clone().unwrap(), variable.value.clone().unwrap())
    };
    environment.variables.iter().map(pair).collect()
}

#[tokio::test]
async fn an_image_behind_a_bridge() {
    let info = described(json!({
        "id": "/prod/web", "args": ["--fast"], "user": "www", "taskKillGracePeriodSeconds": 3,
        "fetch": [{"uri": "http://h/a.tgz", "cache": true, "destPath": "b"}], "resourceLimits": {"mem": "unlimited"},
        "networks": [{"mode": "container/bridge"}],
        "container": {
            "type": "DOCKER",
            "docker": {"image": "box:1", "forcePullImage": true, "parameters": [{"key": "label", "value": "x"}]},
            "portMappings": [
                {"containerPort": 80, "hostPort": 0, "name": "http", "protocol": "udp,tcp", "labels": {"VIP_0": "a"}},
            ],
            "volumes": [{"containerPath": "/data", "hostPath": "/srv", "mode": "RO"}],
        },
        "healthChecks": [{"protocol": "MESOS_HTTP", "portIndex": 0, "path": "/up", "maxConsecutiveFailures": 0}],
    }))
    .await;
    let command = info.command.as_ref().unwrap();
    assert_eq!((command.shell(), &command.value), (false, &None));
    assert_eq!(
        (command.arguments.as_slice(), command.user.as_deref()),
        (["--fast".to_owned()].as_slice(), Some("www"))
    );
    let uri = &command.uris[0];
    assert_eq!(
        (uri.value.as_deref(), uri.cache, uri.output_file.as_deref()),
        (Some("http://h/a.tgz"), Some(true), Some("b"))
    );
    let container = info.container.as_ref().unwrap();
    let docker = container.docker.as_ref().unwrap();
    assert_eq!(docker.network(), wire::container_info::docker_info::Network::Bridge);
    assert_eq!((docker.image.as_deref(), docker.force_pull_image), (Some("box:1"), Some(true)));
    assert_eq!(docker.parameters[0].key.as_deref(), Some("label"));
    let mapped: Vec<_> = container.network_infos[0]
        .port_mappings
        .iter()
        .map(|one| (one.host_port.unwrap(), one.container_port.unwrap(), one.protocol()))
        .collect();
    assert_eq!(mapped, [(31_000, 80, "tcp"), (31_000, 80, "udp")]);
    let volume = &container.volumes[0];
    assert_eq!((volume.mode(), volume.container_path.as_deref()), (wire::volume::Mode::Ro, Some("/data")));
    let check = info.health_check.as_ref().unwrap();
    assert_eq!((check.http.as_ref().unwrap().port, check.consecutive_failures), (Some(80), Some(u32::MAX)));
    assert!(info.limits["mem"].value().is_infinite());
    let ports = &info.discovery.as_ref().unwrap().ports.as_ref().unwrap().ports;
    let said: Vec<_> =
        ports.iter().map(|port| (port.number.unwrap(), port.protocol(), port.name())).collect();
    assert_eq!(said, [(31_000, "tcp", "http"), (31_000, "udp", "http")]);
    let labels = &ports[0].labels.as_ref().unwrap().labels;
    assert!(labels.iter().any(|label| label.key() == "network-scope" && label.value() == "host"));
    let env = variables(&info);
    assert_eq!(
        (env["PORT0"].as_str(), env["PORT_80"].as_str(), env["PORT_HTTP"].as_str()),
        ("31000", "31000", "31000")
    );
    assert_eq!(env["MARATHON_APP_DOCKER_IMAGE"], "box:1");
}

#[tokio::test]
async fn a_container_in_networks_of_its_own() {
    let info = described(json!({
        "id": "/a", "cmd": "serve", "tty": true, "gpus": 2,
        "networks": [{"mode": "container", "name": "front", "labels": {"k": "v"}}, {"mode": "container", "name": "back"}],
        "container": {
            "type": "MESOS", "docker": {"image": "box"},
            "linuxInfo": {"ipcInfo": {"shmSize": 8}, "seccomp": {"unconfined": true}},
            "portMappings": [{"containerPort": 70}, {"containerPort": 0}],
            "volumes": [{"containerPath": "data", "hostPath": "of-mine", "mode": "RW"}],
        },
        "check": {"tcp": {"portIndex": 0}},
    }))
    .await;
    let container = info.container.as_ref().unwrap();
    let names: Vec<_> = container.network_infos.iter().map(|network| network.name()).collect();
    assert_eq!(names, ["front", "back"]);
    assert!(container.network_infos.iter().all(|network| network.port_mappings.is_empty()));
    assert_eq!(
        container.mesos.as_ref().unwrap().image.as_ref().unwrap().docker.as_ref().unwrap().name(),
        "box"
    );
    assert!(container.docker.is_none() && container.tty_info.is_some());
    let linux = container.linux_info.as_ref().unwrap();
    assert_eq!((linux.shm_size, linux.seccomp.as_ref().unwrap().unconfined), (Some(8), Some(true)));
    let source = container.volumes[0].source.as_ref().unwrap();
    assert_eq!(source.sandbox_path.as_ref().unwrap().path(), "of-mine");
    assert_eq!(info.check.as_ref().unwrap().tcp.as_ref().unwrap().port, Some(70));
    let ports = &info.discovery.as_ref().unwrap().ports.as_ref().unwrap().ports;
    assert_eq!(ports[0].number, Some(70));
    assert_eq!(ports[0].labels.as_ref().unwrap().labels[0].value(), "container");
    let env = variables(&info);
    assert_eq!((env["PORT"].as_str(), env["PORT_70"].as_str()), ("70", "70"));
    assert!(env["PORT1"].parse::<u16>().unwrap() >= 1_025, "one is made up");
    let gpus = info.resources.iter().find(|resource| resource.name() == "gpus").unwrap();
    assert_eq!(gpus.scalar.as_ref().unwrap().value, Some(2.0));
}

#[tokio::test]
async fn secrets_travel_as_values_of_their_own() {
    let directory = std::env::temp_dir().join(format!("chapada-described-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("db"), "xyzzy").unwrap();
    let launch = launch(json!({
        "id": "/a", "cmd": "serve", "env": {"PASS": {"secret": "pass"}}, "secrets": {"pass": {"source": "db"}},
        "container": {"type": "MESOS", "volumes": [{"containerPath": "pass", "secret": "pass"}]},
    }));
    assert!(task(launch.clone(), &Secrets::default()).await.is_err(), "none are kept");
    let info = task(launch, &Secrets::new(Some(directory.clone()))).await.unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let info = wire::TaskInfo::from(&info);
    let command = info.command.as_ref().unwrap();
    let variables = &command.environment.as_ref().unwrap().variables;
    let pass = variables.iter().find(|variable| variable.name() == "PASS").unwrap();
    let value = |secret: &wire::Secret| secret.value.as_ref().unwrap().data.as_ref().unwrap().to_vec();
    assert_eq!((value(pass.secret.as_ref().unwrap()), &pass.value), (b"xyzzy".to_vec(), &None));
    let volume = &info.container.as_ref().unwrap().volumes[0];
    assert_eq!(value(volume.source.as_ref().unwrap().secret.as_ref().unwrap()), b"xyzzy");
}
