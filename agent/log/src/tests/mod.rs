//! The log against torn ends, damage, and disks that lie.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{
    CheckStatus, ExecutorRecord, FrameworkRecord, KillCause, Record, Runner, TaskRecord, Update,
};
use chapada_model::{
    ExecutorKey, ExecutorKind, FrameworkId, OperationState, OperationStatus, Reason, Resources, Source,
    TaskKey, TaskState, UpdateUuid, Wall,
};
use chapada_wire::v1;
use proptest::prelude::*;
use prost::Message;

use super::{LogError, LogFile, LogHandle, record, watch_of};

fn key() -> TaskKey {
    TaskKey { framework: "f".parse().unwrap(), task: "t".parse().unwrap() }
}

/// One of each kind.
fn all_kinds() -> Vec<Record> {
    let update = Update {
        uuid: UpdateUuid([7; 16]),
        state: TaskState::Failed,
        source: Source::Agent,
        reason: Some(Reason::ContainerLimitationMemory),
        message: "m".into(),
        at: Wall(5),
        pid: Some(9),
        // Of two bytes nothing is left in thousandths of a MiB.
        exceeded: Resources::EMPTY,
        details: Some(vec![4].into()),
        healthy: Some(false),
        check: Some(CheckStatus::Http(Some(404))),
    };
    let framework = FrameworkRecord {
        id: "f".parse().unwrap(),
        knows_killing: true,
        partition_aware: true,
        info: vec![1, 2].into(),
    };
    let (executor, group) = (|| "e".parse().unwrap(), || "t".parse().unwrap());
    let info = v1::TaskInfo {
        max_completion_time: Some(v1::DurationInfo { nanoseconds: Some(5) }),
        ..v1::TaskInfo::default()
    };
    let task = |runner: Runner| TaskRecord {
        key: key(),
        runner,
        container: "c".parse().unwrap(),
        kill_grace: Duration::from_millis(1500),
        watch: watch_of(&info),
        launched: Wall(3),
        info: info.encode_to_vec().into(),
    };
    let over_disk = Update { exceeded: "disk:12".parse().unwrap(), ..update.clone() };
    vec![
        Record::Boot { boot_id: "b".into() },
        Record::Epoch(4),
        Record::Agent(Some("a".parse().unwrap())),
        Record::Agent(None),
        Record::Framework(Arc::new(framework)),
        Record::Executor(Arc::new(executor_record(ExecutorKind::Custom))),
        Record::Executor(Arc::new(executor_record(ExecutorKind::Default))),
        Record::ExecutorSubscribed(executor_record(ExecutorKind::Custom).key),
        Record::ExecutorShutdown(executor_record(ExecutorKind::Custom).key),
        Record::ExecutorForgotten(executor_record(ExecutorKind::Custom).key),
        Record::Task(Arc::new(task(Runner::Command))),
        Record::Task(Arc::new(task(Runner::Custom { executor: executor(), group: None }))),
        Record::Task(Arc::new(task(Runner::Custom { executor: executor(), group: Some(group()) }))),
        Record::Task(Arc::new(task(Runner::Pod {
            executor: executor(),
            parent: "p".parse().unwrap(),
            group: group(),
        }))),
        kill(KillCause::Asked),
        kill(KillCause::Unhealthy),
        kill(KillCause::TooLong),
        Record::Update { task: key(), update: Arc::new(update) },
        Record::Acknowledged { task: key(), uuid: UpdateUuid([7; 16]) },
        Record::TaskForgotten(key()),
        Record::FrameworkShutdown("f".parse().unwrap()),
        Record::FrameworkForgotten("f".parse().unwrap()),
        Record::Made(disk()),
        operation(Some("f".parse().unwrap())),
        operation(None),
        Record::OperationAcknowledged("k".parse().unwrap()),
        Record::Update { task: key(), update: Arc::new(over_disk) },
    ]
}

