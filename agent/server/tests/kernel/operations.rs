//! Reservations and volumes on a real disk: made, found again after kill -9, ended. Needs root.

use crate::operator::get;
use crate::support::*;
use chapada_wire::link::{self, from_agent, to_agent};
use chapada_wire::v1;
use chapada_wire::v1::agent::call::Type;

pub(crate) fn disk(mib: f64, role: Option<&str>, volume: Option<&str>) -> v1::Resource {
    let dynamic = v1::resource::reservation_info::Type::Dynamic as i32;
    let reservation = |role: &str| v1::resource::ReservationInfo {
        r#type: Some(dynamic),
        role: Some(role.to_owned()),
        ..Default::default()
    };
    let info = |id: &str| v1::resource::DiskInfo {
        persistence: Some(v1::resource::disk_info::Persistence { id: Some(id.to_owned()), principal: None }),
        volume: Some(v1::Volume {
            container_path: Some("data".to_owned()),
            mode: Some(v1::volume::Mode::Rw as i32),
            ..Default::default()
        }),
        source: None,
    };
    v1::Resource {
        name: Some("disk".to_owned()),
        r#type: Some(v1::value::Type::Scalar as i32),
        scalar: Some(v1::value::Scalar { value: Some(mib) }),
        reservations: role.map(reservation).into_iter().collect(),
        disk: volume.map(info),
        ..v1::Resource::default()
    }
}

pub(crate) async fn operate(link: &mut Link, key: &str, consumed: v1::Resource, converted: v1::Resource) {
    link.say(to_agent::Message::Operate(link::Operate {
        key: key.to_owned(),
        framework_id: "framework-1".to_owned(),
        operation_id: Some(format!("o-{key}")),
        consumed: vec![consumed],
        converted: vec![converted],
    }))
    .await;
}

