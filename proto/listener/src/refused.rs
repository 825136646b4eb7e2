//! Of whose refusal the log tells: anybody may cause refusals, as many as they like, and nobody is to fill it with them.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chapada_tls::HandshakeError;
use tokio::time::Instant;

use crate::shares::Party;

/// How long nothing more is told of one of whom something was.
const QUIET: Duration = Duration::from_secs(60);
/// Of how many something is told within that time.
const MOST: usize = 256;

/// Those of whom something was told lately.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<HashMap<Party, Instant>>);

impl Refused {
    /// Whether it is to be told. What says nothing of certificates is not: a scan, a hang-up, somebody slow.
    pub(crate) fn is_news(&self, party: &Party, error: &HandshakeError) -> bool {
        match error {
            HandshakeError::Failed(error) if error.kind() != io::ErrorKind::UnexpectedEof => self.note(party),
            HandshakeError::Failed(_) | HandshakeError::Slow(_) | HandshakeError::Busy => false,
        }
    }

    fn note(&self, party: &Party) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    #[tokio::test(start_paused = true)]
    async fn one_refusal_of_each_is_told_in_a_minute_and_not_of_everybody() {
        let refused = Refused::default();
        let wrong = HandshakeError::Failed(io::Error::other("it has expired"));
        assert!(refused.is_news(&party(0), &wrong) && !refused.is_news(&party(0), &wrong));
        let most = u16::try_from(MOST).expect("a few");
        let told = (1..most + 10).filter(|last| refused.is_news(&party(*last), &wrong)).count();
        assert_eq!(told, MOST - 1);
        tokio::time::advance(QUIET).await;
        assert!(refused.is_news(&party(0), &wrong) && refused.is_news(&party(most), &wrong));
        let left = HandshakeError::Failed(io::ErrorKind::UnexpectedEof.into());
        assert!(!refused.is_news(&party(1), &left) && !refused.is_news(&party(2), &HandshakeError::Busy));
    }
}
