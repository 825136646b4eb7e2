//! Volumes of every kind, and secrets, in tasks, pods and executors; what an attacker would try with them. Needs root and a
//! busybox without libraries.

use chapada_wire::Media;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::images::{agent_with_image, image_task, mesos_image};
use crate::operator::ask;
use crate::pods::pod;
use crate::support::*;
use chapada_wire::Json;
use chapada_wire::v1::{self, TaskState};
use serde_json::{Value, json};

const CANARY: &str = "c4n4ry-0f-4-s3cr3t";

fn volume(volume: Value) -> v1::Volume {
    v1::Volume::from_json(volume.to_string().as_bytes()).unwrap()
}

fn with(mut task: v1::TaskInfo, volumes: &[Value]) -> v1::TaskInfo {
    let container = task.container.get_or_insert_with(|| v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        ..v1::ContainerInfo::default()
    });
    container.volumes = volumes.iter().cloned().map(volume).collect();
    task
}

fn host(path: &Path, target: &str, mode: &str) -> Value {
    json!({"mode": mode, "container_path": target,
        "source": {"type": "HOST_PATH", "host_path": {"path": path}}})
}

fn sandbox_path(kind: &str, path: &str, target: &str) -> Value {
    json!({"mode": "RW", "container_path": target,
        "source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": kind, "path": path}}})
}

