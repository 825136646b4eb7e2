//! What is launched: one group of an executor and its containers, on shares that add up.

use chapada_model::Milli;
use chapada_services_core::{LaunchGroup, LaunchMapping, LaunchQuestion, LaunchSource, LaunchValue};
use serde_json::{Value, json};

use crate::support::Bench;

fn launched(more: Value) -> LaunchGroup {
    let mut bench = Bench::new();
    bench.create(more).expect("accepted");
    assert_eq!(bench.groups.len(), 1);
    bench.groups.swap_remove(0)
}

fn env(group: &LaunchGroup, container: usize) -> Vec<String> {
    let text = |value: &LaunchValue| match value {
        LaunchValue::Text(text) => text.clone(),
        LaunchValue::Secret(source) => format!("secret {source}"),
    };
    group.tasks[container].launch.env.iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
}

#[test]
fn an_instance_is_one_group_whose_shares_add_up() {
    let group = launched(json!({}));
    let [maker, server] = group.tasks.as_slice() else { panic!("two containers") };
    let amounts =
        |resources: &chapada_model::Resources| (resources.cpus(), resources.mem(), resources.disk());
    assert_eq!(amounts(&group.resources), (Milli(100), Milli::whole(32), Milli::whole(10)));
    assert_eq!(amounts(&maker.launch.resources), (Milli(500), Milli::whole(64), Milli(0)));
    assert_eq!(amounts(&server.launch.resources), (Milli::whole(1), Milli::whole(128), Milli::whole(8)));
    let ports = |resources: &chapada_model::Resources| {
        resources.iter().filter(|resource| &*resource.name == "ports").count()
    };
    assert_eq!(
        (ports(&group.resources), ports(&server.launch.resources)),
        (1, 0),
        "the executor has the ports"
    );
    let (first, second) = (maker.launch.task.as_str(), server.launch.task.as_str());
    let instance = first.strip_suffix(".maker.1").expect("the container's name and the incarnation");
    assert_eq!(second, format!("{instance}.server.1"));
    assert_eq!(group.executor, format!("instance-{instance}.1"));
    assert_eq!(group.name, "web.shop");
    assert_eq!((maker.launch.name.as_str(), maker.launch.shell.as_deref()), ("maker", Some("make pages")));
    assert_eq!(
        (server.launch.shell.as_deref(), server.launch.args.as_slice()),
        (None, &["serve".to_owned(), "in".into()][..])
    );
    assert!(!group.shares_cgroups && group.networks.is_empty());
}

#[test]
fn the_environment_is_marathons_and_wins() {
    let mut group = launched(
        json!({"environment": {"SHARED": "pod", "OWN": "pod", "HOST": "mine", "S": {"secret": "s"}},
        "secrets": {"s": {"source": "kept/here"}}}),
    );
    let ports: Vec<String> = group.tasks[1].launch.ports.iter().map(|port| port.number.to_string()).collect();
    let [web, admin] = ports.as_slice() else { panic!("two ports") };
    let task = group.tasks[1].launch.task.clone();
    let executor = std::mem::take(&mut group.executor);
    assert_eq!(
        env(&group, 1),
        [
            format!("ENDPOINT_ADMIN={admin}"),
            format!("ENDPOINT_WEB_UI={web}"),
            format!("EP_HOST_ADMIN={admin}"),
            format!("EP_HOST_WEB_UI={web}"),
            "HOST=host".to_owned(),
            "MARATHON_APP_ENFORCE_GROUP_ROLE=FALSE".to_owned(),
            "MARATHON_APP_ID=/shop/web".to_owned(),
            "MARATHON_APP_LABELS=TIER".to_owned(),
            "MARATHON_APP_LABEL_TIER=front".to_owned(),
            "MARATHON_APP_VERSION=2001-09-09T01:46:40.000Z".to_owned(),
            "MARATHON_CONTAINER_ID=server".to_owned(),
            "MARATHON_CONTAINER_RESOURCE_CPUS=1.0".to_owned(),
            "MARATHON_CONTAINER_RESOURCE_DISK=8.0".to_owned(),
            "MARATHON_CONTAINER_RESOURCE_GPUS=0".to_owned(),
            "MARATHON_CONTAINER_RESOURCE_MEM=128.0".to_owned(),
            format!("MESOS_EXECUTOR_ID={executor}"),
            format!("MESOS_TASK_ID={task}"),
            "OWN=container".to_owned(),
            "S=secret kept/here".to_owned(),
            "SHARED=pod".to_owned(),
        ]
    );
    assert_eq!(admin, "31050", "as it was asked for");
    assert!(env(&group, 0).contains(&"OWN=pod".to_owned()));
    assert!(env(&group, 0).contains(&format!("ENDPOINT_WEB_UI={web}")), "each knows the endpoints of all");
}

#[test]
fn volumes_are_shared_through_the_pods_sandbox() {
    let group = launched(json!({}));
    let volume = |container: usize| {
        let volumes = &group.tasks[container].launch.container.as_ref().unwrap().volumes;
        assert_eq!(volumes.len(), 1);
        volumes[0].clone()
    };
    assert_eq!((volume(0).container_path.as_str(), volume(0).read_only), ("out", false));
    assert_eq!((volume(1).container_path.as_str(), volume(1).read_only), ("in", true));
    assert_eq!(volume(0).source, volume(1).source);
    assert!(matches!(volume(0).source, LaunchSource::Parent(_)));
}

#[test]
fn a_network_is_the_executors_and_checks_ask_inside_it() {
    let container = json!({
        "name": "a", "image": {"kind": "DOCKER", "id": "web", "forcePull": true}, "resources": {"cpus": 1, "mem": 32},
        "exec": {"command": {"argv": ["serve"]}, "overrideEntrypoint": true},
        "endpoints": [
            {"name": "http", "containerPort": 80, "hostPort": 0, "protocol": ["tcp", "udp"]},
            {"name": "inner", "containerPort": 81},
        ],
        "healthCheck": {"http": {"endpoint": "http"}, "maxConsecutiveFailures": 0},
        "check": {"tcp": {"endpoint": "inner"}},
    });
    let networks = json!([{"mode": "container", "name": "overlay"}]);
    let group = launched(json!({"networks": networks, "containers": [container], "volumes": []}));
    let launch = &group.tasks[0].launch;
    let host = launch.ports[0].number;
    let mapping = |protocol| LaunchMapping { host, container: 80, protocol };
    assert_eq!(group.networks.len(), 1);
    assert_eq!(group.networks[0].mappings, [mapping("tcp"), mapping("udp")]);
    let own = launch.container.as_ref().unwrap();
    assert!(own.networks.is_empty());
    assert_eq!(own.image.as_ref().map(|image| (image.name.as_str(), image.force_pull)), Some(("web", true)));
    assert_eq!(group.tasks[0].entry_point.as_deref(), Some("serve"));
    let health = launch.health.as_ref().unwrap();
    assert_eq!(health.failures, None);
    assert!(matches!(health.asks, LaunchQuestion::Http { port: 80, tls: false, .. }));
    assert!(matches!(launch.check.as_ref().unwrap().asks, LaunchQuestion::Tcp { port: 81, .. }));
    let env = env(&group, 0);
    for variable in [
        format!("EP_HOST_HTTP={host}"),
        "EP_CONTAINER_HTTP=80".into(),
        "ENDPOINT_HTTP=80".into(),
        "EP_CONTAINER_INNER=81".into(),
    ] {
        assert!(env.contains(&variable), "{variable} is not in {env:?}");
    }
    assert!(!env.iter().any(|variable| variable.starts_with("EP_HOST_INNER")));
}
