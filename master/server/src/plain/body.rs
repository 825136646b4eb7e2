//! Bodies that are written while they are sent: a state of half a million tasks is never held as text.

use std::io;

use bytes::Bytes;
use chapada_listener::{HttpResponse, bytes, stream, text};
use futures_util::StreamExt;
use http::StatusCode;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

/// Up to here a body is sent in one piece with its length, which some clients want; beyond, it is streamed.
const WHOLE_LIMIT: usize = 1024 * 1024;
/// Pieces of a streamed body.
const CHUNK: usize = 64 * 1024;
/// Pieces that may wait for a slow reader; then writing waits.
const CHUNK_QUEUE: usize = 4;

enum Start {
    Whole(Vec<u8>),
    Streaming(mpsc::Receiver<Bytes>),
    Failed(String),
}

/// Answers with `value` as JSON.
pub(crate) async fn stream_json<T: Serialize + Send + 'static>(value: T) -> HttpResponse {
    let (sender, start) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer { buffer: Vec::new(), start: Some(sender), chunks: None };
        let written = serde_json::to_writer(&mut writer, &value);
        writer.finish(written);
    });
    match start.await {
        Ok(Start::Whole(body)) => bytes(StatusCode::OK, "application/json", body),
        Ok(Start::Streaming(chunks)) => {
            let chunks = ReceiverStream::new(chunks).map(Ok::<_, io::Error>);
            stream(StatusCode::OK, "application/json", chunks)
        }
        Ok(Start::Failed(why)) => text(StatusCode::INTERNAL_SERVER_ERROR, why),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written"),
    }
}

struct Writer {
    buffer: Vec<u8>,
    start: Option<oneshot::Sender<Start>>,
    chunks: Option<mpsc::Sender<Bytes>>,
}

impl Writer {
    fn finish(mut self, written: serde_json::Result<()>) {
        match (self.start.take(), written) {
            // A reader that has left needs nothing more.
            (Some(start), Ok(())) => drop(start.send(Start::Whole(std::mem::take(&mut self.buffer)))),
            (Some(start), Err(error)) => drop(start.send(Start::Failed(error.to_string()))),
            (None, Ok(())) => drop(io::Write::flush(&mut self)),
            (None, Err(error)) => tracing::debug!(%error, "a reader left in the middle of an answer"),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the reader has left");
        if let Some(start) = self.start.take() {
            let (sender, chunks) = mpsc::channel(CHUNK_QUEUE);
            self.chunks = Some(sender);
            start.send(Start::Streaming(chunks)).map_err(|_| gone())?;
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        match &self.chunks {
            Some(chunks) if !chunk.is_empty() => chunks.blocking_send(chunk.into()).map_err(|_| gone()),
            Some(_) | None => Ok(()),
        }
    }
}

impl io::Write for Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        let limit = if self.start.is_some() { WHOLE_LIMIT } else { CHUNK };
        if self.buffer.len() >= limit {
            self.send()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn small_answers_have_a_length_and_large_ones_are_streamed() {
        let small = stream_json(vec![1, 2, 3]).await;
        assert_eq!(small.into_body().collect().await.unwrap().to_bytes(), "[1,2,3]");
        let numbers: Vec<u32> = (0..1_000_000).collect();
        let large = stream_json(numbers.clone()).await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Vec<u32>>(&large).unwrap(), numbers);
    }
}
