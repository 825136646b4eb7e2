//! Tasks in networks that real CNI plugins make, each test on a network of its own. Needs root, containernetworking-plugins,
//! iptables, iproute2 and busybox.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::images::{agent_with_image, docker_image};
use crate::operator::ask;
use crate::support::*;
use chapada_wire::link::from_agent;
use chapada_wire::v1::{self, TaskState, health_check};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers every connection to a port.
const SERVER: &str = "while :; do echo hello | busybox nc -l -p PORT; done";

fn network(name: &str) -> v1::NetworkInfo {
    v1::NetworkInfo { name: Some(name.to_owned()), ..v1::NetworkInfo::default() }
}

fn mapped(name: &str, host_port: u32, container_port: u32) -> v1::NetworkInfo {
    let mapping = v1::network_info::PortMapping {
        host_port: Some(host_port),
        container_port: Some(container_port),
        protocol: None,
    };
    v1::NetworkInfo { port_mappings: vec![mapping], ..network(name) }
}

fn container(network_infos: Vec<v1::NetworkInfo>) -> v1::ContainerInfo {
    let r#type = Some(v1::container_info::Type::Mesos as i32);
    v1::ContainerInfo { r#type, network_infos, ..v1::ContainerInfo::default() }
}

/// A task in these networks, with a port of the machine.
fn task(id: &str, command: &str, port: u64, networks: Vec<v1::NetworkInfo>) -> v1::TaskInfo {
    let mut task = command_task(id, command);
    task.container = Some(container(networks));
    task.resources.push(v1::Resource {
        name: Some("ports".to_owned()),
        r#type: Some(v1::value::Type::Ranges as i32),
        ranges: Some(v1::value::Ranges {
            range: vec![v1::value::Range { begin: Some(port), end: Some(port) }],
        }),
        ..v1::Resource::default()
    });
    task
}

/// Network names with their addresses.
fn addresses(status: &v1::TaskStatus) -> Vec<(String, Vec<String>)> {
    let infos = &status.container_status.as_ref().unwrap().network_infos;
    let addresses = |info: &v1::NetworkInfo| {
        info.ip_addresses.iter().map(|address| address.ip_address.clone().unwrap()).collect()
    };
    infos.iter().map(|info| (info.name.clone().unwrap_or_default(), addresses(info))).collect()
}

fn hears(address: impl Into<SocketAddr>) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address.into(), Duration::from_secs(10)) else {
        return false;
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).is_ok() && text == "hello\n"
}

/// What an agent leaves that dies before any record of a task is on disk, and while it leaves a network.
fn add_stray(networks: &std::path::Path) {
    let known = std::fs::read_dir(networks.join("joined")).unwrap().next().unwrap().unwrap().path();
    let mut record: Value = serde_json::from_slice(&std::fs::read(known).unwrap()).unwrap();
    for join in record["joins"].as_array_mut().unwrap() {
        join["result"] = Value::Null;
    }
    std::fs::write(networks.join("joined/stray.json"), record.to_string()).unwrap();
    std::fs::write(networks.join("namespaces/stray"), "").unwrap();
    std::fs::write(networks.join("namespaces/stray-too"), "").unwrap();
}

