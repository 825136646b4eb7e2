use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{
    ExecutorPhase, ExecutorRecord, ExecutorView, Runner, TaskPhase, TaskRecord, TaskView,
};
use chapada_model::{ExecutorKind, Resources, TaskKey, Wall};
use chapada_wire::convert::{ReservationFormat, resources_to_wire};
use chapada_wire::v1;
use prost::Message;

use super::charges::Measure;
use super::walker::Used;
use super::*;
use crate::disks::Disks;
use crate::layout::Layout;
use crate::volumes::Volumes;

const MIB: u64 = 1 << 20;
const LEAST_NAMES: u64 = 1000;

fn task(id: &str, runner: Runner, resources: Vec<v1::Resource>) -> TaskView {
    let info = v1::TaskInfo {
        name: Some(id.to_owned()),
        task_id: Some(v1::TaskId { value: Some(id.to_owned()) }),
        agent_id: Some(v1::AgentId { value: Some("a".to_owned()) }),
        resources,
        ..v1::TaskInfo::default()
    };
    let record = TaskRecord {
        key: TaskKey { framework: "f".parse().unwrap(), task: id.parse().unwrap() },
        container: format!("c-{id}").parse().unwrap(),
        runner,
        kill_grace: Duration::ZERO,
        watch: Default::default(),
        launched: Wall(0),
        info: info.encode_to_vec().into(),
    };
    TaskView {
        record: Arc::new(record),
        phase: TaskPhase::Running { pid: 1 },
        newest: None,
        acknowledged: None,
        is_queued: false,
    }
}

fn of(text: &str) -> Vec<v1::Resource> {
    resources_to_wire(&text.parse::<Resources>().unwrap(), ReservationFormat::Single)
}

/// So much of a volume `v`, of a PATH disk if there is one.
fn volume(mib: u64, read_only: bool, shared: bool) -> Vec<v1::Resource> {
    let mut disk = of(&format!("disk(ops):{mib}"));
    let volume = v1::Volume {
        container_path: Some("data".to_owned()),
        mode: Some(if read_only { v1::volume::Mode::Ro } else { v1::volume::Mode::Rw } as i32),
        ..v1::Volume::default()
    };
    let persistence = v1::resource::disk_info::Persistence { id: Some("v".to_owned()), ..Default::default() };
    disk[0].disk = Some(v1::resource::DiskInfo {
        persistence: Some(persistence),
        volume: Some(volume),
        ..Default::default()
    });
    disk[0].shared = shared.then(v1::resource::SharedInfo::default);
    disk
}

fn pod(resources: Vec<v1::Resource>) -> ExecutorView {
    let info = v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Default as i32),
        executor_id: Some(v1::ExecutorId { value: Some("e".to_owned()) }),
        resources,
        ..v1::ExecutorInfo::default()
    };
    let record = ExecutorRecord {
        key: chapada_model::ExecutorKey { framework: "f".parse().unwrap(), executor: "e".parse().unwrap() },
        kind: ExecutorKind::Default,
        container: "c-e".parse().unwrap(),
        shutdown_grace: Duration::ZERO,
        launched: Wall(0),
        info: info.encode_to_vec().into(),
    };
    let phase = ExecutorPhase::Pod { until: None, ending: false };
    ExecutorView { record: Arc::new(record), phase, is_connected: false }
}

fn member() -> Runner {
    Runner::Pod {
        executor: "e".parse().unwrap(),
        parent: "c-e".parse().unwrap(),
        group: "a".parse().unwrap(),
    }
}

fn charges(tasks: Vec<TaskView>, executors: Vec<ExecutorView>) -> Vec<Charge> {
    let view = View { agent: Some("a".parse().unwrap()), tasks, executors, ..View::default() };
    let layout = Layout::new("/agent".into());
    let volumes = Volumes::new(Path::new("/agent"), Disks::default());
    let upper = |container: &str| (container == "c-image").then(|| "/images/c-image/upper".into());
    Ground { layout: &layout, volumes: &volumes, upper: &upper }.charges(&view, &[])
}

fn sandbox(container: &str) -> Key {
    Key::Sandbox(container.parse().unwrap())
}

/// Who ends when this was measured, and what is said.
fn ended(charges: &[Charge], measured: &[(Key, u64)]) -> Vec<(String, String)> {
    let measured: Vec<_> = measured.iter().map(|(key, bytes)| (key.clone(), bytes_alone(*bytes))).collect();
    ended_for(charges, &measured)
}

fn bytes_alone(bytes: u64) -> Used {
    Used { bytes, names: 0 }
}

fn ended_for(charges: &[Charge], measured: &[(Key, Used)]) -> Vec<(String, String)> {
    let figures = Figures::default();
    figures.keep(charges);
    measured.iter().for_each(|(key, used)| figures.note(key, *used));
    let (last, _) = measured.last().unwrap();
    let ended = exceeded(charges, last, &figures, LEAST_NAMES);
    ended.into_iter().map(|(container, why)| (container.to_string(), why.message)).collect()
}