fn executor_record(kind: ExecutorKind) -> ExecutorRecord {
    ExecutorRecord {
        key: ExecutorKey { framework: "f".parse().unwrap(), executor: "e".parse().unwrap() },
        kind,
        container: "p".parse().unwrap(),
        shutdown_grace: Duration::from_secs(5),
        launched: Wall(4),
        info: vec![5].into(),
    }
}

fn kill(cause: KillCause) -> Record {
    Record::Kill { task: key(), grace: Duration::from_secs(1), cause }
}

fn disk() -> Resources {
    "disk(ops):5".parse().unwrap()
}

/// An operation of a framework, or of an operator.
fn operation(framework: Option<FrameworkId>) -> Record {
    let status = OperationStatus {
        key: Some("k".parse().unwrap()),
        operation: framework.is_some().then(|| "o".parse().unwrap()),
        framework,
        agent: Some("a".parse().unwrap()),
        state: OperationState::Finished,
        message: Some("m".into()),
        converted: disk(),
        uuid: Some(UpdateUuid([8; 16])),
    };
    Record::Operation { made: disk(), status: Arc::new(status) }
}

struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.log");
    Place { _directory: directory, path }
}

fn append(log: &mut LogFile, records: &[Record]) {
    let mut body = Vec::new();
    records.iter().for_each(|record| record::encode(record, &mut body));
    log.append(&body).unwrap();
}

fn epochs(count: u64) -> (Place, Vec<u64>) {
    let place = place();
    let (mut log, _) = LogFile::open(&place.path).unwrap();
    let ends = (1..=count)
        .map(|epoch| {
            append(&mut log, &[Record::Epoch(epoch)]);
            log.length()
        })
        .collect();
    (place, ends)
}

#[test]
fn every_kind_of_record_comes_back() {
    let place = place();
    let (mut log, records) = LogFile::open(&place.path).unwrap();
    assert_eq!(records, []);
    append(&mut log, &all_kinds());
    drop(log);
    let (mut log, records) = LogFile::open(&place.path).unwrap();
    assert_eq!(records, all_kinds());
    append(&mut log, &[Record::Epoch(9)]);
    drop(log);
    assert_eq!(LogFile::open(&place.path).unwrap().1.last(), Some(&Record::Epoch(9)));
}

#[test]
fn a_replaced_log_holds_what_it_was_given() {
    let (place, _) = epochs(5);
    let (mut log, _) = LogFile::open(&place.path).unwrap();
    let mut body = Vec::new();
    record::encode(&Record::Epoch(5), &mut body);
    log.replace(&[body]).unwrap();
    append(&mut log, &[Record::Epoch(6)]);
    drop(log);
    assert_eq!(LogFile::open(&place.path).unwrap().1, [Record::Epoch(5), Record::Epoch(6)]);
    assert!(!place.path.with_extension("log.new").exists());
}

#[test]
fn what_is_no_log_or_newer_is_refused_by_name() {
    let place = place();
    fs::write(&place.path, "something else entirely").unwrap();
    assert!(matches!(LogFile::open(&place.path), Err(LogError::NotALog(_))));
    fs::write(&place.path, b"CHPDALOG\x09\0\0\0").unwrap();
    let error = LogFile::open(&place.path).unwrap_err();
    assert!(matches!(error, LogError::Newer { version: 9, .. }), "{error}");
}