async fn get(address: &str, path: &str) -> Value {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_task_has_addresses_names_mapped_ports_and_checks_in_its_networks() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.add_bridge("one", "10.202.0.0/24");
        agent.add_bridge("two", "10.203.0.0/24");
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        let held = agent.config.work_dir.join("networks/namespaces");
        let looks = format!(
            "hostname; cat /etc/hosts /etc/resolv.conf /etc/hostname; grep -c {} /proc/self/mountinfo",
            held.display()
        );
        let command = format!("{looks}; {}", SERVER.replace("PORT", "80"));
        let mut task = task("t", &command, 31000, vec![mapped("one", 31000, 80), network("two")]);
        task.container.as_mut().unwrap().hostname = Some("of-the-task".to_owned());
        task.health_check = Some(v1::HealthCheck {
            r#type: Some(health_check::Type::Tcp as i32),
            tcp: Some(health_check::TcpCheckInfo { port: Some(80), ..Default::default() }),
            delay_seconds: Some(0.0),
            interval_seconds: Some(0.2),
            grace_period_seconds: Some(60.0),
            // Between two connections the server does not listen.
            consecutive_failures: Some(1_000_000),
            ..v1::HealthCheck::default()
        });
        link.launch(task).await;
        let status = link.until("t", TaskState::TaskRunning).await;
        let expected = [
            ("one".to_owned(), vec!["10.202.0.2".to_owned()]),
            ("two".to_owned(), vec!["10.203.0.2".to_owned()]),
        ];
        assert_eq!(addresses(&status), expected);
        let said = &status.container_status.as_ref().unwrap().network_infos[0];
        assert_eq!(said.port_mappings[0].host_port, Some(31000), "what the framework said stays");
        let healthy = link.update().await;
        assert_eq!(healthy.healthy, Some(true), "asked at its own loopback");
        eventually("it answers at its address", || hears(([10, 202, 0, 2], 80))).await;
        eventually("and at the mapped port", || hears(([127, 0, 0, 1], 31000))).await;
        let shown = || std::fs::read_to_string(agent.sandbox("t").join("stdout")).unwrap();
        let names = "of-the-task\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.202.0.2 of-the-task\n\
                     search cluster\nnameserver 10.0.0.53\nof-the-task\n0\n";
        eventually("its log is written", || shown().len() >= names.len()).await;
        assert_eq!(shown(), names, "the last line: it holds no network by a mount");
        let containers = get(&link.hello.address, "/containers").await;
        let address = &containers[0]["status"]["network_infos"][1]["ip_addresses"][0]["ip_address"];
        assert_eq!(address, "10.203.0.2", "{containers}");
        let state = get(&link.hello.address, "/state").await;
        let status = &state["frameworks"][0]["executors"][0]["tasks"][0]["statuses"][0]["container_status"];
        assert_eq!(status["network_infos"][0]["ip_addresses"][0]["ip_address"], "10.202.0.2", "{state}");
        link.kill("t").await;
        let ended = link.until("t", TaskState::TaskKilled).await;
        assert_eq!(addresses(&ended), expected, "the end says them, too");
        eventually("nothing is left of it", || agent.traces() == before).await;
        running.stop().await;
    });
}

#[test]
fn what_was_not_given_or_is_not_known_is_named() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.add_bridge("one", "10.202.0.0/24");
        agent.add_script("fails", "test $CNI_COMMAND = DEL && exit; echo '{\"msg\": \"no room\"}'; exit 1");
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        link.launch(task("ports", "true", 31000, vec![mapped("one", 31001, 80)])).await;
        let status = link.update().await;
        assert_eq!(state_of(&status), TaskState::TaskError);
        assert!(status.message.unwrap().contains("the port 31001 of the machine is mapped, and is not"));
        let cases = [
            (vec![network("nobody")], "the network \"nobody\" is not known here, but fails, one"),
            (vec![network("one"), network("one")], "the network \"one\" is named twice"),
            (vec![network("one"), network("fails")], "plugin \"fails\" failed to join: no room"),
        ];
        for (number, (networks, problem)) in cases.into_iter().enumerate() {
            let id = format!("t{number}");
            link.launch(task(&id, "true", 31000, networks)).await;
            let status = link.until(&id, TaskState::TaskFailed).await;
            assert_eq!(status.reason, Some(v1::task_status::Reason::ContainerLaunchFailed as i32));
            let message = status.message.unwrap();
            assert!(message.contains(problem), "{message}");
        }
        eventually("nothing is left of them", || agent.traces() == before).await;
        running.stop().await;
    });
}

#[test]
fn a_hung_plugin_delays_no_kill() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        let place = agent.config.work_dir.parent().unwrap().join("joining");
        agent.add_script(
            "hangs",
            &format!("test $CNI_COMMAND = DEL && exit; touch {}; exec sleep 1000", place.display()),
        );
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        link.launch(task("t", "true", 31000, vec![network("hangs")])).await;
        eventually("the plugin is at work", || place.exists()).await;
        let asked = Instant::now();
        link.kill("t").await;
        link.until("t", TaskState::TaskKilled).await;
        assert!(asked.elapsed() < Duration::from_secs(10), "nobody waits for the plugin");
        eventually("nothing is left of it", || agent.traces() == before).await;
        running.stop().await;
    });
}

