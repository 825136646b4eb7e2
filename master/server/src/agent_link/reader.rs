//! The master's end of a relay for files.

use std::time::Duration;

use chapada_wire::link::{FromRelay, RelayFailed, ToRelay, from_relay, relay_failed};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::relay::{Answer, RelayError};

/// Bytes an agent may send ahead of the reader.
const WINDOW: u64 = 256 * 1024;
/// How long a reader waits for the next piece of a file that is not followed.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Reads what the agent sends. Dropping it ends the relay.
pub(crate) struct RelayReader {
    messages: Streaming<FromRelay>,
    say: mpsc::Sender<Result<ToRelay, Status>>,
    unspent: u64,
}

impl RelayReader {
    pub(super) async fn begin(answer: Answer) -> Result<Self, RelayError> {
        let reader = Self { messages: answer.messages, say: answer.say, unspent: 0 };
        reader.grant(WINDOW).await?;
        Ok(reader)
    }

    /// The next message, `None` at the end. With `patient` it waits for as long as the file may still grow.
    pub(crate) async fn next(&mut self, patient: bool) -> Result<Option<from_relay::Message>, RelayError> {
        let message = if patient {
            self.messages.message().await
        } else {
            tokio::time::timeout(READ_LIMIT, self.messages.message())
                .await
                .map_err(|_| RelayError::NoAnswer)?
        };
        match message.map_err(|_| RelayError::NoAnswer)?.and_then(|message| message.message) {
            None | Some(from_relay::Message::Done(_)) => Ok(None),
            Some(from_relay::Message::Failed(RelayFailed { kind, message })) => {
                let kind = relay_failed::Kind::try_from(kind).unwrap_or(relay_failed::Kind::Unknown);
                Err(RelayError::Failed { kind, message })
            }
            Some(from_relay::Message::Chunk(chunk)) => {
                self.spend(chunk.data.len() as u64).await?;
                Ok(Some(from_relay::Message::Chunk(chunk)))
            }
            Some(other) => Ok(Some(other)),
        }
    }

    async fn spend(&mut self, bytes: u64) -> Result<(), RelayError> {
        self.unspent += bytes;
        if self.unspent >= WINDOW / 2 {
            self.grant(self.unspent).await?;
            self.unspent = 0;
        }
        Ok(())
    }

    async fn grant(&self, credit: u64) -> Result<(), RelayError> {
        self.say.send(Ok(ToRelay { credit, ..ToRelay::default() })).await.map_err(|_| RelayError::NoAnswer)
    }
}
