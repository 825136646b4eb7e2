//! Readers that keep up, all on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use chapada_wire::v1::master::Call;
use chapada_wire::v1::master::call::Type;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::super::records::Records;
use super::super::runtime;

/// When each event was sent, in nanoseconds since the beginning.
pub(super) struct Moments {
    began: Instant,
    pub(super) sent: Vec<AtomicU64>,
}

impl Moments {
    pub(super) fn new(count: usize) -> Self {
        Self { began: Instant::now(), sent: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// How often each delay was seen, in steps of 10 µs up to 10 s.
pub(super) struct Delays(Vec<u32>);

const STEP: u64 = 10_000;
const STEPS: usize = 1_000_000;

impl Delays {
    fn add(&mut self, nanos: u64) {
        let step = usize::try_from(nanos / STEP).unwrap_or(STEPS).min(STEPS - 1);
        self.0[step] += 1;
    }

    /// The delay, in milliseconds, that this part of them do not exceed.
    pub(super) fn percentile(&mut self, part: f64) -> f64 {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let wanted = (all as f64 * part).ceil() as u64;
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        found.map_or(f64::NAN, |step| ((step as u64 + 1) * STEP) as f64 / 1e6)
    }
}

/// Readers at work.
pub(super) struct Readers {
    count: usize,
    begun: Arc<AtomicUsize>,
    heard: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Delays, Vec<usize>)>>,
}

impl Readers {
    /// Half of them read JSON, half protobuf.
    pub(super) fn start(at: String, count: usize, moments: Arc<Moments>) -> Result<Self> {
        let (begun, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, all, stopped) = (begun.clone(), heard.clone(), stop.clone());
        let runtime = runtime()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let mut readers = JoinSet::new();
                for number in 0..count {
                    let mut stream = TcpStream::connect(&at).await?;
                    stream.write_all(&request(number.is_multiple_of(2))).await?;
                    readers.spawn(read(stream, moments.clone(), counter.clone(), all.clone()));
                }
                gather(readers, &stopped).await
            })
        });
        Ok(Self { count, begun, heard, stop, thread })
    }

    /// Waits until each has the state.
    pub(super) fn wait_until_begun(&self, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        while self.begun.load(Ordering::Acquire) < self.count {
            ensure!(Instant::now() < until && !self.thread.is_finished(), "not all readers have begun");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until all of them together have heard of so many events each.
    pub(super) fn wait_until_heard(&self, events: usize, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        while self.heard.load(Ordering::Acquire) < events * self.count {
            ensure!(Instant::now() < until && !self.thread.is_finished(), "the readers do not keep up");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until each has everything; their delays, and how many events each has heard.
    pub(super) fn finish(self, within: Duration) -> Result<(Delays, Vec<usize>)> {
        let until = Instant::now() + within;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the readers panicked"))?
    }
}

async fn gather(
    mut readers: JoinSet<Result<(Vec<u64>, usize)>>,
    stopped: &AtomicBool,
) -> Result<(Delays, Vec<usize>)> {
    let (mut delays, mut heard) = (Delays(vec![0; STEPS]), Vec::new());
    while !readers.is_empty() {
        ensure!(!stopped.load(Ordering::Acquire), "{} readers are not done in time", readers.len());
        let done = tokio::time::timeout(Duration::from_millis(100), readers.join_next()).await;
        let Ok(Some(done)) = done else { continue };
        let (times, events) = done.context("a reader panicked")??;
        times.into_iter().for_each(|nanos| delays.add(nanos));
        heard.push(events);
    }
    Ok((delays, heard))
}

async fn read(
    mut stream: TcpStream,
    moments: Arc<Moments>,
    begun: Arc<AtomicUsize>,
    heard: Arc<AtomicUsize>,
) -> Result<(Vec<u64>, usize)> {
    let (mut records, mut times, mut buffer) = (Records::new(), Vec::new(), vec![0; 16 * 1024]);
    let mut counted = false;
    while records.events < moments.sent.len() {
        let count = stream.read(&mut buffer).await?;
        ensure!(count > 0, "the stream ended after {} events", records.events);
        let before = records.events;
        records.take(&buffer[..count]);
        if records.begun && !std::mem::replace(&mut counted, true) {
            begun.fetch_add(1, Ordering::AcqRel);
        }
        let now = moments.now();
        // Their order is that of sending: they are of one agent.
        let sent = moments.sent.get(before..records.events).with_context(|| {
            format!("{} events, more than the {} that were sent", records.events, moments.sent.len())
        })?;
        heard.fetch_add(sent.len(), Ordering::AcqRel);
        times.extend(sent.iter().map(|sent| now.saturating_sub(sent.load(Ordering::Acquire))));
    }
    Ok((times, records.events))
}

/// SUBSCRIBE as an HTTP request, in JSON or protobuf.
pub(super) fn request(json: bool) -> Vec<u8> {
    let (media, body) = match json {
        true => ("application/json", br#"{"type":"SUBSCRIBE"}"#.to_vec()),
        false => {
            let call = Call { r#type: Some(Type::Subscribe.into()), ..Call::default() };
            ("application/x-protobuf", call.encode_to_vec())
        }
    };
    let head = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {media}\r\nAccept: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}
