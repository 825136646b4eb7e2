//! What an operator has to allow: without that it is refused, with the remedy.

use crate::images::{agent_with_image, image_task, mesos_image, taken_ids};
use crate::support::*;
use chapada_wire::Json;
use chapada_wire::v1::{self, TaskState};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn root_of_the_machine_runs_nothing_unless_an_operator_allows_it() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.allow_host_root = false;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    // The framework of these tests runs its tasks as root.
    link.launch(command_task("root", "true")).await;
    let failed = link.until("root", TaskState::TaskFailed).await;
    assert!(failed.message.as_deref().unwrap_or_default().contains("--allow-host-root"), "{failed:?}");
    let mut task = command_task("nobody", "id -u");
    task.command.as_mut().unwrap().user = Some("nobody".to_owned());
    link.launch(task).await;
    link.until("nobody", TaskState::TaskFinished).await;
    let said = std::fs::read_to_string(agent.sandbox("nobody").join("stdout")).unwrap();
    assert_eq!(said, "65534\n");
    running.stop().await;
}

fn container(container: Value) -> v1::ContainerInfo {
    v1::ContainerInfo::from_json(container.to_string().as_bytes()).unwrap()
}

fn stdout(agent: &TestAgent, task: &str) -> String {
    std::fs::read_to_string(agent.sandbox(task).join("stdout")).unwrap()
}

/// Its effective and ambient capabilities, whether it has a filter, and what it may open.
const WHO: &str = "grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status | tr -s '\\t' ' '";

#[tokio::test(flavor = "multi_thread")]
async fn processes_processors_disks_and_devices_are_bounded_as_a_task_asks() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    agent.config.allowed_devices = vec!["/dev/kmsg:r".parse().unwrap()];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let disk = std::fs::read_dir("/sys/block").unwrap().flatten().map(|entry| entry.file_name());
    let disk = disk.filter_map(|name| name.into_string().ok()).find(|name| name.starts_with("loop"));
    let disk = format!("/dev/{}", disk.expect("the kernel has loop devices"));
    let looks = "grep Cpus_allowed_list /proc/self/status; ls -l /dev/kmsg | cut -c1; exec sleep 1000";
    let bounded = |id: &str, info: Value| {
        let mut task = command_task(id, looks);
        task.container = Some(container(info));
        task
    };
    let linux = json!({"max_processes": 77, "processors": "0", "io_weight": 300, "devices": ["/dev/kmsg:r"],
        "disk_limits": [{"device": disk, "read_bytes": 1_048_576, "writes": 100}]});
    let parameter = |key: &str, value: &str| json!({"key": key, "value": value});
    let docker = json!({"image": "box:v1", "parameters": [parameter("pids-limit", "78"), parameter("cpuset-cpus", "0"),
        parameter("device", "/dev/kmsg:/dev/kmsg:r"), parameter("device-read-bps", &format!("{disk}:1m"))]});
    for (id, processes, info) in [
        ("own", "77", json!({"type": "MESOS", "linux_info": linux})),
        ("docker", "78", json!({"type": "DOCKER", "docker": docker})),
    ] {
        link.launch(bounded(id, info)).await;
        let status = link.until(id, TaskState::TaskRunning).await;
        eventually("it has looked", || stdout(&agent, id).matches('\n').count() == 2).await;
        assert_eq!(stdout(&agent, id), "Cpus_allowed_list:\t0\nc\n", "{id}");
        let name = status.container_status.unwrap().container_id.unwrap().value.unwrap();
        assert_eq!(of_group(&agent, &name, "pids.max").trim(), processes, "{id}");
        let speed =
            of_group(&agent, &name, "blkio.throttle.read_bps_device") + &of_group(&agent, &name, "io.max");
        assert!(speed.contains("1048576"), "{id}: {speed:?}");
        link.kill(id).await;
        link.until(id, TaskState::TaskKilled).await;
    }
    for (id, linux, said) in [
        ("many", json!({"max_processes": 1 << 20}), "linux_info.max_processes is 1 to 32768"),
        ("device", json!({"devices": ["/dev/kmsg"]}), "--allowed-devices=/dev/kmsg"),
        ("other", json!({"devices": ["/dev/mem:r"]}), "--allowed-devices=/dev/mem"),
    ] {
        link.launch(bounded(id, json!({"type": "MESOS", "linux_info": linux}))).await;
        let status = link.until(id, TaskState::TaskError).await;
        assert!(status.message.as_ref().unwrap().contains(said), "{status:?}");
    }
    running.stop().await;
}

