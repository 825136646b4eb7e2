//! Clients that poll.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

/// One GET; the pieces of the body as they come. Gives the bytes that came, head included.
pub(super) fn get(at: &str, path: &str, mut piece: impl FnMut(&[u8])) -> Result<usize> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())?;
    let (mut buffer, mut count) = (vec![0; 256 * 1024], 0);
    let mut head = Vec::new();
    let mut in_body = false;
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        count += read;
        if in_body {
            piece(&buffer[..read]);
            continue;
        }
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            in_body = true;
            ensure!(
                head.starts_with(b"HTTP/1.0 200") || head.starts_with(b"HTTP/1.1 200"),
                "GET {path} is refused"
            );
            piece(&head[end + 4..]);
        }
    }
    ensure!(in_body, "GET {path}: the connection closed after {count} bytes");
    Ok(count)
}

/// Clients that read `/state` one time after the other.
pub(super) struct Pollers {
    stop: Arc<AtomicBool>,
    read: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Pollers {
    pub(super) fn start(at: &str, clients: usize) -> Self {
        let (stop, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let poll = || {
            let (at, stop, read) = (at.to_owned(), stop.clone(), read.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    get(&at, "/state", |_| ())?;
                    read.fetch_add(1, Ordering::AcqRel);
                }
                Ok(())
            })
        };
        Self { threads: (0..clients).map(|_| poll()).collect(), stop, read }
    }

    /// How many states were read in full so far; ends them.
    pub(super) fn finish(self) -> Result<usize> {
        let read = self.read.load(Ordering::Acquire);
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a client panicked"))?.context("a client that polls")?;
        }
        Ok(read)
    }
}