#[test]
fn a_sandbox_and_what_is_written_over_an_image_are_paid_for_together() {
    let charges = charges(
        vec![
            task("image", Runner::Command, of("disk:10;cpus:1")),
            task("free", Runner::Command, of("cpus:1")),
        ],
        Vec::new(),
    );
    let image = charges.iter().find(|charge| charge.key == sandbox("c-image")).unwrap();
    let Measure::Trees(trees) = &image.measure else { panic!("{image:?}") };
    let trees: Vec<_> = trees.iter().map(|(path, _)| path.to_str().unwrap()).collect();
    assert_eq!(trees, ["/agent/slaves/a/frameworks/f/executors/image/runs/c-image", "/images/c-image/upper"]);
    let said = "Disk usage (12MB) exceeds quota (10MB)".to_owned();
    assert_eq!(ended(&charges, &[(sandbox("c-image"), 12 * MIB)]), [("c-image".to_owned(), said)]);
    assert!(ended(&charges, &[(sandbox("c-image"), 10 * MIB)]).is_empty());
    assert!(ended(&charges, &[(sandbox("c-free"), 1 << 50)]).is_empty(), "nobody said how much");
}

#[test]
fn files_without_content_are_bounded_as_well() {
    let charges = charges(
        vec![
            task("small", Runner::Command, of("disk:1")),
            task("large", Runner::Command, of("disk:100")),
            task("free", Runner::Command, of("cpus:1")),
            task("a", member(), of("disk:1")),
        ],
        vec![pod(of("disk:1"))],
    );
    let names = |container: &str, names: u64| {
        let ended = ended_for(&charges, &[(sandbox(container), Used { bytes: 0, names })]);
        ended.into_iter().map(|(_, message)| message).collect::<Vec<_>>()
    };
    let said =
        |used: u64, most: u64| [format!("Disk usage ({used} files and directories) exceeds quota ({most})")];
    assert_eq!(names("c-small", 1001), said(1001, 1000));
    assert_eq!(names("c-small", 1000), [""; 0]);
    assert_eq!(names("c-large", 6401), said(6401, 6400), "64 for each MiB");
    assert_eq!(names("c-large", 6400), [""; 0]);
    assert_eq!(names("c-free", 1 << 40), [""; 0], "nobody said how much");
    assert_eq!(names("c-e", 2001), said(2001, 2000), "its own and its task's");
    assert_eq!(names("c-e", 2000), [""; 0]);
}

#[test]
fn a_pod_may_take_what_its_tasks_and_its_executor_may_together() {
    let charges = charges(
        vec![task("a", member(), of("disk:10")), task("b", member(), of("disk:20"))],
        vec![pod(of("disk:5"))],
    );
    let of_pod = charges.iter().find(|charge| charge.key == sandbox("c-e")).unwrap();
    assert_eq!(of_pod.quota_bytes(), Some(35 * MIB));
    assert!(matches!(&of_pod.measure, Measure::Trees(trees) if trees[0].1 == ["containers"]), "{of_pod:?}");
    let (a, b, e) = (sandbox("c-a"), sandbox("c-b"), sandbox("c-e"));
    let said = |used: u64, quota: u64| format!("Disk usage ({used}MB) exceeds quota ({quota}MB)");
    assert_eq!(ended(&charges, &[(a.clone(), 11 * MIB)]), [("c-a".to_owned(), said(11, 10))]);
    let all = [(a.clone(), 9 * MIB), (e.clone(), 20 * MIB), (b.clone(), 7 * MIB)];
    assert_eq!(ended(&charges, &all), [("c-e".to_owned(), said(36, 35))]);
    assert!(ended(&charges, &[(a, 9 * MIB), (b, 7 * MIB), (e, 19 * MIB)]).is_empty());
}

#[test]
fn a_volume_is_paid_for_by_all_who_can_write_to_it_and_apart_from_sandboxes() {
    let with_volume =
        |id, read_only| task(id, Runner::Command, [of("disk:1"), volume(10, read_only, true)].concat());
    let charges = charges(
        vec![with_volume("a", false), with_volume("b", false), with_volume("reader", true)],
        Vec::new(),
    );
    assert_eq!(charges.len(), 4, "{charges:?}");
    let key = Key::Volume("/agent/volumes/roles/ops/v".into());
    let said = "Disk usage (11MB) exceeds quota (10MB) of the persistent volume 'v'".to_owned();
    let both = [("c-a".to_owned(), said.clone()), ("c-b".to_owned(), said)];
    assert_eq!(ended(&charges, &[(key.clone(), 11 * MIB)]), both);
    let figures = Figures::default();
    figures.keep(&charges);
    figures.note(&key, bytes_alone(3 * MIB));
    figures.note(&sandbox("c-reader"), bytes_alone(MIB / 2));
    let reader = figures.of_container(&"c-reader".parse().unwrap());
    assert_eq!(
        (reader.quota, reader.used, reader.volumes[0].used),
        (Some(MIB), Some(MIB / 2), Some(3 * MIB))
    );
}
