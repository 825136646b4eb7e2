//! Readers that stop reading: what they cost, and that nobody else notices.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chapada_harness::Cluster;

use super::super::fleet::{Agent, Connections};
use super::super::usage::{queued_mib, resident_mib};
use super::super::{WITHIN, master, runtime, wait_for_metric};
use super::readers::{Moments, Readers, request};
use super::{agent, happen};
use crate::figure::Figure;

const UPDATES: &str = "master/valid_status_updates";
const SUBSCRIBERS: &str = "master/operator_event_stream_subscribers";
/// Events that fill what the master keeps, whoever reads.
const FILLING: usize = 120_000;
/// Events between two looks.
const STEP: usize = 500;
/// Events after which every one that does not read must have been cut.
const MOST: usize = 200_000;

pub(super) fn run(count: usize, suffix: &str) -> Result<Vec<Figure>> {
    let cluster = master();
    let runtime = runtime()?;
    let mut connections = Connections::to(cluster.master_host_port(0));
    let agent = runtime.block_on(agent(&mut connections))?;
    wait_for_metric(&cluster, "master/slaves_active", 1.0)?;
    // One in each form, so that both are kept written.
    let moments = Arc::new(Moments::new(FILLING + MOST));
    let readers = Readers::start(cluster.master_host_port(0).to_owned(), 2, moments.clone())?;
    readers.wait_until_begun(WITHIN)?;
    let mut source = Source { agent, moments: &moments, number: 0 };
    while source.number < FILLING {
        runtime.block_on(source.happen())?;
        if source.number.is_multiple_of(FILLING / 4) {
            // Everything is written in both forms before it is forgotten.
            wait_for_metric(&cluster, UPDATES, source.number as f64)?;
            readers.wait_until_heard(source.number, WITHIN)?;
        }
    }
    let pid = cluster.masters[0].pid().as_raw();
    let at: SocketAddr = cluster.master_host_port(0).parse()?;
    let idle = resident_mib(pid)?;
    let stalled: Vec<TcpStream> = (0..count).map(|number| stall(at, number)).collect::<Result<_>>()?;
    let mut most = Most::default();
    // Some may be cut for those that came after them, so they are never counted all at once.
    let until = Instant::now() + WITHIN;
    while stalled.iter().any(|stream| !is_answered(stream)) {
        ensure!(Instant::now() < until, "some are not answered; at most {} were there", most.readers);
        most.look(&cluster, at, idle)?;
    }
    let began = source.number;
    while most.look(&cluster, at, idle)? > 0 {
        ensure!(source.number < FILLING + MOST, "some are not cut after {} events", source.number - began);
        runtime.block_on(source.happen())?;
    }
    let events = source.number - began;
    let until = Instant::now() + WITHIN;
    while source.number < FILLING + MOST {
        ensure!(Instant::now() < until, "the events take too long");
        runtime.block_on(source.happen())?;
    }
    let (_, heard) = readers.finish(WITHIN)?;
    ensure!(heard == [FILLING + MOST; 2], "those who read missed something: {heard:?}");
    drop(stalled);
    let shape = format!(
        "{count} readers that never read, half in JSON, half in protobuf, until all are cut after {events} events, beside two \
         that read; above the master's memory with its ring full"
    );
    let name = |kind: &str| format!("P11.{kind}_{count}{suffix}");
    let at_once = format!("{shape}; when most of them, {}, were there at once", most.readers);
    Ok(vec![
        Figure::new(&name("stalled_all"), most.all, "MiB", &shape),
        Figure::new(&name("stalled_each"), most.each, "KiB", &at_once),
        Figure::new(&name("stalled_at_once"), most.readers as f64, "readers", &at_once),
        Figure::new(
            &name("stalled_kernel"),
            most.kernel,
            "MiB",
            &format!("{shape}; waiting in the kernel, part of all"),
        ),
    ])
}

/// The most that was seen.
#[derive(Default)]
struct Most {
    /// Of memory, in MiB: the master's and the kernel's.
    all: f64,
    kernel: f64,
    /// Of readers that do not read at once, and what each took then, in KiB.
    readers: usize,
    each: f64,
}

impl Most {
    /// Looks; how many of those that do not read are there.
    fn look(&mut self, cluster: &Cluster, at: SocketAddr, idle: f64) -> Result<usize> {
        // Two read.
        let readers = subscribers(cluster)?.saturating_sub(2);
        let kernel = queued_mib(at)?;
        let all = (resident_mib(cluster.masters[0].pid().as_raw())? - idle).max(0.0) + kernel;
        self.kernel = self.kernel.max(kernel);
        self.all = self.all.max(all);
        let each = all * 1024.0 / readers.max(1) as f64;
        if readers > self.readers {
            (self.readers, self.each) = (readers, each);
        } else if readers == self.readers {
            self.each = self.each.max(each);
        }
        Ok(readers)
    }
}

struct Source<'a> {
    agent: Agent,
    moments: &'a Moments,
    number: usize,
}

impl Source<'_> {
    /// Some events as fast as can be, each noted.
    async fn happen(&mut self) -> Result<()> {
        for _ in 0..STEP {
            self.moments.sent[self.number].store(self.moments.now(), Ordering::Release);
            happen(&self.agent, self.number).await?;
            self.number += 1;
        }
        Ok(())
    }
}

fn stall(at: SocketAddr, number: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(&request(number.is_multiple_of(2)))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Whether an answer has come, or the connection was cut since.
fn is_answered(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn subscribers(cluster: &Cluster) -> Result<usize> {
    let metrics = cluster.master_http(0).get("/metrics/snapshot").map_err(anyhow::Error::msg)?;
    let count = metrics[SUBSCRIBERS].as_f64().context("the metric of subscribers")?;
    Ok(count as usize)
}