#[test]
fn a_plugin_that_hangs_when_a_container_leaves_delays_neither_its_end_nor_others() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        let place = agent.config.work_dir.parent().unwrap().to_owned();
        let (leaving, go) = (place.join("leaving"), place.join("go"));
        let script = format!(
            "test $CNI_COMMAND = DEL || {{ echo '{{\"cniVersion\": \"1.0.0\"}}'; exit; }}\n\
             touch {}; until test -e {}; do sleep 0.02; done",
            leaving.display(),
            go.display()
        );
        agent.add_script("hangs", &script);
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        link.launch(task("t", "exec sleep 1000", 31000, vec![network("hangs")])).await;
        link.until("t", TaskState::TaskRunning).await;
        link.kill("t").await;
        link.until("t", TaskState::TaskKilled).await;
        eventually("the plugin is at work", || leaving.exists()).await;
        link.launch(task("other", "true", 31001, Vec::new())).await;
        link.until("other", TaskState::TaskFinished).await;
        assert!(agent.traces() != before, "the plugin still has it");
        std::fs::write(&go, "").unwrap();
        eventually("nothing is left of it", || agent.traces() == before).await;
        running.stop().await;
    });
}

#[test]
fn the_tasks_of_a_pod_share_its_network() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.add_bridge("one", "10.202.0.0/24");
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        let executor = v1::ExecutorInfo {
            r#type: Some(v1::executor_info::Type::Default as i32),
            executor_id: Some(v1::ExecutorId { value: Some("pod".to_owned()) }),
            container: Some(container(vec![mapped("one", 31000, 80)])),
            resources: command_task("x", "true").resources,
            ..v1::ExecutorInfo::default()
        };
        let listens =
            v1::TaskInfo { container: None, ..task("listens", &SERVER.replace("PORT", "80"), 31000, vec![]) };
        let asks = command_task(
            "asks",
            "until busybox nc 127.0.0.1 80 < /dev/null | grep hello; do sleep 0.05; done; exec sleep 1000",
        );
        link.launch_group(executor, vec![listens, asks], true).await;
        let status = link.until("asks", TaskState::TaskRunning).await;
        assert_eq!(addresses(&status), [("one".to_owned(), vec!["10.202.0.2".to_owned()])]);
        let heard = agent.sandbox("pod").join("tasks/asks/stdout");
        eventually("one hears the other", || {
            std::fs::read_to_string(&heard).is_ok_and(|text| text == "hello\n")
        })
        .await;
        eventually("and others both", || hears(([127, 0, 0, 1], 31000))).await;
        link.kill("asks").await;
        let mut gone = false;
        while !gone {
            match link.next().await {
                Some(from_agent::Message::Update(update)) => link.acknowledge(&update.status.unwrap()).await,
                Some(from_agent::Message::ExecutorGone(_)) => gone = true,
                other => panic!("expected updates and the end of the pod, not {other:?}"),
            }
        }
        eventually("nothing is left of it", || agent.traces() == before).await;
        running.stop().await;
    });
}

#[test]
fn an_agent_that_was_killed_adopts_networks_of_the_living_and_leaves_those_of_the_dead() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.add_bridge("one", "10.202.0.0/24");
        let place = agent.config.work_dir.parent().unwrap().join("joining");
        let hangs = "test $CNI_COMMAND = DEL && exit; echo $$ > note; mv note joining; exec sleep 1000";
        let directory = place.parent().unwrap().display();
        agent.add_script("hangs", &format!("cd {directory}; {hangs}"));
        let before = agent.traces();
        let first = AgentProcess::start(&agent);
        let mut link = master.welcome(1).await;
        link.launch(task("lives", &SERVER.replace("PORT", "80"), 31000, vec![mapped("one", 31000, 80)]))
            .await;
        let status = link.until("lives", TaskState::TaskRunning).await;
        let expected = addresses(&status);
        let dies = "until test -e stop; do sleep 0.02; done";
        link.launch(task("dies", dies, 31001, vec![mapped("one", 31001, 80)])).await;
        link.until("dies", TaskState::TaskRunning).await;
        link.launch(task("half", "true", 31002, vec![mapped("one", 31002, 80), network("hangs")])).await;
        eventually("the plugin is at work", || place.exists()).await;
        first.kill();
        std::fs::write(agent.sandbox("dies").join("stop"), "").unwrap();
        let plugin = std::fs::read_to_string(&place).unwrap();
        // One that has ended has no command line, also while nobody has waited for it.
        let plugin = std::path::Path::new("/proc").join(plugin.trim()).join("cmdline");
        let runs = || std::fs::read(&plugin).is_ok_and(|text| !text.is_empty());
        // Nor has one, for an instant, that becomes another program.
        eventually("it is left running", runs).await;
        add_stray(&agent.config.work_dir.join("networks"));
        let second = AgentProcess::start(&agent);
        let mut link = master.welcome(1).await;
        assert!(!runs(), "nothing of before works against who comes after");
        let held = link.held["lives"].latest.clone().unwrap();
        assert_eq!(addresses(&held), expected, "it is known after the restart");
        link.until("dies", TaskState::TaskFinished).await;
        eventually("one network is left", || agent.traces().mounts == 2).await;
        eventually("the living one is still reached", || hears(([127, 0, 0, 1], 31000))).await;
        link.kill("lives").await;
        link.until("lives", TaskState::TaskKilled).await;
        eventually("nothing is left of them", || agent.traces() == before).await;
        drop(second);
    });
}

