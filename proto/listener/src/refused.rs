//! Of which refused handshakes the log tells: anybody may cause them, as many as they like, and nobody is to fill it with them.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chapada_tls::HandshakeError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::shares::Party;

/// How long nothing more is told of one of whom something was.
const QUIET: Duration = Duration::from_secs(60);
/// Of how many something is told within that time.
const MOST: usize = 256;

/// Those of whom something was told lately, and those of whom only their number will be.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    told: Mutex<HashMap<Party, Instant>>,
    unplaced: AtomicU64,
    slow: AtomicU64,
}

/// How many handshakes were given up because of time.
#[derive(Debug, PartialEq, Eq)]
struct Late {
    /// They found no place.
    unplaced: u64,
    /// They took too long.
    slow: u64,
}

impl Refused {
    /// Whether it is to be told: what TLS itself has against the other side, such as its certificate. That a connection broke or
    /// was closed (a scan, a hang-up) is not, and of those that were late only the number is, by [`Refused::tell_of_the_late`].
    pub(crate) fn is_news(&self, party: &Party, error: &HandshakeError) -> bool {
        let late = match error {
            HandshakeError::Failed(error) => {
                return error.kind() == io::ErrorKind::InvalidData && self.note(party);
            }
            HandshakeError::Busy => &self.unplaced,
            HandshakeError::Slow(_) => &self.slow,
        };
        late.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Tells once a minute how many handshakes were late, when there were any, and once more in the end.
    pub(crate) async fn tell_of_the_late(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(sleep(QUIET)).await.is_some() {
            self.warn_of_the_late();
        }
        self.warn_of_the_late();
    }

    fn warn_of_the_late(&self) {
        if let Some(Late { unplaced, slow }) = self.late() {
            tracing::warn!(
                unplaced,
                slow,
                "refused callers, within a minute, whose TLS handshakes found no place or took too long"
            );
        }
    }

    /// Those since the last call of this.
    fn late(&self) -> Option<Late> {
        let [unplaced, slow] = [&self.unplaced, &self.slow].map(|late| late.swap(0, Ordering::Relaxed));
        (unplaced + slow > 0).then_some(Late { unplaced, slow })
    }

    fn note(&self, party: &Party) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(party).is_some_and(|at| now < *at + QUIET) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, at| now < *at + QUIET);
        }
        if told.len() >= MOST {
            return false;
        }
        told.insert(party.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn party(last: u16) -> Party {
        let [high, low] = last.to_be_bytes();
        Party::at(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)))
    }

    fn failed(kind: io::ErrorKind) -> HandshakeError {
        HandshakeError::Failed(kind.into())
    }

    #[tokio::test(start_paused = true)]
    async fn one_refusal_of_each_is_told_in_a_minute_and_not_of_everybody() {
        let refused = Refused::default();
        let wrong = failed(io::ErrorKind::InvalidData);
        assert!(refused.is_news(&party(0), &wrong) && !refused.is_news(&party(0), &wrong));
        let most = u16::try_from(MOST).expect("a few");
        let told = (1..most + 10).filter(|last| refused.is_news(&party(*last), &wrong)).count();
        assert_eq!(told, MOST - 1);
        tokio::time::advance(QUIET).await;
        assert!(refused.is_news(&party(0), &wrong) && refused.is_news(&party(most), &wrong));
    }

    #[test]
    fn broken_connections_are_not_told_and_those_that_are_late_are_counted() {
        let refused = Refused::default();
        for kind in [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionAborted,
        ] {
            assert!(!refused.is_news(&party(0), &failed(kind)), "{kind}");
        }
        assert_eq!(refused.late(), None);
        let slow = HandshakeError::Slow(Duration::from_secs(3));
        for error in [&HandshakeError::Busy, &slow, &slow] {
            assert!(!refused.is_news(&party(0), error));
        }
        assert_eq!(refused.late(), Some(Late { unplaced: 1, slow: 2 }));
        assert_eq!(refused.late(), None, "they were told");
    }
}
