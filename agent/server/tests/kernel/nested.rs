//! Containers of no task: in others, and standalone. Needs root.

use chapada_wire::Media;
use chapada_wire::v1::TaskState;
use serde_json::{Value, json};

use crate::images::agent_with_image;
use crate::operator::ask;
use crate::support::*;
use crate::tasks::sleepers;

fn resources(cpus: f64, mem: f64) -> Value {
    let scalar =
        |name: &str, value: f64| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
    json!([scalar("cpus", cpus), scalar("mem", mem)])
}

fn id(names: &[&str]) -> Value {
    names.iter().fold(Value::Null, |parent, name| match parent {
        Value::Null => json!({ "value": name }),
        parent => json!({ "value": name, "parent": parent }),
    })
}

/// Makes a call of this name about a container.
async fn call(address: &str, kind: &str, id: &Value, more: Value) -> (u16, String) {
    let mut asked = json!({ "container_id": id });
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask(address, json!({ "type": kind, (kind.to_lowercase()): asked })).await
}

async fn launch(address: &str, id: &Value, command: &str, more: Value) -> (u16, String) {
    let mut more = more;
    more["command"] = json!({ "value": command });
    call(address, "LAUNCH_CONTAINER", id, more).await
}

async fn wait(address: &str, id: &Value) -> (u16, String) {
    call(address, "WAIT_CONTAINER", id, json!({})).await
}