/// What the agent says of an operation next; updates of tasks are acknowledged on the way.
pub(crate) async fn outcome(link: &mut Link) -> link::OperationUpdate {
    loop {
        match link.next().await {
            Some(from_agent::Message::OperationUpdate(update)) => return update,
            Some(from_agent::Message::Update(update)) => link.acknowledge(&update.status.unwrap()).await,
            other => panic!("expected what became of an operation, not {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_outlives_its_agent_and_ends_when_it_is_destroyed() {
    let mut master = ScriptedMaster::start().await;
    let agent = TestAgent::new(master.address);
    let first = AgentProcess::start(&agent);
    let mut link = master.welcome(1).await;
    operate(&mut link, "p1", disk(16.0, None, None), disk(16.0, Some("eng/db"), None)).await;
    operate(&mut link, "p2", disk(16.0, Some("eng/db"), None), disk(16.0, Some("eng/db"), Some("v"))).await;
    let (reserved, created) = (outcome(&mut link).await, outcome(&mut link).await);
    assert_eq!((&*reserved.key, &*created.key), ("p1", "p2"));
    let finished = Some(v1::OperationState::OperationFinished as i32);
    assert_eq!(created.status.as_ref().unwrap().state, finished);
    let file = agent.config.work_dir.join("volumes/roles/eng db/v/file");
    let mut task = command_task("writer", "printf kept > data/file; cat data/file");
    task.resources.push(disk(16.0, Some("eng/db"), Some("v")));
    link.launch(task).await;
    link.until("writer", v1::TaskState::TaskFinished).await;
    assert_eq!(shown(&link).await, ["o-p1", "o-p2"], "nobody has acknowledged them");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(std::fs::read_to_string(agent.sandbox("writer").join("stdout")).unwrap(), "kept");
    assert!(!agent.sandbox("writer").join("data/file").exists(), "it is mounted in the container only");
    first.kill();

    let second = AgentProcess::start(&agent);
    let mut link = master.welcome(2).await;
    let stated = &link.hello.agent_info.as_ref().unwrap().resources;
    let is_volume = |r: &&v1::Resource| r.disk.as_ref().is_some_and(|disk| disk.persistence.is_some());
    assert_eq!(stated.iter().filter(is_volume).count(), 1, "{stated:?}");
    assert_eq!(outcome(&mut link).await, reserved);
    assert_eq!(outcome(&mut link).await, created);
    assert_eq!(shown(&link).await, ["o-p1", "o-p2"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    for update in [reserved, created] {
        let uuid = update.status.unwrap().uuid.unwrap().value.unwrap();
        let acknowledge = link::AcknowledgeOperation { key: update.key, uuid };
        link.say(to_agent::Message::AcknowledgeOperation(acknowledge)).await;
    }
    operate(&mut link, "p3", disk(16.0, Some("eng/db"), Some("v")), disk(16.0, None, None)).await;
    assert_eq!(outcome(&mut link).await.key, "p3");
    assert_eq!(shown(&link).await, ["o-p3"]);
    eventually("the volume's data is gone", || !file.parent().unwrap().exists()).await;
    drop(second);
}

/// The operations that the agent shows, all of them done.
async fn shown(link: &Link) -> Vec<String> {
    let answer = get(&link.hello.address, Type::GetOperations).await.get_operations.unwrap();
    let id = |operation: v1::Operation| {
        let status = operation.latest_status.unwrap();
        assert_eq!(status.state(), v1::OperationState::OperationFinished);
        assert!(status.uuid.is_some() && !status.converted_resources.is_empty());
        assert_eq!(operation.framework_id.unwrap().value(), "framework-1");
        status.operation_id.unwrap().value.unwrap()
    };
    answer.operations.into_iter().map(id).collect()
}

/// Makes one thing of another.
pub(crate) async fn made(link: &mut Link, key: &str, consumed: v1::Resource, converted: v1::Resource) {
    operate(link, key, consumed, converted).await;
    finished(link).await;
}

/// The next operation is done, and is heard of no more.
async fn finished(link: &mut Link) {
    let update = outcome(link).await;
    let status = update.status.unwrap();
    assert_eq!(status.state, Some(v1::OperationState::OperationFinished as i32), "{}", update.key);
    let uuid = status.uuid.unwrap().value.unwrap();
    let acknowledge = link::AcknowledgeOperation { key: update.key, uuid };
    link.say(to_agent::Message::AcknowledgeOperation(acknowledge)).await;
}

fn on(root: &std::path::Path, kind: &str, mut resource: v1::Resource) -> v1::Resource {
    use v1::resource::disk_info::{Source, source};
    let root = Some(root.to_str().unwrap().to_owned());
    let source = match kind {
        "PATH" => Source { path: Some(source::Path { root }), ..Source::default() },
        _ => Source { mount: Some(source::Mount { root }), ..Source::default() },
    };
    let source = Source { r#type: source::Type::from_str_name(kind).map(Into::into), ..source };
    resource.disk.get_or_insert_default().source = Some(source);
    resource
}

/// A file system that is there for as long as this is.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(path: std::path::PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        let options = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), &path, Some("tmpfs"), options, Some("size=16m")).unwrap();
        Self(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_on_a_path_and_on_a_mount_keep_their_data_until_they_are_destroyed() {
    let mut master = ScriptedMaster::start().await;
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = folder.path().join("path");
    std::fs::create_dir(&path).unwrap();
    let mount = Mounted::tmpfs(folder.path().join("mount"));
    let mut agent = TestAgent::new(master.address);
    let scalar = |name: &str, value: f64| serde_json::json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
    let source = |kind: &str, root: &std::path::Path| {
        let mut disk = scalar("disk", 16.0);
        disk["disk"]["source"] = serde_json::json!({ "type": kind, kind.to_lowercase(): { "root": root } });
        disk
    };
    let resources =
        [scalar("cpus", 4.0), scalar("mem", 4096.0), source("PATH", &path), source("MOUNT", &mount.0)];
    agent.config.resources = Some(serde_json::Value::from(resources.to_vec()).to_string());

    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let disks =
        [("PATH", &path, path.join("volumes/roles/eng db/v-PATH")), ("MOUNT", &mount.0, mount.0.clone())];
    for (kind, root, directory) in &disks {
        let id = format!("v-{kind}");
        let volume = on(root, kind, disk(16.0, Some("eng/db"), Some(&id)));
        let plain = on(root, kind, disk(16.0, None, None));
        operate(&mut link, &format!("create-{kind}"), plain.clone(), volume.clone()).await;
        finished(&mut link).await;
        let hidden = if *kind == "PATH" { path.join("volumes") } else { mount.0.clone() };
        let writes = format!("printf kept > data/file && test -z \"$(ls -A {})\"", hidden.display());
        for (name, command) in [("writer", writes.as_str()), ("reader", "cat data/file")] {
            let mut task = command_task(&format!("{name}-{kind}"), command);
            task.resources.push(volume.clone());
            link.launch(task).await;
            link.until(&format!("{name}-{kind}"), v1::TaskState::TaskFinished).await;
        }
        let read = std::fs::read_to_string(agent.sandbox(&format!("reader-{kind}")).join("stdout")).unwrap();
        assert_eq!((read.as_str(), directory.join("file").exists()), ("kept", true), "{kind}");
        operate(&mut link, &format!("destroy-{kind}"), volume, plain).await;
        finished(&mut link).await;
        eventually("the volume's data is gone", || !directory.join("file").exists()).await;
    }
    assert!(mount.0.is_dir() && path.join("volumes").is_dir(), "the disks themselves stay");
    // What is there next on the same disk starts empty, whatever is still to be removed.
    let volume = on(&mount.0, "MOUNT", disk(16.0, Some("eng/db"), Some("next")));
    operate(&mut link, "next", on(&mount.0, "MOUNT", disk(16.0, None, None)), volume.clone()).await;
    finished(&mut link).await;
    let mut task = command_task("next", "test -z \"$(ls -A data)\"");
    task.resources.push(volume);
    link.launch(task).await;
    link.until("next", v1::TaskState::TaskFinished).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_volume_stays_its_first_users_and_keeps_what_is_in_it_as_it_grows_and_shrinks() {
    let (_master, agent, running, mut link) = registered().await;
    let shared = |mib: f64| {
        let mut volume = disk(mib, Some("eng"), Some("v"));
        volume.shared = Some(v1::resource::SharedInfo::default());
        volume
    };
    operate(&mut link, "p1", disk(16.0, None, None), disk(16.0, Some("eng"), None)).await;
    operate(&mut link, "p2", disk(8.0, Some("eng"), None), shared(8.0)).await;
    let finished = Some(v1::OperationState::OperationFinished as i32);
    for _ in 0..2 {
        assert_eq!(outcome(&mut link).await.status.unwrap().state, finished);
    }
    let user = |id: &str, name: &str, command: &str| {
        let mut task = command_task(id, command);
        task.command.as_mut().unwrap().user = Some(name.to_owned());
        task.resources.push(shared(8.0));
        task
    };
    link.launch(user(
        "first",
        "nobody",
        "echo one > data/one; touch made; until [ -e data/end ]; do sleep 0.02; done",
    ))
    .await;
    link.until("first", v1::TaskState::TaskRunning).await;
    eventually("it has written", || agent.sandbox("first").join("made").exists()).await;
    // Another reads it meanwhile, and may not write: nor does it take it from the first.
    link.launch(user("second", "daemon", "cat data/one; touch data/two 2>&1 || stat -c %U data")).await;
    link.until("second", v1::TaskState::TaskFinished).await;
    let said = std::fs::read_to_string(agent.sandbox("second").join("stdout")).unwrap();
    assert!(said.starts_with("one\n") && said.ends_with("nobody\n"), "{said}");
    let file = agent.config.work_dir.join("volumes/roles/eng/v/end");
    std::fs::write(&file, "").unwrap();
    link.until("first", v1::TaskState::TaskFinished).await;

    let own = |mib: f64| disk(mib, Some("eng"), Some("own"));
    operate(&mut link, "p3", disk(8.0, Some("eng"), None), own(8.0)).await;
    assert_eq!(outcome(&mut link).await.status.unwrap().state, finished);
    let kept = agent.config.work_dir.join("volumes/roles/eng/own/kept");
    std::fs::write(&kept, "kept").unwrap();
    link.say(to_agent::Message::Operate(link::Operate {
        key: "p4".to_owned(),
        framework_id: "framework-1".to_owned(),
        operation_id: Some("o-p4".to_owned()),
        consumed: vec![own(8.0)],
        converted: vec![own(6.0), disk(2.0, Some("eng"), None)],
    }))
    .await;
    assert_eq!(outcome(&mut link).await.status.unwrap().state, finished, "it shrinks");
    link.say(to_agent::Message::Operate(link::Operate {
        key: "p5".to_owned(),
        framework_id: "framework-1".to_owned(),
        operation_id: Some("o-p5".to_owned()),
        consumed: vec![own(6.0), disk(2.0, Some("eng"), None)],
        converted: vec![own(8.0)],
    }))
    .await;
    assert_eq!(outcome(&mut link).await.status.unwrap().state, finished, "and grows");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
    running.stop().await;
}