#[test]
fn many_at_once_leak_nothing() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.add_bridge("one", "10.202.0.0/24");
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        let count = 16_u64;
        for number in 0..count {
            let port = 31000 + number;
            let host_port = u32::try_from(port).unwrap();
            // Every other one is killed on its way.
            let command = if number % 2 == 0 { "true" } else { "exec sleep 1000" };
            link.launch(task(&format!("t{number}"), command, port, vec![mapped("one", host_port, 80)])).await;
            if number % 2 == 1 {
                link.kill(&format!("t{number}")).await;
            }
        }
        let mut ended = 0;
        while ended < count {
            let status = link.update().await;
            ended +=
                u64::from(chapada_model::TaskState::try_from(status.state.unwrap()).unwrap().is_terminal());
        }
        eventually("nothing is left of them", || agent.traces() == before).await;
        eventually("no container is", || agent.containers().is_empty()).await;
        running.stop().await;
    });
}

#[test]
fn who_listens_on_a_port_that_was_not_given_ends() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.config.enforce_container_ports = true;
        agent.config.container_ports_watch_interval = Duration::from_millis(50);
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        link.launch(task("good", &SERVER.replace("PORT", "31000"), 31000, vec![])).await;
        link.until("good", TaskState::TaskRunning).await;
        eventually("it listens", || hears(([127, 0, 0, 1], 31000))).await;
        link.launch(task("alone", &SERVER.replace("PORT", "31009"), 31001, vec![network("none")])).await;
        link.until("alone", TaskState::TaskRunning).await;
        link.launch(task("bad", &SERVER.replace("PORT", "31009"), 31002, vec![])).await;
        let status = link.until("bad", TaskState::TaskFailed).await;
        assert_eq!(status.reason, Some(v1::task_status::Reason::ContainerLimitation as i32));
        let message = status.message.unwrap();
        assert!(message.ends_with("is listening on unallocated port(s): [31009-31009]"), "{message}");
        let taken = &status.limitation.unwrap().resources[0];
        assert_eq!(taken.ranges.as_ref().unwrap().range[0].begin, Some(31009));
        eventually("the others go on", || hears(([127, 0, 0, 1], 31000))).await;
        for id in ["good", "alone"] {
            link.kill(id).await;
            link.until(id, TaskState::TaskKilled).await;
        }
        running.stop().await;
    });
}

#[test]
fn a_standalone_container_is_in_networks_and_what_is_in_it_too() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.add_bridge("one", "10.202.0.0/24");
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let link = master.welcome(1).await;
        let address = &link.hello.address;
        let scalar = |name, value| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
        let alone = json!({ "value": "alone" });
        let launch = json!({ "container_id": alone, "command": { "value": SERVER.replace("PORT", "80") },
            "container": { "type": "MESOS", "hostname": "of-alone", "network_infos": [{ "name": "one" }] },
            "resources": [scalar("cpus", 0.1), scalar("mem", 40.0)] });
        let done = (200, String::new());
        assert_eq!(
            ask(address, json!({ "type": "LAUNCH_CONTAINER", "launch_container": launch })).await,
            done
        );
        eventually("it answers at its address", || hears(([10, 202, 0, 2], 80))).await;
        let wanted = json!({ "type": "GET_CONTAINERS", "get_containers": { "show_standalone": true } });
        let (_, said) = ask(address, wanted).await;
        assert!(said.contains("10.202.0.2"), "{said}");
        let inner = json!({ "value": "inner", "parent": alone });
        let launch =
            json!({ "container_id": inner, "command": { "value": "hostname; grep of-alone /etc/hosts" } });
        let launch = json!({ "type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container": launch });
        assert_eq!(ask(address, launch).await, done);
        let stdout = agent.config.work_dir.join("containers/alone/containers/inner/stdout");
        let said = || std::fs::read_to_string(&stdout).unwrap_or_default();
        eventually("it has the names of what it is in", || said() == "of-alone\n10.202.0.2 of-alone\n").await;
        for (kind, call) in [
            ("KILL_CONTAINER", "kill_container"),
            ("WAIT_CONTAINER", "wait_container"),
            ("REMOVE_CONTAINER", "remove_container"),
        ] {
            assert_eq!(
                ask(address, json!({ "type": kind, (call): { "container_id": alone } })).await.0,
                200,
                "{kind}"
            );
        }
        running.stop().await;
        assert_eq!(agent.traces(), before);
    });
}

