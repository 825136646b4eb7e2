//! Reservations and volumes on a real disk: made, found again after kill -9, ended. Needs root.

use crate::support::*;
use chapada_wire::link::{self, from_agent, to_agent};
use chapada_wire::v1;

fn disk(mib: f64, role: Option<&str>, volume: Option<&str>) -> v1::Resource {
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

async fn operate(link: &mut Link, key: &str, consumed: v1::Resource, converted: v1::Resource) {
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
async fn outcome(link: &mut Link) -> link::OperationUpdate {
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
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    for update in [reserved, created] {
        let uuid = update.status.unwrap().uuid.unwrap().value.unwrap();
        let acknowledge = link::AcknowledgeOperation { key: update.key, uuid };
        link.say(to_agent::Message::AcknowledgeOperation(acknowledge)).await;
    }
    operate(&mut link, "p3", disk(16.0, Some("eng/db"), Some("v")), disk(16.0, None, None)).await;
    assert_eq!(outcome(&mut link).await.key, "p3");
    eventually("the volume's data is gone", || !file.parent().unwrap().exists()).await;
    drop(second);
}