/// "aGVsbG8=" and the like.
fn base64(text: &str) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for place in 0..4 {
            let digit = digits[(bits >> (18 - 6 * place) & 63) as usize] as char;
            out.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

fn secret(value: &str) -> Value {
    json!({"type": "VALUE", "value": {"data": base64(value)}})
}

fn stdout(agent: &TestAgent, task: &str) -> String {
    std::fs::read_to_string(agent.sandbox(task).join("stdout")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_volumes_of_every_kind() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    let data = agent.config.work_dir.parent().unwrap().join("data");
    std::fs::create_dir_all(data.join("deep")).unwrap();
    std::fs::write(data.join("deep/file"), "of the machine\n").unwrap();
    agent.config.allowed_host_paths = vec![format!("{}:rw", data.display())];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let script = "cd $MESOS_SANDBOX; cat /srv/data/deep/file; echo made > /srv/data/made; cat /srv/old/file; \
                  (echo x > /srv/old/file) 2>/dev/null && echo wrote; echo mine > /srv/own/file; cat here/file; \
                  cat one/etc/motd; (echo x > one/etc/motd) 2>/dev/null && echo wrote; echo x > /srv/memory/x; \
                  cat /srv/secret; echo $PASSWORD; true";
    let volumes = [
        host(&data, "/srv/data", "RW"),
        json!({"mode": "RO", "container_path": "/srv/old", "host_path": data.join("deep")}),
        sandbox_path("SELF", "here", "/srv/own"),
        json!({"mode": "RO", "container_path": "one",
            "image": {"type": "DOCKER", "docker": {"name": "box:v1"}}}),
        json!({"mode": "RW", "container_path": "/srv/memory", "source": {"tmpfs": {"size": 65536}}}),
        json!({"mode": "RO", "container_path": "/srv/secret",
            "source": {"type": "SECRET", "secret": secret("of nobody else\n")}}),
    ];
    let mut task = with(image_task("volumes", mesos_image("box:v1"), Some(script)), &volumes);
    let command = task.command.as_mut().unwrap();
    command.user = Some("root".to_owned());
    let variable = json!({"variables": [{"name": "PASSWORD", "type": "SECRET", "secret": secret(CANARY)}]});
    command.environment = Some(v1::Environment::from_json(variable.to_string().as_bytes()).unwrap());
    link.launch(task).await;
    let started = link.until("volumes", TaskState::TaskRunning).await;
    let said = started.message.unwrap_or_default();
    assert!(said.contains("without a user namespace: it has a volume of the machine at /srv/data"), "{said}");
    link.until("volumes", TaskState::TaskFinished).await;
    let expected =
        format!("of the machine\nof the machine\nmine\nfrom the image\nof nobody else\n{CANARY}\n");
    assert_eq!(stdout(&agent, "volumes"), expected);
    assert_eq!(std::fs::read_to_string(data.join("made")).unwrap(), "made\n");
    let roots =
        || std::fs::read_dir(agent.config.work_dir.join("images/overlay/containers")).unwrap().count();
    eventually("the image's volume is gone", || roots() == 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_the_machine_are_refused_whatever_they_are_called() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    let directory = agent.config.work_dir.parent().unwrap().to_owned();
    let data = directory.join("data");
    std::fs::create_dir(&data).unwrap();
    symlink("/etc", data.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(data.join("socket")).unwrap();
    nix::unistd::mkfifo(&data.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    agent.config.allowed_host_paths = vec![format!("{}:rw", directory.display())];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let work = agent.config.work_dir.clone();
    let never = [
        Path::new("/").to_owned(),
        "/proc".into(),
        "/sys/kernel".into(),
        "/dev".into(),
        "/etc".into(),
        "/run/docker.sock".into(),
        data.join("../../etc"),
        work.clone(),
        work.join("volumes/roles/other/theirs"),
        work.join("runtime"),
        directory.clone(),
    ];
    for (number, path) in never.iter().enumerate() {
        let id = format!("never{number}");
        let task = image_task(&id, mesos_image("box:v1"), Some("true"));
        link.launch(with(task, &[host(path, "/srv/data", "RO")])).await;
        let refused = link.until(&id, TaskState::TaskError).await;
        let message = refused.message.unwrap_or_default();
        assert!(
            message.starts_with("container.volumes[0].source.host_path.path: "),
            "{}: {message}",
            path.display()
        );
    }
    // What only the kernel can tell ends before anything ran.
    for (number, name) in ["link", "link/ssh", "socket", "pipe"].into_iter().enumerate() {
        let id = format!("trick{number}");
        let task = image_task(&id, mesos_image("box:v1"), Some("true"));
        link.launch(with(task, &[host(&data.join(name), "/srv/data", "RO")])).await;
        let failed = link.until(&id, TaskState::TaskFailed).await;
        assert_eq!(failed.reason, Some(v1::task_status::Reason::ContainerLaunchFailed as i32), "{name}");
    }
    for (number, target) in ["/proc/sys", "/sys/kernel", "/proc/self/fd/7"].into_iter().enumerate() {
        let id = format!("cover{number}");
        let task = image_task(&id, mesos_image("box:v1"), Some("true"));
        link.launch(with(task, &[sandbox_path("SELF", "own", target)])).await;
        link.until(&id, TaskState::TaskFailed).await;
    }
    // A link that the task itself has put into its sandbox.
    let task = image_task("bend", mesos_image("box:v1"), Some("true"));
    let mut task = with(task, &[sandbox_path("SELF", "../other", "/srv/data")]);
    link.launch(task.clone()).await;
    link.until("bend", TaskState::TaskError).await;
    task.task_id.as_mut().unwrap().value = Some("alone".to_owned());
    link.launch(with(task, &[sandbox_path("PARENT", "shared", "/srv/data")])).await;
    link.until("alone", TaskState::TaskError).await;
    running.stop().await;
}

/// Files below a directory in which this text is.
fn holding(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(holding(&path, text));
        } else if kind.is_file() {
            let content = std::fs::read(&path).unwrap_or_default();
            if content.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_but_in_its_container_and_outlives_its_agent_there() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let running = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let script = "until [ -e go ]; do sleep 0.01; done; cat key | tr a-z A-Z";
    let volumes = [json!({"mode": "RO", "container_path": "key",
        "source": {"type": "SECRET", "secret": secret(CANARY)}})];
    let mut task = with(command_task("secret", script), &volumes);
    let variable = json!({"variables": [{"name": "PASSWORD", "type": "SECRET", "secret": secret(CANARY)}]});
    task.command.as_mut().unwrap().environment =
        Some(v1::Environment::from_json(variable.to_string().as_bytes()).unwrap());
    let line = "[ -n \"$PASSWORD\" ] || exit 1; exit $((${#PASSWORD} + $(cat plus || echo 0)))";
    let check = json!({"type": "COMMAND", "interval_seconds": 0.05, "delay_seconds": 0,
        "command": {"command": {"value": line}}});
    task.check = Some(v1::CheckInfo::from_json(check.to_string().as_bytes()).unwrap());
    link.launch(task).await;
    let code = i32::try_from(CANARY.len()).unwrap();
    let seen = |status: &v1::TaskStatus| {
        status.check_status.as_ref().and_then(|check| check.command.as_ref()?.exit_code)
    };
    while seen(&link.update().await) != Some(code) {}
    let work = &agent.config.work_dir;
    let nowhere = || {
        assert_eq!(holding(work.parent().unwrap(), CANARY), Vec::<String>::new());
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let told = arguments.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!told, "{} tells it", process.path().display());
        }
    };
    nowhere();
    running.kill();
    let running = AgentProcess::start(&agent);
    let mut link = master.welcome(2).await;
    let held = &link.held["secret"];
    assert!(
        !format!("{held:?}").contains(&format!("{:?}", CANARY.as_bytes())),
        "the master hears nothing of it"
    );
    // The shim knows it still: a check of the new agent has it.
    std::fs::write(agent.sandbox("secret").join("plus"), "1").unwrap();
    while seen(&link.update().await) != Some(code + 1) {}
    nowhere();
    std::fs::write(agent.sandbox("secret").join("go"), "").unwrap();
    link.until("secret", TaskState::TaskFinished).await;
    assert_eq!(stdout(&agent, "secret"), CANARY.to_uppercase());
    running.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_of_a_frameworks_own_has_volumes_and_secrets_and_hears_those_of_its_tasks() {
    let (_master, agent, running, mut link) = registered().await;
    let mut task = crate::executors::task(
        "t",
        "(cat key; echo $PASSWORD; echo x > memory/x && cat memory/x) > said; mv said heard; exec sleep 1000",
    );
    let variables = json!({"variables": [{"name": "PASSWORD", "type": "SECRET", "secret": secret(CANARY)}]});
    let environment = v1::Environment::from_json(variables.to_string().as_bytes()).unwrap();
    let executor = task.executor.as_mut().unwrap();
    executor.command.as_mut().unwrap().environment = Some(environment.clone());
    let volumes = [
        json!({"mode": "RO", "container_path": "key",
            "source": {"type": "SECRET", "secret": secret("of the executor\n")}}),
        json!({"mode": "RW", "container_path": "memory", "source": {"tmpfs": {}}}),
    ];
    executor.container = with(command_task("x", "x"), &volumes).container;
    task.data = Some(b"for the executor".to_vec());
    task.container = with(
        command_task("x", "x"),
        &[json!({"mode": "RO", "container_path": "key",
        "source": {"type": "SECRET", "secret": secret(CANARY)}})],
    )
    .container;
    link.launch_on(task, true).await;
    let heard = agent.sandbox("e").join("heard");
    eventually("the executor runs", || heard.exists()).await;
    let said = std::fs::read_to_string(&heard).unwrap();
    assert_eq!(said, format!("of the executor\n{CANARY}\nx\n"));
    let speaker = Speaker { address: link.hello.address.clone(), token: None, media: Media::Json };
    let mut events = speaker.subscribe(&[]).unwrap();
    let subscribed = events.expect("SUBSCRIBED").to_string();
    assert!(!subscribed.contains(&base64(CANARY)), "its own it has already");
    let launched = events.expect("LAUNCH").to_string();
    assert!(launched.contains(&base64(CANARY)), "{launched}");
    let log = std::fs::read(agent.config.work_dir.join("agent.log")).unwrap();
    assert!(!log.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_the_agent_has_a_secret() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let volumes = [json!({"mode": "RO", "container_path": "key",
        "source": {"type": "SECRET", "secret": secret(CANARY)}})];
    link.launch(with(command_task("asked", "sleep 1000"), &volumes)).await;
    link.until("asked", TaskState::TaskRunning).await;
    let address = link.hello.address.clone();
    for call in ["GET_STATE", "GET_TASKS", "GET_EXECUTORS", "GET_CONTAINERS", "GET_FLAGS"] {
        let (_, answer) = ask(&address, json!({"type": call})).await;
        let told = [CANARY.to_owned(), base64(CANARY)].iter().any(|value| answer.to_string().contains(value));
        assert!(!told, "{call}");
    }
    link.kill("asked").await;
    link.until("asked", TaskState::TaskKilled).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_images_shares_directories_and_ids() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    let data = agent.config.work_dir.parent().unwrap().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "of the machine\n").unwrap();
    agent.config.allowed_host_paths = vec![data.display().to_string()];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    // There with something in it: a shell makes the file first and writes to it after.
    let wait = |file: &str| format!("until [ -s {file} ]; do sleep 0.01; done");
    let in_image = |id: &str, user: &str, line: &str, volumes: &[Value]| {
        let mut task = with(command_task(id, line), volumes);
        task.command.as_mut().unwrap().user = Some(user.to_owned());
        task
    };
    let map = "tr -s ' ' < /proc/self/uid_map";
    let first = in_image(
        "first",
        "www",
        &format!("cat /etc/motd; {map}; echo one > /srv/all/one; {}; cat /srv/all/two", wait("/srv/all/two")),
        &[sandbox_path("PARENT", "a/shared", "/srv/all")],
    );
    let second = in_image(
        "second",
        "root",
        &format!(
            "cd $MESOS_SANDBOX; {}; {map}; cat here/one; cat etc/file; (echo x > etc/x) 2>/dev/null && echo wrote; echo two > here/two",
            wait("here/one")
        ),
        &[sandbox_path("PARENT", "a/shared", "here"), sandbox_path("PARENT", "machine", "etc")],
    );
    let mut executor = pod();
    let mut container = mesos_image("box:v1");
    container.volumes = vec![volume(host(&data, "machine", "RO"))];
    executor.container = Some(container);
    link.launch_group(executor, vec![first, second], true).await;
    let mut left = vec!["first", "second"];
    while !left.is_empty() {
        let status = link.update().await;
        let state = state_of(&status);
        assert!(state != TaskState::TaskFailed && state != TaskState::TaskError, "{status:?}");
        left.retain(|id| *id != id_of(&status) || state != TaskState::TaskFinished);
    }
    let above = agent.sandbox("pod");
    let read = |id: &str| std::fs::read_to_string(above.join("tasks").join(id).join("stdout")).unwrap();
    let (first, second) = (read("first"), read("second"));
    let ids = first.lines().nth(1).unwrap();
    assert_eq!(first, format!("from the image\n{ids}\ntwo\n"));
    assert_eq!(second, format!("{ids}\none\nof the machine\n"), "one range of ids for both");
    assert!(ids.trim().starts_with("0 ") && !ids.trim().starts_with("0 0 "), "{ids}");
    running.stop().await;
}
