//! Answers of registries: no more than there may be, no slower than can be borne, and from where a broken one ended.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderName, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::RegistryError;
use super::request::{host_of, unreachable};
use crate::digest::Sum;
use crate::manifest::Descriptor;

/// Bytes that are written and summed at once, away from the threads that others wait for.
const BATCH: usize = 1 << 20;
/// What a transfer must bring within the time of a stall. Less is a registry that holds us rather than serves us.
const LEAST: u64 = 32 << 10;

/// Holds a transfer to its least speed.
struct Pace {
    stall: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(stall: Duration) -> Self {
        Self { stall, since: Instant::now(), bytes: 0 }
    }

    /// Whether it gets on.
    fn bears(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        if self.since.elapsed() < self.stall {
            return true;
        }
        let enough = self.bytes >= LEAST;
        (self.since, self.bytes) = (Instant::now(), 0);
        enough
    }
}

/// Reads a small answer.
pub(super) async fn document(
    mut response: Response,
    limit: u64,
    stall: Duration,
) -> Result<Bytes, RegistryError> {
    let url = response.url().clone();
    let mut body = Vec::new();
    let mut pace = Pace::new(stall);
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&url, error))? {
        if body.len() as u64 + piece.len() as u64 > limit {
            return Err(RegistryError::TooLarge { limit });
        }
        if !pace.bears(piece.len()) {
            return Err(RegistryError::Stalled { host: host_of(&url) });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

/// A blob that has arrived in part.
pub(super) struct Part {
    descriptor: Descriptor,
    length: u64,
    /// Away while it is written to.
    state: Option<State>,
}

struct State {
    file: std::fs::File,
    sum: Sum,
    batch: Vec<u8>,
}

impl State {
    fn write(mut self) -> Result<Self, RegistryError> {
        self.sum.update(&self.batch);
        self.file.write_all(&self.batch).map_err(RegistryError::Disk)?;
        self.batch.clear();
        Ok(self)
    }
}

impl Part {
    pub(super) async fn create(path: &Path, descriptor: &Descriptor) -> Result<Self, RegistryError> {
        let path = path.to_owned();
        let file = spawn_blocking(move || std::fs::File::create_new(path)).await;
        let file = file.map_err(|_| RegistryError::Stopped)?.map_err(RegistryError::Disk)?;
        let state = State { file, sum: descriptor.digest.summing(), batch: Vec::with_capacity(BATCH) };
        Ok(Self { descriptor: descriptor.clone(), length: 0, state: Some(state) })
    }

    /// Bytes that are here.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What to ask for when some of it is here.
    pub(super) fn range(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_str(&format!("bytes={}-", self.length)).ok()?;
        (self.length > 0).then_some((RANGE, value))
    }

    /// Takes what an answer brings, from where the last one ended if the registry can do that.
    pub(super) async fn take(
        &mut self,
        mut response: Response,
        stall: Duration,
    ) -> Result<(), RegistryError> {
        let url = response.url().clone();
        let mut to_skip = self.overlap(&response)?;
        let mut pace = Pace::new(stall);
        while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&url, error))? {
            if !pace.bears(piece.len()) {
                return Err(RegistryError::Stalled { host: host_of(&url) });
            }
            let skipped = usize::try_from(to_skip).unwrap_or(usize::MAX).min(piece.len());
            to_skip -= skipped as u64;
            self.add(&piece[skipped..]).await?;
        }
        if self.length < self.descriptor.size {
            return Err(RegistryError::Short { host: host_of(&url) });
        }
        Ok(())
    }

    /// Bytes at the beginning of the answer that are here already: all, where the registry begins afresh.
    fn overlap(&self, response: &Response) -> Result<u64, RegistryError> {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(self.length);
        }
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let start =
            range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
        match start {
            Some(start) if start <= self.length => Ok(self.length - start),
            Some(_) | None => {
                let host = host_of(response.url());
                Err(RegistryError::Misspoken { host, reason: "it sends another part than was asked for" })
            }
        }
    }

    async fn add(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        self.length += bytes.len() as u64;
        if self.length > self.descriptor.size {
            return Err(RegistryError::TooLarge { limit: self.descriptor.size });
        }
        let state = self.state.as_mut().ok_or(RegistryError::Stopped)?;
        state.batch.extend_from_slice(bytes);
        if state.batch.len() < BATCH { Ok(()) } else { self.write().await }
    }

    async fn write(&mut self) -> Result<(), RegistryError> {
        let state = self.state.take().ok_or(RegistryError::Stopped)?;
        let written = spawn_blocking(move || state.write()).await;
        self.state = Some(written.map_err(|_| RegistryError::Stopped)??);
        Ok(())
    }

    /// Whether all of it came, and nothing else.
    pub(super) async fn finish(mut self) -> Result<(), RegistryError> {
        self.write().await?;
        let found = self.state.take().ok_or(RegistryError::Stopped)?.sum.finish();
        if found == self.descriptor.digest {
            return Ok(());
        }
        Err(RegistryError::WrongDigest { expected: self.descriptor.digest, found })
    }
}
