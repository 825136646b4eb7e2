//! Those who follow `/v2/events`: how late they hear what happens, and what one costs that does not read.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_harness::Http;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::crowd::Crowd;
use super::peer;
use super::wait::{wait, when};
use crate::figure::{Figure, percentile};
use crate::loopback::runtime;
use crate::loopback::usage::{processor_time, resident_mib};

const TASKS: usize = 100;
/// What stands before the number of an event in its message.
const MARK: &[u8] = b"\"news-";
/// Updates of tasks between two looks at whether they were cut.
const SAID_AT_ONCE: usize = 500;
/// The end of a chunked answer.
const END: &[u8] = b"\r\n0\r\n\r\n";
/// Subscribers that do not read.
const STALLED: usize = 20;

pub(crate) fn many_subscribers(quick: bool) -> Result<Vec<Figure>> {
    if quick { fan_out(200, 50, 3, "_quick") } else { fan_out(1_000, 100, 10, "") }
}

pub(crate) fn many_events(quick: bool) -> Result<Vec<Figure>> {
    if quick { fan_out(50, 200, 3, "_quick") } else { fan_out(100, 500, 10, "") }
}

/// When each was said, in nanoseconds since the beginning.
struct Moments {
    begun: Instant,
    said: Vec<AtomicU64>,
}

impl Moments {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn fan_out(subscribers: usize, rate: usize, seconds: usize, suffix: &str) -> Result<Vec<Figure>> {
    let cluster = peer::cluster(1);
    let crowd = Crowd::start(&cluster, 1, TASKS)?;
    let http = cluster.services_http();
    peer::timed(&http, "POST", "/v2/apps", Some(&peer::app("/talking", TASKS)))?;
    crowd.wait_for(TASKS)?;
    peer::wait_until_deployed(&http)?;
    let count = rate * seconds;
    let said = (0..count).map(|_| AtomicU64::new(0)).collect();
    let moments = Arc::new(Moments { begun: Instant::now(), said });
    let (at, ready) = (cluster.services_host_port().to_owned(), Arc::new(AtomicUsize::new(0)));
    let (listening, their_moments) = (ready.clone(), moments.clone());
    let readers = std::thread::spawn(move || read_all(&at, subscribers, &their_moments, &listening));
    wait(|| {
        let listening = ready.load(Ordering::Acquire);
        ensure!(!readers.is_finished(), "the readers have ended");
        Ok(when(listening == subscribers, || format!("{listening} subscribers")))
    })?;
    let pid = peer::pid(&cluster)?;
    let busy = processor_time(pid)?;
    let begun = Instant::now();
    for number in 0..count {
        let due = begun + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(rate)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        moments.said[number].store(moments.now(), Ordering::Release);
        crowd.say(format!("news-{number}."))?;
    }
    let took = begun.elapsed().as_secs_f64();
    let mut delays = readers.join().map_err(|_| anyhow::anyhow!("the readers panicked"))??;
    let busy = processor_time(pid)? - busy;
    let shape = format!(
        "{subscribers} subscribers of /v2/events, {rate} updates of tasks a second for {seconds} s from one simulated agent, two \
         events each; from its saying so to a subscriber having the event, the master and a durable record between"
    );
    let name = |kind: &str| format!("services.events_{kind}_{subscribers}x{rate}{suffix}");
    let mut figures = vec![
        Figure::new(&name("delay_p50"), percentile(&mut delays, 0.5), "ms", &shape),
        Figure::new(&name("delay_p99"), percentile(&mut delays, 0.99), "ms", &shape),
        Figure::new(&name("cpu"), busy / took * 100.0, "% of a core", &shape),
    ];
    figures.push(stalled(&cluster, &crowd, &name("stalled"))?);
    drop(cluster);
    crowd.finish()?;
    Ok(figures)
}

/// Milliseconds by which each subscriber heard each event late.
fn read_all(
    at: &str,
    subscribers: usize,
    moments: &Arc<Moments>,
    ready: &Arc<AtomicUsize>,
) -> Result<Vec<f64>> {
    runtime()?.block_on(async {
        let mut readers = JoinSet::new();
        for _ in 0..subscribers {
            let mut stream = tokio::net::TcpStream::connect(at).await?;
            stream.write_all(request(at).as_bytes()).await?;
            let (moments, ready) = (moments.clone(), ready.clone());
            readers.spawn(async move { read(stream, &moments, &ready).await });
        }
        let mut delays = Vec::new();
        while let Some(done) = readers.join_next().await {
            delays.extend(done.context("a reader panicked")??);
        }
        Ok(delays)
    })
}

fn request(at: &str) -> String {
    format!(
        "GET /v2/events?event_type=status_update_event&event_type=event_stream_attached HTTP/1.1\r\nHost: {at}\r\nAccept: text/event-stream\r\n\r\n"
    )
}

async fn read(mut stream: tokio::net::TcpStream, moments: &Moments, ready: &AtomicUsize) -> Result<Vec<f64>> {
    let (mut pending, mut buffer, mut delays) = (Vec::new(), vec![0; 1 << 14], Vec::new());
    while delays.len() < moments.said.len() {
        let count = stream.read(&mut buffer).await?;
        let now = moments.now();
        ensure!(count > 0, "a subscriber was cut after {} events", delays.len());
        if pending.is_empty() && delays.is_empty() {
            ensure!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..count]));
            ready.fetch_add(1, Ordering::AcqRel);
        }
        pending.extend_from_slice(&buffer[..count]);
        let mut from = 0;
        while let Some((number, end)) = next(&pending[from..])? {
            from += end;
            let said = moments.said[number].load(Ordering::Acquire);
            delays.push(now.saturating_sub(said) as f64 / 1e6);
        }
        // What may be the beginning of a number stays.
        let keep = pending.len().saturating_sub(64).max(from);
        pending.drain(..keep);
        pending.reserve(1);
        if pending.is_empty() {
            pending.push(b' ');
        }
    }
    Ok(delays)
}

