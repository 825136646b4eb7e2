//! Tasks with images: pulled, run, killed while they are pulled, found again after a restart. Needs root and a busybox without
//! libraries.

use std::path::Path;

use crate::operator::ask;
use crate::support::*;
use chapada_images::Digest;
use chapada_wire::v1::{self, TaskState, container_info, image};
use serde_json::json;

/// An OCI layout of one layer: busybox, two users, and a greeting.
pub(crate) fn build(layout: &Path) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        let kind = if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    };
    for directory in ["bin/", "etc/", "srv/"] {
        add(directory, 0o755, b"");
    }
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static: cargo xtask install");
    add("bin/busybox", 0o755, &busybox);
    add("etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n");
    add("etc/motd", 0o644, b"from the image\n");
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_mode(0o777);
    link.set_uid(0);
    link.set_gid(0);
    link.set_mtime(0);
    link.set_size(0);
    for name in ["bin/sh", "bin/id", "bin/cat", "bin/sleep"] {
        archive.append_link(&mut link, name, "busybox").unwrap();
    }
    let layer = archive.into_inner().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"architecture": architecture, "os": "linux",
        "config": {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id -u; cat /etc/motd; echo $A; pwd"],
            "Env": ["PATH=/bin", "A=of the image"], "User": "www", "WorkingDir": "/srv", "StopSignal": "SIGUSR1"},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}})
    .to_string();
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let keep = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.to_string().trim_start_matches("sha256:")), bytes).unwrap();
        json!({"digest": digest, "size": bytes.len()})
    };
    let manifest = json!({"schemaVersion": 2, "config": keep(config.as_bytes()), "layers": [keep(&layer)]});
    let mut entry = keep(manifest.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    std::fs::write(layout.join("index.json"), index).unwrap();
}

/// An agent that finds the image `box:v1` in a directory.
pub(crate) fn agent_with_image(master: &ScriptedMaster) -> TestAgent {
    let mut agent = TestAgent::new(master.address);
    let shelf = agent.config.work_dir.parent().unwrap().join("shelf");
    build(&shelf.join("box"));
    agent.config.docker_registry = Some(shelf.to_str().unwrap().to_owned());
    agent
}