/// Scenario 13, downgraded: what a newer agent wrote is read as far as that is safe, and refused otherwise.
#[test]
fn a_record_from_the_future_is_read_or_refused() {
    let place = place();
    let read = |bodies: &[&[u8]]| {
        let mut log = b"CHPDALOG\x01\0\0\0".to_vec();
        bodies.iter().zip(1..).for_each(|(body, number)| super::frame::write(&mut log, number, body));
        fs::write(&place.path, &log).unwrap();
        let opened = LogFile::open(&place.path).map(|(_, records)| records);
        assert!(opened.is_ok() || fs::read(&place.path).unwrap() == log, "what is refused stays as it is");
        opened
    };
    let epoch = [0x0a, 0x02, 0x10, 0x04];
    let forgotten = [0x0a, 0x08, 0x5a, 0x06, 0x0a, 0x01, b'f', 0x12, 0x01, b't'];
    let kind_31 = [0x0a, 0x03, 0xfa, 0x01, 0x00];
    let field_9_of_forgotten = [0x0a, 0x0a, 0x5a, 0x08, 0x0a, 0x01, b'f', 0x12, 0x01, b't', 0x48, 0x01];
    let whole_kill = [0x0a, 0x0a, 0x42, 0x08, 0x0a, 0x06, 0x0a, 0x01, b'f', 0x12, 0x01, b't'];
    let known = [Record::Epoch(4), Record::TaskForgotten(key())];
    assert_eq!(read(&[&epoch, &forgotten]).unwrap(), known);
    assert_eq!(read(&[&epoch, &field_9_of_forgotten]).unwrap(), known);
    let mut kill = whole_kill.to_vec();
    assert!(matches!(read(&[&epoch, &kill]).unwrap()[..], [_, Record::Kill { .. }]));
    kill.extend([0x18, 0x09]);
    (kill[1], kill[3]) = (kill[1] + 2, kill[3] + 2);
    for unknown in [&kind_31[..], &kill] {
        let error = read(&[&epoch, unknown]).unwrap_err();
        assert!(matches!(error, LogError::Unreadable { offset: 32, .. }), "{error}");
        assert!(error.to_string().contains("run the newer version"), "{error}");
    }
}

/// Scenario 13, upgraded: `version-1.log` is [`all_kinds`] as the first agent wrote them. What is added later is appended to the
/// list, and the file stays as it is.
#[test]
fn the_log_of_a_former_version_is_read() {
    let place = place();
    fs::write(&place.path, include_bytes!("version-1.log")).unwrap();
    let (_, records) = LogFile::open(&place.path).unwrap();
    assert_eq!(records.len(), 26);
    assert_eq!(all_kinds()[..26], records);
}

#[test]
fn damage_before_the_end_is_refused_with_path_and_place() {
    let (place, ends) = epochs(5);
    let file = OpenOptions::new().write(true).open(&place.path).unwrap();
    file.write_all_at(&[0xff], ends[1] + 3).unwrap();
    let error = LogFile::open(&place.path).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { offset, .. } if offset == ends[1]), "{error}");
    assert!(error.to_string().contains(place.path.to_str().unwrap()));
}

proptest! {
    #[test]
    fn a_torn_end_loses_only_what_was_not_acknowledged(cut in 0u64..400, rubbish in prop::collection::vec(any::<u8>(), 0..40)) {
        let (place, ends) = epochs(8);
        let length = cut.min(*ends.last().unwrap());
        let file = OpenOptions::new().write(true).open(&place.path).unwrap();
        file.set_len(length).unwrap();
        file.write_all_at(&rubbish, length).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count() as u64;
        match LogFile::open(&place.path) {
            Ok((mut log, records)) => {
                prop_assert_eq!(records, (1..=whole).map(Record::Epoch).collect::<Vec<_>>());
                append(&mut log, &[Record::Epoch(99)]);
                drop(log);
                let (_, records) = LogFile::open(&place.path).unwrap();
                prop_assert_eq!(records.last(), Some(&Record::Epoch(99)));
            }
            // Cut inside the header, with rubbish where the magic should be.
            Err(error) => prop_assert!(length < 12, "{error}"),
        }
    }
}

#[tokio::test]
async fn the_thread_gathers_and_rewrites() {
    let place = place();
    let (file, _) = LogFile::open(&place.path).unwrap();
    let mut log = LogHandle::start(file).unwrap();
    while !log.is_long() {
        let batch = (0..500).map(|n| (n, Record::Boot { boot_id: "x".repeat(1000) }));
        assert!(log.append(batch.collect()).await);
        log.progress().await.unwrap();
    }
    assert!(log.rewrite(1_000_000, vec![Record::Epoch(3)]).await);
    while log.progress().await.unwrap().through < 1_000_000 {}
    assert!(!log.is_long());
    drop(log);
    // The thread lets go of the file a moment later; nothing locks it.
    assert_eq!(LogFile::open(&place.path).unwrap().1, [Record::Epoch(3)]);
}