/// The next number in the bytes, and where it ends.
fn next(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(at) = bytes.windows(MARK.len()).position(|window| window == MARK) else { return Ok(None) };
    let digits = &bytes[at + MARK.len()..];
    let Some(length) = digits.iter().position(|byte| *byte == b'.') else { return Ok(None) };
    let number = std::str::from_utf8(&digits[..length])?.parse()?;
    Ok(Some((number, at + MARK.len() + length + 1)))
}

/// What each costs that subscribes and does not read, at most, until it is cut.
fn stalled(cluster: &chapada_harness::Cluster, crowd: &Crowd, name: &str) -> Result<Figure> {
    let at = cluster.services_host_port();
    let pid = peer::pid(cluster)?;
    let before = resident_mib(pid)?;
    let mut streams = Vec::new();
    for _ in 0..STALLED {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(request(at).as_bytes())?;
        stream.set_nonblocking(true)?;
        streams.push(stream);
    }
    let attached = |so: fn(u64) -> bool| {
        let now = subscribed(&cluster.services_http())?;
        Ok::<_, anyhow::Error>(when(so(now), || format!("{now} of {STALLED} are subscribed")))
    };
    wait(|| attached(|now| now == STALLED as u64))?;
    let (mut most, mut said) = (before, 0);
    // The kernel takes some hundred KiB to some MiB for each connection before anything waits here.
    wait(|| {
        for _ in 0..SAID_AT_ONCE {
            crowd.say(format!("more-{said} {}", "x".repeat(200)))?;
            said += 1;
        }
        most = most.max(resident_mib(pid)?);
        attached(|now| now == 0)
    })?;
    let mut cut = 0;
    for mut stream in streams {
        cut += usize::from(is_cut(&mut stream)?);
    }
    ensure!(cut == STALLED, "{cut} of {STALLED} were cut");
    let shape = format!("{STALLED} subscribers that do not read, {said} updates of tasks, until all are cut");
    Ok(Figure::new(name, (most - before) * 1024.0 / STALLED as f64, "KiB", &shape))
}

/// How many follow, as the services framework counts them.
fn subscribed(http: &Http) -> Result<u64> {
    let metrics = http.get("/metrics").map_err(anyhow::Error::msg)?;
    let gauge = &metrics["gauges"]["marathon.http.event-streams.active.gauge"]["value"];
    gauge.as_u64().with_context(|| format!("no number of subscribers in the metrics: {gauge}"))
}

/// What it had before it was cut still comes, then the end of the answer; the connection may serve another request.
fn is_cut(stream: &mut TcpStream) -> Result<bool> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut buffer, mut last) = (vec![0; 1 << 16], Vec::new());
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => {
                last.extend_from_slice(&buffer[..count]);
                if last.ends_with(END) {
                    return Ok(true);
                }
                last.drain(..last.len().saturating_sub(END.len()));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}