/// A file of a container's group, in whichever hierarchy has it; empty where none has.
fn of_group(agent: &TestAgent, container: &str, file: &str) -> String {
    let place = agent.config.cgroups_root.clone().unwrap();
    let roots = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let roots = roots.chain(["/sys/fs/cgroup".into()]);
    roots
        .filter_map(|root| std::fs::read_to_string(root.join(&place).join(container).join(file)).ok())
        .next()
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_and_filters_are_given_as_far_as_an_operator_allows() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    let profiles = agent.config.work_dir.parent().unwrap().join("profiles");
    std::fs::create_dir(&profiles).unwrap();
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]});
    std::fs::write(profiles.join("no-mkdir.json"), profile.to_string()).unwrap();
    agent.config.seccomp_config_dir = Some(profiles);
    agent.config.bounding_capabilities =
        Some(r#"{"capabilities":["NET_RAW","NET_BIND_SERVICE"]}"#.to_owned());
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let linux = |id: &str, user: &str, line: &str, info: Value| {
        let mut task = command_task(id, line);
        task.command.as_mut().unwrap().user = Some(user.to_owned());
        task.container = Some(container(json!({"type": "MESOS", "linux_info": info})));
        task
    };
    let capability = |name: &str| json!({"capabilities": [name]});
    link.launch(linux("raw", "nobody", WHO, json!({"effective_capabilities": capability("NET_RAW")}))).await;
    link.until("raw", TaskState::TaskFinished).await;
    assert_eq!(stdout(&agent, "raw"), "CapEff: 0000000000002000\nCapBnd: 0000000000002000\nSeccomp: 2\n");
    let strict = json!({"seccomp": {"profile_name": "no-mkdir.json"}, "shm_size": 1});
    let line = "(mkdir sub) 2>&1 | grep -c 'Permission denied'; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    link.launch(linux("strict", "nobody", line, strict)).await;
    link.until("strict", TaskState::TaskFinished).await;
    assert_eq!(stdout(&agent, "strict"), "1\n1024\n");
    for (id, info, said) in [
        ("admin", json!({"effective_capabilities": capability("SYS_ADMIN")}), "--bounding-capabilities"),
        ("open", json!({"seccomp": {"unconfined": true}}), "--allow-privileged"),
        ("pids", json!({"share_pid_namespace": true}), "share_pid_namespace"),
        ("climb", json!({"seccomp": {"profile_name": "../no-mkdir.json"}}), "no plain file name"),
    ] {
        link.launch(linux(id, "nobody", "true", info)).await;
        let refused = link.until(id, TaskState::TaskError).await.message.unwrap_or_default();
        assert!(refused.starts_with("container.linux_info") && refused.contains(said), "{refused}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_type_docker_is_confined_as_its_parameters_say() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let docker = |more: Value| {
        let mut docker = json!({"image": "box:v1"});
        docker.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container(json!({"type": "DOCKER", "docker": docker}))
    };
    let task = |id: &str, line: &str, container: v1::ContainerInfo| {
        let mut task = image_task(id, container, None);
        let command = task.command.as_mut().unwrap();
        (command.user, command.arguments) = (Some("root".to_owned()), vec![line.to_owned()]);
        task
    };
    let parameters: Vec<Value> = [
        ("cap-drop", "ALL"),
        ("read-only", "true"),
        ("tmpfs", "/srv:size=64k"),
        ("init", "false"),
        ("ulimit", "nofile=77"),
    ]
    .map(|(key, value)| json!({"key": key, "value": value}))
    .to_vec();
    let line =
        "echo $$; ulimit -n; (echo x > /made) 2>/dev/null && echo wrote; echo x > /srv/x && cat /srv/x";
    link.launch(task("tight", line, docker(json!({"parameters": parameters})))).await;
    link.until("tight", TaskState::TaskFinished).await;
    assert_eq!(stdout(&agent, "tight"), "1\n77\nx\n");
    link.launch(task("privileged", "true", docker(json!({"privileged": true})))).await;
    let refused = link.until("privileged", TaskState::TaskError).await.message.unwrap_or_default();
    assert!(refused.contains("--allow-privileged"), "{refused}");
    running.stop().await;

    (agent.config.allow_privileged, agent.config.allow_host_root) = (true, false);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(2).await;
    let line = "cat /proc/self/uid_map | tr -s ' '; while read key value; do [ $key = CapEff: ] && echo $value; [ $key = Seccomp: ] && echo $value; done < /proc/self/status; true";
    link.launch(task("mighty", line, docker(json!({"privileged": true})))).await;
    let started = link.until("mighty", TaskState::TaskRunning).await;
    assert!(started.message.unwrap_or_default().contains("it is privileged"));
    link.until("mighty", TaskState::TaskFinished).await;
    let said = stdout(&agent, "mighty");
    assert!(said.starts_with(" 0 0 4294967295\n000001ff") && said.ends_with("\n0\n"), "{said}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_from_a_user_namespace_needs_host_root_and_is_said() {
    let mut master = ScriptedMaster::start().await;
    let mut agent = agent_with_image(&master);
    agent.config.resources = Some("cpus:4;mem:4096;disk:1000;ports:[80-80, 31000-32000]".to_owned());
    agent.config.allow_host_root = false;
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let sharing = |id: &str, user: &str| {
        let mut task = image_task(id, mesos_image("box:v1"), Some("cat /proc/self/uid_map | tr -s ' '"));
        task.command.as_mut().unwrap().user = Some(user.to_owned());
        let info = json!({"share_user_namespace": true}).to_string();
        let linux = v1::LinuxInfo::from_json(info.as_bytes()).unwrap();
        task.container.as_mut().unwrap().linux_info = Some(linux);
        task
    };
    // Root of a user namespace is nobody, and needs no leave.
    let mut own = image_task("own", mesos_image("box:v1"), Some("id -u"));
    own.command.as_mut().unwrap().user = Some("root".to_owned());
    link.launch(own).await;
    let started = link.until("own", TaskState::TaskRunning).await;
    assert_eq!(started.message, None);
    link.until("own", TaskState::TaskFinished).await;
    link.launch(sharing("root", "root")).await;
    let failed = link.until("root", TaskState::TaskFailed).await.message.unwrap_or_default();
    assert!(failed.contains("--allow-host-root"), "{failed}");
    link.launch(sharing("www", "www")).await;
    let started = link.until("www", TaskState::TaskRunning).await.message.unwrap_or_default();
    assert!(started.ends_with("without a user namespace: its description asks for that"), "{started}");
    link.until("www", TaskState::TaskFinished).await;
    assert_eq!(stdout(&agent, "www"), " 0 0 4294967295\n");
    eventually("its ids are free again", || taken_ids(&agent) == 0).await;
    running.stop().await;
}
