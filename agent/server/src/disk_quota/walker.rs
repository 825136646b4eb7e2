//! One thread for each disk, which counts what is on it, in turns and only while nobody else wants the disk.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use chapada_isolation::disk_usage::Count;
use chapada_isolation::idle;
use nix::sys::statvfs::statvfs;
use tokio::sync::mpsc;

use super::charges::{Key, Measure};

/// Entries that are counted in one go.
const TURN: usize = 4096;
/// Trees that are counted at once; others wait.
const AT_ONCE: usize = 8;
/// A tree with more names than this waits for all smaller ones.
const LARGE: u64 = 1 << 18;
/// Large trees that are half counted; the count of others starts again when its turn comes.
const LARGE_AT_ONCE: usize = 8;

/// What was asked for, and what came of it.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) key: Key,
    pub(super) used: Used,
}

/// What something takes of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) bytes: u64,
    /// Names of files and directories, beneath what was measured.
    pub(super) names: u64,
}

/// Something to measure.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) key: Key,
    pub(super) measure: Measure,
    /// With more names than this it is told before all of it is counted: no more need be known.
    pub(super) most_names: Option<u64>,
}

/// The thread of a disk.
#[derive(Debug)]
pub(super) struct Walker {
    orders: SyncSender<()>,
    wanted: Arc<Mutex<Vec<Task>>>,
    stop: Arc<AtomicBool>,
}

impl Walker {
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn start(results: mpsc::Sender<Measured>) -> io::Result<Self> {
        let (orders, inbox) = sync_channel(1);
        let (wanted, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let walk = Walk {
            inbox,
            wanted: Arc::clone(&wanted),
            stop: stop.clone(),
            results,
            waiting: VecDeque::new(),
            small: VecDeque::new(),
            large: VecDeque::new(),
        };
        std::thread::Builder::new().name("disk-usage".to_owned()).spawn(move || walk.run())?;
        Ok(Self { orders, wanted, stop })
    }

    /// Has these measured; what is being measured goes on.
    pub(super) fn measure(&self, tasks: Vec<Task>) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        if let Err(TrySendError::Disconnected(())) = self.orders.try_send(()) {
            tracing::error!("what disks hold is not measured any more: the thread has ended");
        }
    }
}

impl Drop for Walker {
    /// The thread ends within a turn; nobody waits for it, for a disk may hang.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Walk {
    inbox: Receiver<()>,
    wanted: Arc<Mutex<Vec<Task>>>,
    stop: Arc<AtomicBool>,
    results: mpsc::Sender<Measured>,
    waiting: VecDeque<Task>,
    small: VecDeque<Active>,
    large: VecDeque<Active>,
}