pub(crate) fn mesos_image(name: &str) -> v1::ContainerInfo {
    let docker = image::Docker { name: Some(name.to_owned()), ..image::Docker::default() };
    let r#type = Some(image::Type::Docker as i32);
    let image = v1::Image { r#type, docker: Some(docker), ..v1::Image::default() };
    v1::ContainerInfo {
        r#type: Some(container_info::Type::Mesos as i32),
        mesos: Some(container_info::MesosInfo { image: Some(image) }),
        ..v1::ContainerInfo::default()
    }
}

pub(crate) fn docker_image(name: &str, network: container_info::docker_info::Network) -> v1::ContainerInfo {
    let docker = container_info::DockerInfo {
        image: Some(name.to_owned()),
        network: Some(network as i32),
        ..container_info::DockerInfo::default()
    };
    let r#type = Some(container_info::Type::Docker as i32);
    v1::ContainerInfo { r#type, docker: Some(docker), ..v1::ContainerInfo::default() }
}

/// A task whose image says what to run, unless there is a line.
pub(crate) fn image_task(id: &str, container: v1::ContainerInfo, line: Option<&str>) -> v1::TaskInfo {
    let mut task = command_task(id, "");
    let (shell, value) = (Some(line.is_some()), line.map(str::to_owned));
    task.command = Some(v1::CommandInfo { shell, value, ..v1::CommandInfo::default() });
    task.container = Some(container);
    task
}

pub(crate) fn roots(agent: &TestAgent) -> usize {
    let found = std::fs::read_dir(agent.config.work_dir.join("images/overlay/containers"));
    found.map_or(0, Iterator::count)
}

/// How many ranges of ids this agent has.
pub(crate) fn taken_ids(agent: &TestAgent) -> usize {
    let work_dir = agent.config.work_dir.to_str().unwrap();
    let files = std::fs::read_dir("/run/chapada/ids").into_iter().flatten().flatten();
    // Those of others may go at any time.
    let own = files.filter(|file| {
        std::fs::read_to_string(file.path()).is_ok_and(|text| text.lines().next() == Some(work_dir))
    });
    own.count()
}

fn stdout(agent: &TestAgent, task: &str) -> String {
    std::fs::read_to_string(agent.sandbox(task).join("stdout")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_what_its_image_says_and_sees_nothing_else() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.launch(image_task("image", mesos_image("box:v1"), None)).await;
    link.until("image", TaskState::TaskFinished).await;
    assert_eq!(stdout(&agent, "image"), "33\nfrom the image\nof the image\n/srv\n");

    let line =
        "echo $MESOS_SANDBOX; echo > /srv/mine && echo written; cat /proc/self/uid_map; ls /; ls /work";
    let mut task = image_task("line", mesos_image("box:v1"), Some(line));
    task.command.as_mut().unwrap().user = Some("root".to_owned());
    link.launch(task).await;
    let failed = link.until("line", TaskState::TaskFailed).await;
    assert!(failed.message.unwrap().contains("status"), "nothing of the machine is there");
    let said = stdout(&agent, "line");
    let mut lines = said.lines();
    assert_eq!((lines.next(), lines.next()), (Some("/mnt/mesos/sandbox"), Some("written")), "{said}");
    let map: Vec<u32> = lines.next().unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
    let nobody = map[1] >= agent.config.userns_first_id;
    assert!(map[0] == 0 && nobody && map[2] == 65_536, "its root is nobody on this machine: {map:?}");
    eventually("nothing is left", || roots(&agent) == 0 && agent.containers().is_empty()).await;
    eventually("its ids are free again", || taken_ids(&agent) == 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_type_docker_is_one_of_ours() {
    use container_info::docker_info::Network;
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    // What the task says goes to the image's entrypoint.
    let mut task = image_task("docker", docker_image("box:v1", Network::None), None);
    task.command.as_mut().unwrap().arguments = vec!["cat /proc/net/dev; pwd".to_owned()];
    link.launch(task).await;
    link.until("docker", TaskState::TaskFinished).await;
    let said = stdout(&agent, "docker");
    let devices = said.lines().filter(|line| line.contains(':')).count();
    assert_eq!((devices, said.lines().last()), (1, Some("/srv")), "{said}");
    let task = image_task("nowhere", docker_image("box:v1", Network::User), Some("true"));
    link.launch(task).await;
    let refused = link.until("nowhere", TaskState::TaskError).await;
    assert!(refused.message.unwrap().starts_with("container.network_infos[0].name is required"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_ends_a_pull_at_once_and_others_do_not_wait_for_one() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    // A registry that takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap().to_string();
    agent.config.insecure_registries = vec![host.clone()];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for number in 0..20 {
        let name = format!("{host}/hangs:{number}");
        link.launch(image_task(&format!("hangs-{number}"), mesos_image(&name), Some("true"))).await;
    }
    let (_held, _) = silent.accept().await.unwrap();
    link.launch(command_task("plain", "true")).await;
    link.until("plain", TaskState::TaskFinished).await;
    link.launch(image_task("image", mesos_image("box:v1"), None)).await;
    link.until("image", TaskState::TaskFinished).await;
    for number in 0..20 {
        let task = format!("hangs-{number}");
        link.kill(&task).await;
        let killed = link.until(&task, TaskState::TaskKilled).await;
        assert_eq!(killed.reason, Some(v1::task_status::Reason::TaskKilledDuringLaunch as i32));
    }
    eventually("nothing is left", || roots(&agent) == 0 && agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_fails_the_launch_and_says_why() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for (id, name, message) in [
        ("none", "none:v1", "image docker.io/library/none:v1: cannot read the image: there is no file of"),
        ("tag", "box:v2", "image docker.io/library/box:v2: cannot read the image: it has no image"),
    ] {
        link.launch(image_task(id, mesos_image(name), None)).await;
        let failed = link.until(id, TaskState::TaskFailed).await;
        assert_eq!(failed.reason, Some(v1::task_status::Reason::ContainerLaunchFailed as i32));
        let said = failed.message.unwrap();
        assert!(said.starts_with(message), "{said}");
    }
    let mut task = image_task("user", mesos_image("box:v1"), None);
    task.command.as_mut().unwrap().user = Some("nobody-there".to_owned());
    link.launch(task).await;
    let failed = link.until("user", TaskState::TaskFailed).await;
    assert!(failed.message.unwrap().contains("nobody-there"));
    eventually("nothing is left", || roots(&agent) == 0 && agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_removes_what_nothing_uses() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let address = link.hello.address.clone();
    let layers = || {
        let found = std::fs::read_dir(agent.config.work_dir.join("images/overlay/layers"));
        found.map_or(0, Iterator::count)
    };
    let excluded = json!({"type": "PRUNE_IMAGES", "prune_images": {"excluded_images":
        [{"type": "DOCKER", "docker": {"name": "box:v1"}}]}});
    let all = json!({"type": "PRUNE_IMAGES"});
    assert_eq!(ask(&address, all.clone()).await.0, 200, "when there are none");
    link.launch(image_task("t", mesos_image("box:v1"), Some("sleep 1000"))).await;
    link.until("t", TaskState::TaskRunning).await;
    assert_eq!((ask(&address, all.clone()).await.0, layers()), (200, 1), "it is in use");
    link.kill("t").await;
    link.until("t", TaskState::TaskKilled).await;
    eventually("the root is gone", || roots(&agent) == 0).await;
    assert_eq!((ask(&address, excluded).await.0, layers()), (200, 1), "it is excluded");
    assert_eq!((ask(&address, all).await.0, layers()), (200, 0));
    let broken = json!({"type": "PRUNE_IMAGES", "prune_images": {"excluded_images":
        [{"type": "DOCKER", "docker": {"name": "../box"}}]}});
    assert_eq!(ask(&address, broken).await.0, 400);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_an_image_is_found_after_a_restart_and_its_root_goes_with_it() {
    let mut master = ScriptedMaster::start().await;
    let agent = agent_with_image(&master);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let line = "while [ ! -e /mnt/mesos/sandbox/stop ]; do sleep 0.02; done; cat /etc/motd; exit 7";
    link.launch(image_task("long", mesos_image("box:v1"), Some(line))).await;
    link.until("long", TaskState::TaskRunning).await;
    first.kill();
    // What an agent leaves that dies while it makes a root.
    let orphan = agent.config.work_dir.join("images/overlay/containers/orphan");
    std::fs::create_dir(&orphan).unwrap();
    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    assert_eq!(roots(&agent), 1);
    std::fs::write(agent.sandbox("long").join("stop"), "").unwrap();
    let failed = link.until("long", TaskState::TaskFailed).await;
    assert_eq!(failed.message.as_deref(), Some("Command exited with status 7"));
    assert_eq!(stdout(&agent, "long"), "from the image\n");
    eventually("nothing is left", || roots(&agent) == 0 && agent.containers().is_empty()).await;
    // It is known to the agent of now how a container of the one before wants to be ended.
    let line = "trap 'echo asked; exit 0' USR1; : > /mnt/mesos/sandbox/ready; while :; do sleep 0.02; done";
    link.launch(image_task("asked", mesos_image("box:v1"), Some(line))).await;
    link.until("asked", TaskState::TaskRunning).await;
    eventually("it listens", || agent.sandbox("asked").join("ready").exists()).await;
    drop(second);
    let third = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    link.kill("asked").await;
    link.until("asked", TaskState::TaskFinished).await;
    assert_eq!(stdout(&agent, "asked"), "asked\n");
    drop(third);
}
