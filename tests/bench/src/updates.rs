//! P22: status updates of one agent, each durable before the next of its task is made, through the agent's log.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_agent_core::{Record, Update};
use chapada_agent_log::{LogFile, LogHandle, Sync};
use chapada_model::{Resources, Source, TaskKey, TaskState, UpdateUuid, Wall};
use tokio::runtime::Builder;

use crate::figure::Figure;

/// Tasks that have something to say at a time.
const TASKS: usize = 200;
/// What a slow disk takes longer.
const INJECTED: Duration = Duration::from_millis(2);

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (each, suffix) = if quick { (50, "_quick") } else { (500, "") };
    let mut figures = measure(each, File::sync_data, "the disk's own sync", suffix)?;
    let shape = format!("a sync that takes {} ms more", INJECTED.as_millis());
    figures.extend(measure(each, slow_sync, &shape, &format!("_slow_disk{suffix}"))?);
    Ok(figures)
}

fn slow_sync(file: &File) -> io::Result<()> {
    std::thread::sleep(INJECTED);
    file.sync_data()
}

fn measure(each: usize, sync: Sync, disk: &str, suffix: &str) -> Result<Vec<Figure>> {
    let folder = tempfile::Builder::new().prefix("chapada-bench-log-").tempdir_in("/var/tmp")?;
    let path = folder.path().join("agent.log");
    let (file, _) = LogFile::open(&path)?;
    let runtime = Builder::new_current_thread().build()?;
    let (seconds, syncs) = runtime.block_on(write(file.with_sync(sync), each))?;
    let total = TASKS * each;
    check(&path, each)?;
    let shape = format!("{TASKS} tasks at a time, {each} updates each, {disk}");
    let figure =
        |name: &str, value: f64, unit| Figure::new(&format!("P22.{name}{suffix}"), value, unit, &shape);
    Ok(vec![
        figure("updates", total as f64 / seconds, "1/s, durable"),
        figure("records_a_sync", total as f64 / syncs as f64, "records"),
        figure("sync_time", seconds / syncs as f64 * 1e3, "ms from one to the next"),
    ])
}

/// Each task has one update in the log at a time: the next is handed over, by itself, when the last is known to be durable.
/// Gives the seconds and the syncs that it took.
async fn write(file: LogFile, each: usize) -> Result<(f64, u64)> {
    let mut log = LogHandle::start(file)?;
    let total = (TASKS * each) as u64;
    let tasks = (0..TASKS).map(key).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let (mut handed, mut durable, mut syncs) = (0, 0, 0);
    while durable < total {
        // Numbers go round the tasks: with so many in the log, the task of the next number is the one that was durable first.
        while handed < total && handed < durable + TASKS as u64 {
            handed += 1;
            let task = &tasks[(handed as usize - 1) % TASKS];
            ensure!(log.append(vec![(handed, record(task, handed))]).await, "the log failed");
        }
        let progress = log.progress().await.context("the log failed")?;
        (durable, syncs) = (progress.through, progress.syncs);
    }
    Ok((begun.elapsed().as_secs_f64(), syncs))
}

/// Whether all updates are in the file, those of each task in their order.
fn check(path: &Path, each: usize) -> Result<()> {
    let (_, records) = LogFile::open(path)?;
    ensure!(records.len() == TASKS * each, "{} records are in the log", records.len());
    for (record, number) in records.iter().zip(1..) {
        let task = key((number - 1) % TASKS)?;
        ensure!(*record == self::record(&task, number as u64), "record {number} is {record:?}");
    }
    Ok(())
}

fn key(number: usize) -> Result<TaskKey> {
    Ok(TaskKey {
        framework: "68e6266f-2683-4c25-9d5c-c87f297a6171-0000".parse()?,
        task: format!("bench.instance-{number}._app.1").parse()?,
    })
}

fn record(task: &TaskKey, number: u64) -> Record {
    let mut uuid = [7; 16];
    uuid[..8].copy_from_slice(&number.to_le_bytes());
    let update = Update {
        uuid: UpdateUuid(uuid),
        state: TaskState::Running,
        source: Source::Executor,
        reason: None,
        message: String::new(),
        at: Wall(1_795_255_570_000_000),
        pid: Some(12_345),
        exceeded: Resources::EMPTY,
        healthy: None,
        check: None,
        details: None,
    };
    Record::Update { task: task.clone(), update: Arc::new(update) }
}