/// Trees that are being counted.
struct Active {
    key: Key,
    count: Option<Count>,
    rest: Vec<(PathBuf, Vec<&'static str>)>,
    /// Of trees that are counted whole.
    bytes: u64,
    names: u64,
    most_names: Option<u64>,
}

impl Walk {
    fn run(mut self) {
        if let Err(error) = idle::stand_back() {
            tracing::warn!(%error, "measuring disks takes time from others");
        }
        while !self.stop.load(Ordering::Relaxed) {
            let order = match self.is_idle() {
                true => self.inbox.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.inbox.try_recv(),
            };
            match order {
                Ok(()) => self.take_orders(),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            if self.turn().is_err() {
                return; // nobody listens
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.small.is_empty() && self.large.is_empty()
    }

    /// What is not wanted any more is dropped; what is being counted is not begun again.
    fn take_orders(&mut self) {
        let wanted = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        let is_wanted = |active: &mut Active| {
            let task = wanted.iter().find(|task| task.key == active.key);
            active.most_names = task.and_then(|task| task.most_names);
            task.is_some()
        };
        self.small.retain_mut(is_wanted);
        self.large.retain_mut(is_wanted);
        let active = |key: &Key| self.small.iter().chain(&self.large).any(|active| active.key == *key);
        self.waiting = wanted.into_iter().filter(|task| !active(&task.key)).collect();
    }

    /// A while's work.
    fn turn(&mut self) -> Result<(), Gone> {
        while self.small.len() < AT_ONCE
            && let Some(task) = self.waiting.pop_front()
        {
            match task.measure {
                Measure::FileSystem(root) => match statvfs(&root) {
                    Ok(disk) => {
                        let used = disk.blocks().saturating_sub(disk.blocks_free());
                        let bytes = used.saturating_mul(disk.fragment_size());
                        self.tell(task.key, Used { bytes, names: 0 })?;
                    }
                    Err(error) => complain(&task.key, &error.into()),
                },
                Measure::Trees(trees) => self.small.push_back(Active::new(task.key, trees, task.most_names)),
            }
        }
        let Some(mut active) = self.small.pop_front().or_else(|| self.large.pop_front()) else {
            return Ok(());
        };
        match active.step() {
            Ok(true) => return self.tell(active.key, Used { bytes: active.bytes, names: active.names }),
            Ok(false) if active.has_too_many() => {
                let used = Used { bytes: active.bytes_so_far(), names: active.names };
                return self.tell(active.key, used);
            }
            Ok(false) if active.names <= LARGE => self.small.push_back(active),
            Ok(false) if self.large.len() < LARGE_AT_ONCE => self.large.push_back(active),
            // Its turn comes again with the next order.
            Ok(false) => tracing::debug!(key = ?active.key, "too many large trees to measure this one"),
            Err(error) => complain(&active.key, &error),
        }
        Ok(())
    }

    fn tell(&self, key: Key, used: Used) -> Result<(), Gone> {
        self.results.blocking_send(Measured { key, used }).map_err(|_| Gone)
    }
}

/// Nobody wants to know any more.
struct Gone;

impl Active {
    fn new(key: Key, trees: Vec<(PathBuf, Vec<&'static str>)>, most_names: Option<u64>) -> Self {
        Self { key, count: None, rest: trees, bytes: 0, names: 0, most_names }
    }

    fn has_too_many(&self) -> bool {
        self.most_names.is_some_and(|most| self.names > most)
    }

    fn bytes_so_far(&self) -> u64 {
        self.count.as_ref().map_or(self.bytes, |count| self.bytes.saturating_add(count.usage().bytes))
    }

    /// Goes on for a turn; `true` when all is counted. What is not there counts nothing.
    fn step(&mut self) -> io::Result<bool> {
        let mut count = match self.count.take() {
            Some(count) => count,
            None => match self.rest.pop() {
                None => return Ok(true),
                Some((path, skipped)) => match Count::begin(&path, &skipped) {
                    Ok(count) => count,
                    Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                        return Ok(self.rest.is_empty());
                    }
                    Err(error) => return Err(error.source),
                },
            },
        };
        let before = count.usage();
        let is_done = count.step(TURN)?;
        let after = count.usage();
        self.names += after.names - before.names;
        if is_done {
            self.bytes = self.bytes.saturating_add(after.bytes);
            return Ok(self.rest.is_empty());
        }
        self.count = Some(count);
        Ok(false)
    }
}

fn complain(key: &Key, error: &io::Error) {
    tracing::warn!(?key, %error, "cannot measure what is on the disk");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn task(root: &std::path::Path, name: &str) -> Task {
        let path = root.join(name);
        let measure = Measure::Trees(vec![(path.clone(), Vec::new())]);
        Task { key: Key::Volume(path), measure, most_names: None }
    }

    /// So many directories with a hundred files each.
    fn fill(root: &std::path::Path, directories: u64) {
        for number in 0..directories {
            let directory = root.join(number.to_string());
            fs::create_dir(&directory).unwrap();
            for file in 0..100 {
                fs::write(directory.join(file.to_string()), "").unwrap();
            }
        }
    }

    #[tokio::test]
    async fn too_many_names_are_told_of_before_all_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bomb")).unwrap();
        fill(&folder.path().join("bomb"), 150);
        let (results, mut measured) = mpsc::channel(1);
        let walker = Walker::start(results).unwrap();
        let bomb = task(folder.path(), "bomb");
        let all = 150 * 101;
        for (most, told) in [(1000, 1001..=1 + TURN as u64), (all, all..=all)] {
            walker.measure(vec![Task { most_names: Some(most), ..bomb.clone() }]);
            let used = measured.recv().await.unwrap().used;
            assert!(told.contains(&used.names), "{most}: {used:?}");
        }
    }

    #[tokio::test]
    async fn a_small_tree_does_not_wait_for_a_large_one() {
        let folder = tempfile::tempdir().unwrap();
        for (name, directories) in [("large", 300), ("small", 0)] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fill(&folder.path().join(name), directories);
        }
        fs::write(folder.path().join("small/file"), vec![1; 1 << 20]).unwrap();
        let (results, mut measured) = mpsc::channel(1);
        let walker = Walker::start(results).unwrap();
        walker.measure(vec![
            task(folder.path(), "large"),
            task(folder.path(), "none"),
            task(folder.path(), "small"),
        ]);
        let mut order = Vec::new();
        while order.len() < 3 {
            order.push(measured.recv().await.unwrap());
        }
        let names: Vec<_> = order.iter().map(|one| one.key.clone()).collect();
        assert_eq!(names.last(), Some(&task(folder.path(), "large").key), "{order:?}");
        let small = order.iter().find(|one| one.key == task(folder.path(), "small").key).unwrap();
        assert!((1 << 20..2 << 20).contains(&small.used.bytes), "{small:?}");
        assert_eq!((small.used.names, order[2].used.names), (1, 300 * 101));
        drop(walker);
        assert!(measured.recv().await.is_none(), "the thread lets go");
    }
}
