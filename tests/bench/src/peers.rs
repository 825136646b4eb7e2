//! S6: what a peer costs a real master that has shown no credentials: the memory of a connection that sends nothing, half a head or
//! the beginning of a body, and the processor time of an attempt that is turned away.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use chapada_harness::Cluster;

use crate::figure::Figure;

/// Nearly as much of a head as is taken.
const HALF_HEAD: usize = 31 * 1024;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (connections, attempts, suffix) = if quick { (300, 500, "_quick") } else { (2_000, 5_000, "") };
    let head = |bytes: usize| {
        let filler = "x".repeat(bytes);
        format!("POST /api/v1/scheduler HTTP/1.1\r\nhost: 127.0.0.1\r\nfiller: {filler}").into_bytes()
    };
    let announced = "\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\n\r\n{";
    let kinds = [
        ("silent", Vec::new()),
        ("half_head", head(16)),
        ("large_half_head", head(HALF_HEAD)),
        ("half_body", [head(16), announced.as_bytes().to_vec()].concat()),
    ];
    let mut figures = Vec::new();
    for (name, sent) in kinds {
        let shape = format!("{connections} connections at once that each sent {} bytes", sent.len());
        let cost = Master::start(connections)?.hold(connections, &sent)?;
        figures.push(Figure::new(&format!("S6.memory_{name}{suffix}"), cost, "KiB", &shape));
    }
    let shape = format!("{attempts} connections with one request that is refused (403), one at a time");
    let cost = Master::start(connections)?.turned_away(attempts)?;
    figures.push(Figure::new(&format!("S6.cpu_attempt{suffix}"), cost, "ms", &shape));
    Ok(figures)
}

struct Master {
    address: String,
    pid: i32,
    _cluster: Cluster,
}

impl Master {
    /// A new one for each figure, for what one keeps of freed memory hides the next. It has had connections before, so what
    /// the first of them make it keep is no cost of the next.
    fn start(connections: usize) -> Result<Self> {
        let cluster = Cluster::builder().agents(0).start();
        let (address, pid) = (cluster.master_host_port(0).to_owned(), cluster.masters[0].pid().as_raw());
        let master = Self { address, pid, _cluster: cluster };
        (0..connections / 4).try_for_each(|_| master.health())?;
        Ok(master)
    }

    /// KiB of resident memory that each of so many connections costs which have sent this and wait.
    fn hold(&self, connections: usize, sent: &[u8]) -> Result<f64> {
        let before = self.resident_kib()?;
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut connection =
                TcpStream::connect(&self.address).context("the master takes a connection")?;
            connection.write_all(sent).context("the master takes what is sent")?;
            open.push(connection);
        }
        // It answers one that came after all of them, so it has taken what they sent.
        self.health()?;
        let cost = self.resident_kib()?.saturating_sub(before) as f64 / connections as f64;
        for connection in &open {
            connection.set_nonblocking(true)?;
            let peeked = connection.peek(&mut [0]);
            ensure!(
                peeked.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
                "one was cut off or answered"
            );
        }
        Ok(cost)
    }

    /// Milliseconds of processor time that each attempt costs.
    fn turned_away(&self, attempts: usize) -> Result<f64> {
        let before = self.cpu_ms()?;
        for _ in 0..attempts {
            let answer =
                self.ask("GET /state HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")?;
            ensure!(answer.starts_with("HTTP/1.1 403 "), "it is refused: {answer}");
        }
        Ok((self.cpu_ms()? - before) / attempts as f64)
    }

    fn health(&self) -> Result<()> {
        let answer = self.ask("GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        Ok(())
    }

    fn ask(&self, request: &str) -> Result<String> {
        let mut connection = TcpStream::connect(&self.address)?;
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// User and system time, to the nanosecond.
    fn cpu_ms(&self) -> Result<f64> {
        let mut nanoseconds = 0_u64;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let stat = fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += stat.split(' ').next().context("no time")?.parse::<u64>()?;
        }
        Ok(nanoseconds as f64 / 1e6)
    }
}
