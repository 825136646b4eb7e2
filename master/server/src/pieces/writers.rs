//! The threads that write large answers, apart from those that serve connections: fewer than processors and of low priority,
//! so that the books and small answers never wait for them.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// How much lower their priority is, as nice(2) counts.
const NICE: i32 = 10;

static WRITERS: LazyLock<mpsc::Sender<Job>> = LazyLock::new(start);

/// Does a job on a writing thread; the answer comes when it is its turn. Each reader has one job at most, so those that wait
/// are bounded by the connections, and every reader gets a piece in turn.
pub(crate) fn write<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (sender, done) = oneshot::channel();
    // A reader that has left needs nothing. Without a thread the sender is dropped, and the reader's answer ends.
    let job: Job = Box::new(move || drop(sender.send(job())));
    drop(WRITERS.send(job));
    done
}

fn start() -> mpsc::Sender<Job> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..processors.div_ceil(2) {
        let jobs = jobs.clone();
        let started = std::thread::Builder::new().name("answers".to_owned()).spawn(move || work(&jobs));
        if let Err(error) = started {
            tracing::error!(%error, "failed to start a thread that writes answers");
        }
    }
    sender
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    let own = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(own), NICE) {
        tracing::debug!(%error, "failed to lower the priority of a thread that writes answers");
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // One that panics loses its own answer, not the thread.
            Ok(job) => drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job))),
            Err(mpsc::RecvError) => return,
        }
    }
}
