//! Pods with persistent volumes: the executor of an instance has them, its containers share them, and the next ones find them.

use chapada_model::{TaskId, TaskState};
use chapada_services_core::{
    AppId, Command, Defaults, LaunchSource, Refusal, Reply, pod_definition, read_pod,
};
use serde_json::{Value, json};

use crate::bench::{Bench, ROLE, object};
use crate::instance_of;

fn id() -> AppId {
    "/db".parse().expect("an id")
}

fn pod(size: u32, instances: u32) -> Value {
    json!({
        "id": "/db", "role": ROLE,
        "volumes": [{"name": "data", "persistent": {"size": size}}, {"name": "pipe"}],
        "containers": [
            {
                "name": "server", "exec": {"command": {"shell": "serve"}},
                "resources": {"cpus": 0.2, "mem": 32, "disk": 10}, "endpoints": [{"name": "sql", "hostPort": 0}],
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/db"}, {"name": "pipe", "mountPath": "pipe"}],
            },
            {
                "name": "saver", "exec": {"command": {"shell": "save"}}, "resources": {"cpus": 0.1, "mem": 32},
                "volumeMounts": [{"name": "data", "mountPath": "db", "readOnly": true}],
            },
        ],
        "scaling": {"kind": "fixed", "instances": instances},
        "scheduling": {"backoff": {"backoff": 0}},
    })
}

fn bench(instances: u32) -> Bench {
    let mut bench = Bench::new(&["a", "b"]);
    let definition = object(pod(100, instances));
    bench.command(Command::CreatePod { definition, force: false }).expect("valid");
    bench.run();
    assert_eq!(bench.executors.len(), instances as usize);
    bench
}

fn replace(bench: &mut Bench, change: Value) -> Result<Reply, Refusal> {
    let mut definition = object(pod(100, 1));
    definition.extend(object(change));
    bench.command(Command::ReplacePod { pod: id(), definition, force: true })
}

#[test]
fn the_executor_has_the_volume_and_containers_mount_it_from_there() {
    let bench = bench(1);
    let (_, group) = &bench.executors[0];
    let volumes: Vec<_> = group.resources.iter().filter(|resource| resource.is_volume()).collect();
    let disk = volumes[0].disk.as_ref().and_then(|disk| disk.volume.as_ref()).expect("a place");
    assert_eq!((volumes.len(), &*disk.container_path), (1, "data"));
    for member in &group.tasks {
        assert!(!member.launch.resources.iter().any(|resource| resource.is_volume()));
        assert_eq!(member.launch.resources.disk().0, if member.launch.name == "server" { 10_000 } else { 0 });
    }
    let mounts = |task: usize| {
        let container = group.tasks[task].launch.container.as_ref().expect("a container");
        let mount = &container.volumes[0];
        (mount.container_path.clone(), mount.source.clone(), mount.read_only)
    };
    let parent = || LaunchSource::Parent("data".to_owned());
    assert_eq!(mounts(0), ("/var/lib/db".to_owned(), parent(), false));
    assert_eq!(mounts(1), ("db".to_owned(), parent(), true));
}

#[test]
fn an_instance_finds_its_volume_again_until_it_is_wiped_and_all_is_given_back() {
    let mut bench = bench(1);
    let (agent, volumes, instance) =
        (bench.executors[0].0.clone(), bench.volumes(), instance_of(&bench.task()));
    assert_eq!(volumes.len(), 1);
    bench.end(&bench.task(), TaskState::Failed);
    bench.run();
    replace(&mut bench, json!({"labels": {"a": "b"}})).expect("taken");
    bench.run();
    bench.crash();
    bench.end(&bench.task(), TaskState::Failed);
    bench.crash();
    bench.run();
    for instances in [0, 1] {
        replace(&mut bench, json!({"scaling": {"kind": "fixed", "instances": instances}})).expect("taken");
        bench.run();
        assert_eq!((bench.executors.len(), &bench.volumes()), (instances, &volumes));
    }
    assert_eq!(bench.launches.len(), 5);
    for (task, used) in &bench.launches {
        assert_eq!((used, instance_of(task)), (&volumes, instance.clone()));
    }
    assert_eq!(bench.executors[0].0, agent);

    let instances = vec![instance.to_string()];
    let wipe = Command::WipeInstances { pod: id(), instances, all: true };
    let Ok(Reply::KilledInstances(killed)) = bench.command(wipe) else { panic!("refused") };
    assert_eq!(killed.len(), 1);
    bench.run();
    let after = bench.volumes();
    assert_eq!((bench.executors.len(), after.len(), after.is_disjoint(&volumes)), (1, 1, true));
    bench.command(Command::DeletePod { pod: id(), force: true }).expect("taken");
    bench.run();
    assert!(bench.is_all_free(), "{:?}", bench.free);
}

