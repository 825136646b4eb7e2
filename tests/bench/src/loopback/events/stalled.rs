//! Readers that stop reading: what they cost, and that nobody else notices.

use std::io::Write;
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
    wait_for_metric(&cluster, SUBSCRIBERS, (count + 2) as f64)?;
    let (mut memory, mut kernel, began) = (0.0_f64, 0.0_f64, source.number);
    while subscribers(&cluster)? > 2.0 {
        ensure!(source.number < FILLING + MOST, "some are not cut after {} events", source.number - began);
        runtime.block_on(source.happen())?;
        memory = memory.max(resident_mib(pid)? - idle);
        kernel = kernel.max(queued_mib(at)?);
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
    let all = memory.max(0.0) + kernel;
    Ok(vec![
        Figure::new(&name("stalled_all"), all, "MiB", &shape),
        Figure::new(&name("stalled_each"), all * 1024.0 / count as f64, "KiB", &shape),
        Figure::new(
            &name("stalled_kernel"),
            kernel,
            "MiB",
            &format!("{shape}; waiting in the kernel, part of all"),
        ),
    ])
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
    Ok(stream)
}

fn subscribers(cluster: &Cluster) -> Result<f64> {
    let metrics = cluster.master_http(0).get("/metrics/snapshot").map_err(anyhow::Error::msg)?;
    metrics[SUBSCRIBERS].as_f64().context("the metric of subscribers")
}