fn waited(status: i32) -> (u16, String) {
    (200, format!(r#"{{"type":"WAIT_CONTAINER","wait_container":{{"exit_status":{status}}}}}"#))
}

/// The names of the containers that are listed.
async fn listed(address: &str, nested: bool, standalone: bool) -> Vec<String> {
    let wanted = json!({ "show_nested": nested, "show_standalone": standalone });
    let (_, body) = ask(address, json!({ "type": "GET_CONTAINERS", "get_containers": wanted })).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let containers = body["get_containers"]["containers"].as_array().cloned().unwrap_or_default();
    containers.iter().map(|one| one["container_id"]["value"].as_str().unwrap().to_owned()).collect()
}

async fn container_of(link: &mut Link, task: &str, command: &str) -> String {
    link.launch(command_task(task, command)).await;
    let status = link.until(task, TaskState::TaskRunning).await;
    status.container_status.unwrap().container_id.unwrap().value.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_launched_in_a_task_is_charged_to_it_and_ends_with_it() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    let task = container_of(&mut link, "t", "exec sleep 1000").await;
    let seconds = format!("{}.125", 4_000_000 + std::process::id());

    let first = id(&[&task, "first"]);
    let nested = "LAUNCH_NESTED_CONTAINER";
    let command = json!({ "command": { "value": "echo $MESOS_CONTAINER_ID; cat /proc/self/cgroup; while read x; do :; done; sleep 1; exit 3" } });
    assert_eq!(call(&address, nested, &first, command.clone()).await, (200, String::new()));
    assert_eq!(wait(&address, &first).await, waited(3 << 8));
    let stdout = agent.sandbox("t").join("containers/first/stdout");
    let said = std::fs::read_to_string(&stdout).unwrap();
    assert!(said.starts_with(&format!("{task}.first\n")), "{said}");
    // Its end is kept, and its name taken, until it is removed.
    assert_eq!(wait(&address, &first).await, waited(3 << 8));
    assert_eq!(call(&address, nested, &first, command).await.0, 202);
    assert_eq!(call(&address, "REMOVE_NESTED_CONTAINER", &first, json!({})).await, (200, String::new()));
    assert_eq!(wait(&address, &first).await.0, 404);
    assert!(stdout.exists(), "the sandbox goes with that of the task");

    // In each other, and with a session beside.
    let second = id(&[&task, "second"]);
    let sleep = format!("exec sleep {seconds}");
    assert_eq!(launch(&address, &second, &sleep, json!({})).await, (200, String::new()));
    let third = id(&[&task, "second", "third"]);
    assert_eq!(launch(&address, &third, &sleep, json!({})).await, (200, String::new()));
    assert_eq!(listed(&address, true, true).await, [task.as_str(), "second", "third"]);
    assert_eq!(listed(&address, false, true).await, [task.as_str()]);
    assert_eq!(call(&address, "REMOVE_CONTAINER", &third, json!({})).await.0, 409);
    let session = json!({ "container_id": id(&[&task, "second", "session"]), "command": { "value": "echo $MESOS_CONTAINER_ID" } });
    let session =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": session });
    let mut session = Output::open(&address, Media::Json, &session).await;
    assert_eq!(session.rest().await, [format!("{task}.second\n"), String::new()]);
    assert_eq!(call(&address, "KILL_CONTAINER", &second, json!({ "signal": 15 })).await.0, 200);
    assert_eq!(wait(&address, &second).await, waited(15));
    eventually_async("what is in it is gone", async || wait(&address, &third).await.0 == 404).await;

    let last = id(&[&task, "last"]);
    assert_eq!(launch(&address, &last, &sleep, json!({})).await, (200, String::new()));
    eventually("it sleeps", || sleepers(&seconds) == 1).await;
    let waiting = {
        let (address, last) = (address.clone(), last.clone());
        tokio::spawn(async move { wait(&address, &last).await })
    };
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    eventually("what was in it is gone, too", || sleepers(&seconds) == 0).await;
    // Who asked in time hears of its end; who did not, that it is gone.
    let (status, _) = waiting.await.unwrap();
    assert!([200, 404].contains(&status));
    eventually("nothing is left", || agent.containers().is_empty()).await;
    assert_eq!(launch(&address, &last, "true", json!({})).await.0, 404, "the task has ended");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_container_has_what_it_asked_for_and_leaves_nothing_when_removed() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let running = InProcess::start(&agent);
    let link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let alone = id(&["alone"]);
    let asked = json!({ "resources": resources(0.1, 40.0) });
    let (status, said) = launch(&address, &alone, "true", json!({})).await;
    assert!(status == 400 && said.contains("launch_container.resources"), "{said}");
    let terminal = json!({ "window_size": { "rows": 7, "columns": 77 } });
    let mut with_terminal = asked.clone();
    with_terminal["container"] = json!({ "type": "MESOS", "tty_info": terminal });
    assert_eq!(launch(&address, &alone, "read x; stty size; exit 4", with_terminal).await.0, 200);
    assert_eq!(launch(&address, &alone, "true", asked.clone()).await.0, 202, "it is there");
    assert_eq!(listed(&address, true, false).await, Vec::<String>::new());
    assert_eq!(listed(&address, false, true).await, ["alone"]);
    let attach =
        json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": { "container_id": alone } });
    let mut output = Output::open(&address, Media::Json, &attach).await;
    let mut input = Input::open(&address, Media::Json, &alone).await;
    input.write(b"go\n").await.unwrap();
    output.until("7 77\r\n").await;
    assert_eq!(wait(&address, &alone).await, waited(4 << 8));
    // As Mesos: its name is free then.
    let greedy = "head -c 100000000 /dev/zero | tail | wc -c";
    assert_eq!(launch(&address, &alone, greedy, asked).await, (200, String::new()));
    let (_, said) = wait(&address, &alone).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let said = &said["wait_container"];
    assert_eq!(
        (&said["state"], &said["reason"]),
        (&json!("TASK_FAILED"), &json!("REASON_CONTAINER_LIMITATION_MEMORY"))
    );
    assert!(said["message"].as_str().unwrap().contains("Requested: 40MB"), "{said}");
    let sandbox = agent.config.work_dir.join("containers/alone");
    assert!(sandbox.join("stdout").exists());
    assert_eq!(call(&address, "REMOVE_CONTAINER", &alone, json!({})).await, (200, String::new()));
    assert!(!sandbox.exists() && agent.containers().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_within_an_executor_is_bounded_where_that_can_be() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    link.launch_on(crate::executors::task("t", "touch up; exec sleep 1000"), true).await;
    eventually("the executor runs", || agent.sandbox("e").join("up").exists()).await;
    let executor = agent.containers().remove(0);
    let nested = id(&[&executor, "nested"]);
    let mut more = json!({ "resources": resources(0.1, 40.0) });
    more["container"] = json!({ "type": "MESOS", "linux_info": { "share_cgroups": false } });
    let greedy = "head -c 48000000 /dev/zero | tail | wc -c";
    // The memory of the executor is enough for it; its own is not.
    let mut launched = (0, String::new());
    eventually_async("the executor is known to run", async || {
        launched = launch(&address, &nested, greedy, more.clone()).await;
        launched.0 != 404
    })
    .await;
    if agent.cgroups().bounds_within() {
        assert_eq!(launched, (200, String::new()));
        let (_, said) = wait(&address, &nested).await;
        assert!(said.contains("REASON_CONTAINER_LIMITATION_MEMORY"), "{said}");
    } else {
        assert!(launched.0 == 400 && launched.1.contains("launch_container.resources"), "{launched:?}");
    }
    let beside = json!({ "container_id": id(&[&executor, "s"]), "command": { "value": "echo $MESOS_EXECUTOR_ID$MESOS_EXECUTOR_AUTHENTICATION_TOKEN" } });
    let beside =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": beside });
    assert_eq!(Output::open(&address, Media::Json, &beside).await.rest().await[0], "e\n");
    let kill = call(&address, "KILL_CONTAINER", &id(&[&executor]), json!({})).await;
    assert_eq!(kill.0, 200);
    eventually("nothing is left", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_no_task_survive_their_agent_and_their_ends_are_kept() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let task = container_of(&mut link, "t", "until [ -e stop ]; do sleep 0.02; done").await;
    let asked = json!({ "resources": resources(0.1, 40.0) });
    let until = |file: &str, status: u8| format!("until [ -e {file} ]; do sleep 0.02; done; exit {status}");
    let (alone, over) = (id(&["alone"]), id(&["over"]));
    let (held, lost) = (id(&[&task, "held"]), id(&["over", "lost"]));
    assert_eq!(launch(&address, &alone, &until("stop", 5), asked.clone()).await.0, 200);
    assert_eq!(launch(&address, &over, &until("stop", 6), asked).await.0, 200);
    for nested in [&held, &lost] {
        assert_eq!(launch(&address, nested, &until("stop", 7), json!({})).await.0, 200);
    }
    first.kill();
    // One ends while nobody looks, and what is in it with it.
    let sandbox = |name: &str| agent.config.work_dir.join("containers").join(name);
    std::fs::write(sandbox("over").join("stop"), "").unwrap();

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    assert_eq!(link.held.keys().collect::<Vec<_>>(), ["t"], "the books know of tasks alone");
    assert_eq!(wait(&address, &over).await, waited(6 << 8));
    eventually_async("what was in it is gone", async || wait(&address, &lost).await.0 == 404).await;
    let names = listed(&address, true, true).await;
    assert_eq!(names, [task.as_str(), "alone", "held"]);
    let beside =
        json!({ "container_id": id(&[&task, "held", "s"]), "command": { "value": "echo $MESOS_SANDBOX" } });
    let call_of =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": beside });
    let said = Output::open(&address, Media::Json, &call_of).await.rest().await;
    assert!(said[0].ends_with("/containers/held\n"), "{said:?}");
    std::fs::write(sandbox("alone").join("stop"), "").unwrap();
    assert_eq!(wait(&address, &alone).await, waited(5 << 8));
    std::fs::write(agent.sandbox("t").join("containers/held/stop"), "").unwrap();
    assert_eq!(wait(&address, &held).await, waited(7 << 8));
    for gone in [&alone, &over, &held] {
        assert_eq!(call(&address, "REMOVE_CONTAINER", gone, json!({})).await.0, 200);
    }
    std::fs::write(agent.sandbox("t").join("stop"), "").unwrap();
    link.until("t", TaskState::TaskFinished).await;
    eventually("nothing is left", || agent.containers().is_empty()).await;
    drop(second);
}

/// `volumes` of a container with an image that this machine has.
fn boxed(volumes: Value) -> Value {
    let image = json!({ "type": "DOCKER", "docker": { "name": "box:v1" } });
    json!({ "type": "MESOS", "mesos": { "image": image }, "volumes": volumes })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_an_image_volumes_and_files_to_fetch_has_them_and_leaves_nothing() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    let shelf = agent.config.work_dir.parent().unwrap().to_owned();
    std::fs::write(shelf.join("fetched"), "fetched\n").unwrap();
    agent.config.fetcher_allowed_paths = vec![shelf.clone()];
    let before = agent.traces();
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let volumes = json!([
        { "mode": "RO", "container_path": "/other", "image": { "type": "DOCKER", "docker": { "name": "box:v1" } } },
        { "mode": "RW", "container_path": "/memory", "source": { "tmpfs": { "size": 65536 } } },
        { "mode": "RO", "container_path": "/secret", "source": { "type": "SECRET", "secret": { "type": "VALUE", "value": { "data": "cXVpZXQ=" } } } },
    ]);
    let shows = "cat /etc/motd /mnt/mesos/sandbox/fetched /other/etc/motd /secret; echo; id -u; echo $A; \
                 cat /proc/self/uid_map; exec sleep 1000";
    let uri = json!({ "value": shelf.join("fetched") });
    let more = json!({ "resources": resources(0.1, 40.0), "container": boxed(volumes.clone()) });
    let asked = |id: &Value| {
        let mut asked = more.clone();
        asked["container_id"] = id.clone();
        asked["command"] = json!({ "value": shows, "uris": [uri], "user": "root" });
        asked
    };
    let alone = id(&["alone"]);
    let whole = json!({ "type": "LAUNCH_CONTAINER", "launch_container": asked(&alone) });
    assert_eq!(ask(&address, whole).await, (200, String::new()));
    let stdout = agent.config.work_dir.join("containers/alone/stdout");
    let said = || std::fs::read_to_string(&stdout).unwrap_or_default();
    eventually("it says what it sees", || said().matches('\n').count() >= 7).await;
    let expected = ["from the image", "fetched", "from the image", "quiet", "0", "of the image"];
    let lines: Vec<String> = said().lines().map(str::to_owned).collect();
    assert_eq!(lines[..6], expected);
    let mapped: Vec<&str> = lines[6].split_whitespace().collect();
    assert!(mapped[0] == "0" && mapped[1] != "0", "its root is nobody on the machine: {}", lines[6]);
    let session =
        json!({ "container_id": id(&["alone", "s"]), "command": { "value": "echo $A; cat /etc/motd" } });
    let session =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": session });
    let beside = Output::open(&address, Media::Json, &session).await.rest().await;
    assert_eq!(beside[0], "of the image\nfrom the image\n");
    // Without an image it would see the machine's files, with one it is in its network.
    let inner = id(&["alone", "inner"]);
    let (status, said) = launch(&address, &inner, "true", json!({})).await;
    assert!(status == 400 && said.contains("name an image"), "{said}");
    let shares = json!([{ "mode": "RW", "container_path": "ours", "source": { "type": "SANDBOX_PATH",
        "sandbox_path": { "type": "PARENT", "path": "shared" } } }]);
    let boxes = json!({ "container": boxed(shares) });
    assert_eq!(
        launch(&address, &inner, "echo both > /mnt/mesos/sandbox/ours/word", boxes).await,
        (200, String::new())
    );
    assert_eq!(wait(&address, &inner).await, waited(0));
    let word = agent.config.work_dir.join("containers/alone/shared/word");
    assert_eq!(std::fs::read_to_string(word).unwrap(), "both\n");
    assert_eq!(call(&address, "KILL_CONTAINER", &alone, json!({})).await.0, 200);
    assert_eq!(wait(&address, &alone).await, waited(9));
    assert_eq!(call(&address, "REMOVE_CONTAINER", &alone, json!({})).await.0, 200);

    // The same within a task of the machine's files.
    let task = container_of(&mut link, "t", "exec sleep 1000").await;
    let nested = id(&[&task, "nested"]);
    let boxes = json!({ "container": boxed(json!([])) });
    assert_eq!(launch(&address, &nested, "cat /etc/motd; exit 5", boxes).await, (200, String::new()));
    assert_eq!(wait(&address, &nested).await, waited(5 << 8));
    let said = std::fs::read_to_string(agent.sandbox("t").join("containers/nested/stdout")).unwrap();
    assert_eq!(said, "from the image\n");
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    eventually("nothing is left", || agent.containers().is_empty()).await;
    running.stop().await;
    assert_eq!(agent.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_have_what_it_wants_is_not_made_and_its_name_is_free() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    agent.config.container_disk_watch_interval = std::time::Duration::from_millis(100);
    let running = InProcess::start(&agent);
    let link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let alone = id(&["alone"]);
    let asked = |container: Value| json!({ "resources": resources(0.1, 40.0), "container": container });
    let mut unknown = boxed(json!([]));
    unknown["mesos"]["image"]["docker"]["name"] = json!("nobody-has:this");
    let (status, said) = launch(&address, &alone, "true", asked(unknown)).await;
    assert!(status == 400 && said.contains("nobody-has:this"), "{said}");
    let networks = json!({ "type": "MESOS", "network_infos": [{ "name": "nobody-has-this" }] });
    let (status, said) = launch(&address, &alone, "true", asked(networks)).await;
    assert!(status == 400 && said.contains("nobody-has-this"), "{said}");
    let fetches = json!({ "container_id": alone, "resources": resources(0.1, 40.0),
        "command": { "value": "true", "uris": [{ "value": "/etc/passwd" }] } });
    let (status, said) =
        ask(&address, json!({ "type": "LAUNCH_CONTAINER", "launch_container": fetches })).await;
    assert!(status == 400 && said.contains("/etc/passwd"), "{said}");
    let greedy = json!({ "resources": with_disk(resources(0.1, 40.0), 1.0) });
    let fills = "head -c 3000000 /dev/zero > file; sleep 1000";
    assert_eq!(launch(&address, &alone, fills, greedy).await, (200, String::new()));
    let (_, said) = wait(&address, &alone).await;
    assert!(said.contains("REASON_CONTAINER_LIMITATION_DISK") && said.contains("1MB"), "{said}");
    assert_eq!(call(&address, "REMOVE_CONTAINER", &alone, json!({})).await.0, 200);
    assert!(agent.containers().is_empty());
    running.stop().await;
}

fn with_disk(mut resources: Value, mebibytes: f64) -> Value {
    let disk = json!({ "name": "disk", "type": "SCALAR", "scalar": { "value": mebibytes } });
    resources.as_array_mut().unwrap().push(disk);
    resources
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_launched_is_refused_with_the_field_and_what_to_do() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    let task = container_of(&mut link, "t", "exec sleep 1000").await;
    let deep: Vec<&str> = vec!["x"; 40];
    let shares = json!({ "resources": resources(0.1, 40.0) });
    let volumes = json!({ "container": { "type": "MESOS", "volumes": [
        { "mode": "RW", "container_path": "x", "host_path": "/etc" } ] } });
    let parents = json!({ "resources": resources(0.1, 40.0), "container": { "type": "MESOS", "volumes": [
        { "mode": "RW", "container_path": "x", "source": { "type": "SANDBOX_PATH",
            "sandbox_path": { "type": "PARENT", "path": "x" } } } ] } });
    let network = json!({ "container": { "type": "MESOS", "network_infos": [{ "name": "none" }] } });
    let ports =
        json!([{ "name": "ports", "type": "RANGES", "ranges": { "range": [{ "begin": 1, "end": 2 }] } }]);
    let mut with_ports = resources(0.1, 40.0);
    with_ports.as_array_mut().unwrap().extend(ports.as_array().unwrap().clone());
    for (path, more, status, message) in [
        (&["../up"][..], json!({}), 400, "launch_container.container_id.value': '../up' contains invalid"),
        (&[&task, ".."], json!({}), 400, "'..' is disallowed"),
        (&[&task, "a.b"], json!({}), 400, "launch_container.container_id.value' contains '.'"),
        (&deep, json!({}), 400, "at most 32 deep"),
        (&["unknown", "x"], json!({}), 404, "Container unknown cannot be found"),
        (&[&task, "x"], shares, 400, "container.linux_info.share_cgroups"),
        (&[&task, "x"], volumes, 400, "launch_container.container.volumes[0].host_path"),
        (&["x"], parents, 400, "this container has no parent"),
        (&[&task, "x"], network, 400, "the network of the container that it is in"),
        (&["x"], json!({ "resources": with_ports }), 400, "ask for cpus, mem and disk"),
    ] {
        let (found, said) = launch(&address, &id(path), "true", more.clone()).await;
        assert!(found == status && said.contains(message), "{path:?} {more}: {found} {said}");
    }
    let nowhere = json!({ "command": { "value": "nobody-has-this", "shell": false } });
    let (status, said) = call(&address, "LAUNCH_NESTED_CONTAINER", &id(&[&task, "x"]), nowhere).await;
    assert!(status == 400 && said.contains("nobody-has-this"), "{said}");
    let fetches = json!({ "command": { "value": "true", "uris": [{ "value": "gopher://x/y" }] } });
    let (status, said) = call(&address, "LAUNCH_NESTED_CONTAINER", &id(&[&task, "x"]), fetches).await;
    assert!(status == 400 && said.contains("launch_nested_container.command.uris[0].value"), "{said}");
    assert_eq!(launch(&address, &id(&[&task]), "true", json!({})).await.0, 202, "the task is there");
    // Nothing of all this is left.
    assert_eq!(agent.containers(), [task]);
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    running.stop().await;
}