#[test]
fn ports_beyond_those_of_the_agent_may_be_left_alone() {
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = TestAgent::new(master.address);
        agent.config.enforce_container_ports = true;
        agent.config.check_agent_port_range_only = true;
        agent.config.container_ports_watch_interval = Duration::from_millis(50);
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        // The agent has 31000 to 32000.
        let both = format!("{} & {}", SERVER.replace("PORT", "33000"), SERVER.replace("PORT", "31005"));
        let first = SERVER.replace("PORT", "33000");
        link.launch(task("beyond", &first, 31000, vec![])).await;
        link.until("beyond", TaskState::TaskRunning).await;
        eventually("it listens", || hears(([127, 0, 0, 1], 33000))).await;
        link.launch(task("within", &both.replace("33000", "33001"), 31001, vec![])).await;
        let status = link.until("within", TaskState::TaskFailed).await;
        assert!(status.message.unwrap().ends_with("[31005-31005]"));
        eventually("it goes on", || hears(([127, 0, 0, 1], 33000))).await;
        link.kill("beyond").await;
        link.until("beyond", TaskState::TaskKilled).await;
        running.stop().await;
    });
}

#[test]
fn a_container_of_type_docker_is_on_the_bridge_and_in_networks_of_users() {
    use v1::container_info::docker_info::{self, Network};
    on_a_machine(|| async {
        let mut master = ScriptedMaster::start().await;
        let mut agent = agent_with_image(&master);
        agent.add_bridge("default", "10.202.0.0/24");
        agent.add_bridge("theirs", "10.203.0.0/24");
        agent.config.bridge_network = "default".to_owned();
        let before = agent.traces();
        let running = InProcess::start(&agent);
        let mut link = master.welcome(1).await;
        let command = format!("cat /etc/hosts; busybox hostname; {}", SERVER.replace("PORT", "80"));
        let of_docker = |host_port| docker_info::PortMapping {
            host_port: Some(host_port),
            container_port: Some(80),
            protocol: Some("tcp".to_owned()),
        };
        let with = |network, port: u32, infos: Vec<v1::NetworkInfo>| {
            let mut container = docker_image("box:v1", network);
            container.docker.as_mut().unwrap().port_mappings = vec![of_docker(port)];
            container.network_infos = infos;
            container
        };
        let mut bridged = task("bridged", &command, 31000, vec![]);
        bridged.container = Some(with(Network::Bridge, 31000, vec![]));
        link.launch(bridged).await;
        let status = link.until("bridged", TaskState::TaskRunning).await;
        assert_eq!(addresses(&status), [("default".to_owned(), vec!["10.202.0.2".to_owned()])]);
        let mut theirs = task("theirs", &command, 31001, vec![]);
        theirs.container = Some(with(Network::User, 31001, vec![network("theirs")]));
        link.launch(theirs).await;
        let status = link.until("theirs", TaskState::TaskRunning).await;
        assert_eq!(addresses(&status), [("theirs".to_owned(), vec!["10.203.0.2".to_owned()])]);
        eventually("one answers at its mapped port", || hears(([127, 0, 0, 1], 31000))).await;
        eventually("the other does", || hears(([127, 0, 0, 1], 31001))).await;
        let name = status.container_status.unwrap().container_id.unwrap().value.unwrap();
        let shown = || std::fs::read_to_string(agent.sandbox("theirs").join("stdout")).unwrap();
        let names = format!("10.203.0.2 {name}\n{name}\n");
        eventually("its log has its names", || shown().ends_with(&names)).await;
        let mut refused = task("refused", &command, 31002, vec![]);
        refused.container = Some(with(Network::Bridge, 31003, vec![]));
        link.launch(refused).await;
        let status = link.update().await;
        assert_eq!(state_of(&status), TaskState::TaskError);
        for id in ["bridged", "theirs"] {
            link.kill(id).await;
            link.until(id, TaskState::TaskKilled).await;
        }
        eventually("nothing is left of them", || agent.traces() == before).await;
        running.stop().await;
    });
}