/// A file system of 64 KiB. Needs root.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), directory.path(), Some("tmpfs"), flags, Some(size)).unwrap();
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

/// Waits until the record of this number is on disk.
async fn durable(log: &mut LogHandle, number: u64) {
    let waiting = async { while log.progress().await.unwrap().through < number {} };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it is never written");
}

/// Scenario 33: others fill the disk of the log.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_room_of_its_own_on_a_disk_that_others_fill() {
    let disk = SmallDisk::mount("size=8m");
    let path = disk.0.path().join("agent.log");
    let (file, _) = LogFile::open(&path).unwrap();
    let mut log = LogHandle::start(file).unwrap();
    assert!(log.append(vec![(1, Record::Epoch(1))]).await);
    durable(&mut log, 1).await;
    let filler = fs::write(disk.0.path().join("filler"), vec![0; 8 << 20]).unwrap_err();
    assert_eq!(filler.kind(), std::io::ErrorKind::StorageFull);
    let record = |number| Record::Boot { boot_id: format!("{number}").repeat(1000) };
    for sequence in 2..100 {
        assert!(log.append(vec![(sequence, record(sequence))]).await);
        durable(&mut log, sequence).await;
    }
    assert!(log.rewrite(100, vec![Record::Epoch(1); 10]).await);
    durable(&mut log, 100).await;
    assert!(log.append(vec![(101, Record::Epoch(2))]).await);
    durable(&mut log, 101).await;
    drop(log);
    let records = LogFile::open(&path).unwrap().1;
    assert!(!path.with_extension("log.new").exists());
    assert_eq!((records.len(), records.last()), (100, Some(&Record::Epoch(2))), "it was not replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_opened_again_on_a_full_disk_has_its_room_still() {
    let disk = SmallDisk::mount("size=8m");
    let path = disk.0.path().join("agent.log");
    let (file, _) = LogFile::open(&path).unwrap();
    let mut log = LogHandle::start(file).unwrap();
    assert!(log.append(vec![(1, Record::Epoch(1))]).await);
    durable(&mut log, 1).await;
    drop(log);
    let fill = |name: &str| fs::write(disk.0.path().join(name), vec![0; 8 << 20]).unwrap_err().kind();
    assert_eq!(fill("before"), std::io::ErrorKind::StorageFull);
    let (file, records) = LogFile::open(&path).unwrap();
    assert_eq!(records, [Record::Epoch(1)]);
    assert_eq!(fill("after"), std::io::ErrorKind::StorageFull);
    let mut log = LogHandle::start(file).unwrap();
    for sequence in 1..100 {
        let record = Record::Boot { boot_id: format!("{sequence}").repeat(1000) };
        assert!(log.append(vec![(sequence, record)]).await);
        durable(&mut log, sequence).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_and_nothing_is_reported_meanwhile() {
    let disk = SmallDisk::mount("size=64k");
    let path = disk.0.path().join("agent.log");
    let (file, _) = LogFile::open(&path).unwrap();
    let mut log = LogHandle::start(file).unwrap();
    assert!(log.append(vec![(1, Record::Epoch(1))]).await);
    assert_eq!(log.progress().await.unwrap().through, 1);
    let filler = disk.0.path().join("filler");
    fs::write(&filler, vec![0; 56 * 1024]).unwrap();
    let large = Record::Boot { boot_id: "x".repeat(16 * 1024) };
    assert!(log.append(vec![(2, large.clone())]).await);
    let early = tokio::time::timeout(Duration::from_millis(300), log.progress()).await;
    assert!(early.is_err(), "reported {early:?} although it is not on disk");
    fs::remove_file(filler).unwrap();
    assert_eq!(log.progress().await.unwrap().through, 2);
    drop(log);
    assert_eq!(LogFile::open(&path).unwrap().1, [Record::Epoch(1), large]);
}
