//! What a program writes, for everybody who reads along. Who does not keep up is cut off; nobody is waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chapada_wire::v1::agent::process_io::data::Type;
use tokio::sync::mpsc;

/// Pieces that a reader may be behind: a megabyte, of which a program that writes as fast as it can is some milliseconds.
const BEHIND: usize = 64;
/// Readers of one output; each may hold [`BEHIND`] pieces.
const READERS: usize = 16;

/// Something that was written, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Type,
    pub(crate) data: Bytes,
}

/// One who reads along.
#[derive(Debug)]
pub(crate) struct Attached {
    /// What is written from now on; ends with the program, or earlier.
    pub(crate) pieces: mpsc::Receiver<Piece>,
    /// Whether it ended because this reader did not keep up.
    pub(crate) cut: Arc<AtomicBool>,
}

/// All who read along.
#[derive(Debug, Default)]
pub(crate) struct Fanout(Mutex<Readers>);

#[derive(Debug, Default)]
struct Readers {
    has_ended: bool,
    senders: Vec<(mpsc::Sender<Piece>, Arc<AtomicBool>)>,
}

/// Why somebody cannot read along.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAttached {
    #[error("it has ended")]
    Ended,
    #[error("{READERS} read its output already; end one of them")]
    TooMany,
}

impl Fanout {
    pub(crate) fn attach(&self) -> Result<Attached, NotAttached> {
        let mut readers = self.readers();
        readers.senders.retain(|(sender, _)| !sender.is_closed());
        if readers.has_ended {
            return Err(NotAttached::Ended);
        }
        if readers.senders.len() >= READERS {
            return Err(NotAttached::TooMany);
        }
        let (sender, pieces) = mpsc::channel(BEHIND);
        let cut = Arc::new(AtomicBool::new(false));
        readers.senders.push((sender, cut.clone()));
        Ok(Attached { pieces, cut })
    }

    /// Gives a piece to everybody who has room for it, and parts with the others.
    pub(crate) fn send(&self, piece: &Piece) {
        self.readers().senders.retain(|(sender, cut)| match sender.try_send(piece.clone()) {
            Ok(()) => true,
            Err(error) => {
                cut.store(matches!(error, mpsc::error::TrySendError::Full(_)), Ordering::Relaxed);
                false
            }
        });
    }

    /// Nothing more is written.
    pub(crate) fn end(&self) {
        let mut readers = self.readers();
        readers.has_ended = true;
        readers.senders.clear();
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str) -> Piece {
        Piece { kind: Type::Stdout, data: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[tokio::test]
    async fn who_is_slow_is_cut_off_and_holds_up_nobody() {
        let output = Fanout::default();
        let (mut slow, mut quick) = (output.attach().unwrap(), output.attach().unwrap());
        for _ in 0..2 * BEHIND {
            output.send(&piece("x"));
            assert_eq!(quick.pieces.recv().await, Some(piece("x")));
        }
        let mut heard = 0;
        while slow.pieces.recv().await.is_some() {
            heard += 1;
        }
        assert_eq!((heard, slow.cut.load(Ordering::Relaxed)), (BEHIND, true));
        output.end();
        assert_eq!(quick.pieces.recv().await, None);
        assert!(!quick.cut.load(Ordering::Relaxed));
        assert_eq!(output.attach().unwrap_err(), NotAttached::Ended);
    }

    #[test]
    fn there_is_an_end_of_readers_and_those_that_left_make_room() {
        let output = Fanout::default();
        let mut attached: Vec<_> = (0..READERS).map(|_| output.attach().unwrap()).collect();
        assert_eq!(output.attach().unwrap_err(), NotAttached::TooMany);
        attached.pop();
        assert!(output.attach().is_ok());
    }
}