#[test]
fn a_home_is_known_to_be_there_once_a_container_runs_in_it() {
    let bench = bench(1);
    let state = bench.services.pod(&id()).expect("there");
    assert!(state.homes.len() == 1 && state.homes.values().all(|home| home.confirmed), "{:?}", state.homes);
}

#[test]
fn what_is_kept_for_one_that_is_not_wanted_now_can_be_wiped() {
    let mut bench = bench(2);
    let killed: Vec<TaskId> = bench.tasks.keys().cloned().collect();
    replace(&mut bench, json!({"scaling": {"kind": "fixed", "instances": 1}})).expect("taken");
    bench.run();
    let left = instance_of(&bench.task());
    let away = killed.iter().map(instance_of).find(|id| *id != left).expect("the other");
    assert_eq!(bench.volumes().len(), 2);
    for (instance, all, expected) in [
        (away.to_string(), true, Ok(1)),
        (away.to_string(), true, Err(Refusal::NoInstance(away.to_string()))),
        (away.to_string(), false, Ok(1)),
    ] {
        let wipe = Command::WipeInstances { pod: id(), instances: vec![instance], all };
        let answer = bench.command(wipe).map(|_| ());
        bench.run();
        assert_eq!(answer.map(|()| bench.volumes().len()), expected);
    }
}

#[test]
fn the_rules_are_those_of_apps_with_the_paths_of_pods() {
    let read = |json: &Value| read_pod(&object(json.clone()), Defaults { role: ROLE, network: None });
    let definition = read(&pod(100, 1)).expect("valid");
    let written = Value::Object(pod_definition(&definition, definition.pod.as_ref().expect("a pod")));
    assert_eq!(read(&written), Ok(definition));
    assert_eq!(written["volumes"][0], json!({"name": "data", "persistent": {"type": "root", "size": 100}}));
    let scheduling = &written["scheduling"];
    assert_eq!(scheduling["unreachableStrategy"], "disabled");
    assert_eq!(scheduling["upgrade"], json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}));

    let mut bench = bench(1);
    let volumes = |persistent: Value| json!([{"name": "data", "persistent": persistent}, {"name": "pipe"}]);
    let mut stdout = pod(100, 1);
    stdout["volumes"][0]["name"] = json!("stdout");
    for container in 0..2 {
        stdout["containers"][container]["volumeMounts"][0]["name"] = json!("stdout");
    }
    let mut larger = pod(100, 1);
    larger["containers"][0]["resources"] = json!({"cpus": 0.3, "mem": 33, "disk": 11});
    let two = json!([{"name": "data", "host": "/x", "persistent": {"size": 1}}, {"name": "pipe"}]);
    for (change, paths) in [
        (json!({"volumes": volumes(json!({"size": 101}))}), vec!["/volumes"]),
        (json!({"volumes": volumes(json!({"size": 0}))}), vec!["/volumes(0)/persistent/size"]),
        (json!({"volumes": volumes(json!({"size": 1, "type": "x"}))}), vec!["/volumes(0)/persistent/type"]),
        (
            json!({"volumes": volumes(json!({"size": 1, "profileName": "x"}))}),
            vec!["/volumes(0)/persistent/profileName"],
        ),
        (json!({"volumes": two}), vec!["/volumes(0)"]),
        (json!({"volumes": stdout["volumes"], "containers": stdout["containers"]}), vec!["/volumes(0)/name"]),
        (json!({"containers": larger["containers"]}), vec!["/containers", "/containers", "/containers"]),
        (json!({"role": "*"}), vec!["/role"]),
        (
            json!({"scheduling": {"upgrade": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1}}}),
            vec!["/scheduling/upgrade/maximumOverCapacity"],
        ),
        (
            json!({"scheduling": {"placement": {"acceptedResourceRoles": [ROLE]}}}),
            vec!["/scheduling/placement/acceptedResourceRoles"],
        ),
    ] {
        let refused = replace(&mut bench, change.clone());
        let Err(Refusal::Invalid(errors)) = refused else { panic!("{change} gave {refused:?}") };
        let found: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(found, paths, "{change}");
    }
}
