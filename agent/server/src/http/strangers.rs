//! Who may call an executor's route without TLS where TLS is spoken: executors, which have no certificate, and nobody else. They are
//! of this machine, or have a network of their own and show a token.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chapada_isolation::addresses::{canonical, is_assigned};
use chapada_listener::{Call as HttpCall, HttpResponse, Peer, text};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::executor::token;
use super::operator::Refusal;
use crate::executors::Tokens;

/// Look-ups at once: anybody may cause them, and each may read the tokens of all executors.
const LOOKS: usize = 4;
/// How long a caller waits for a turn among them: each takes milliseconds.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// After how many seconds one that got none may come again.
const AGAIN_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Refuses strangers.
pub(super) struct Strangers {
    tokens: Tokens,
    turns: Arc<Semaphore>,
}

impl Strangers {
    pub(super) fn new(tokens: Tokens) -> Self {
        Self { tokens, turns: Arc::new(Semaphore::new(LOOKS)) }
    }

    /// Refuses who is neither certainly of this machine nor shows a token. Whether it is that of the executor they speak for is
    /// looked at later; here, before anything more is read, whether it is anyone's.
    ///
    /// # Errors
    /// The answer.
    pub(super) async fn refuse(&self, call: &HttpCall) -> Result<(), Refusal> {
        if is_here(&call.peer) {
            return Ok(());
        }
        let turn = timeout(TURN_WITHIN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Box::new(busy())) };
        let (tokens, shown, remote) = (self.tokens.clone(), token(call), call.peer.remote);
        let looked = spawn_blocking(move || {
            let is_known = is_known(is_assigned(remote), &tokens, shown.as_deref());
            // Not before: the caller may be gone already.
            drop(turn);
            is_known
        });
        match looked.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Box::new(stranger())),
            Err(error) => {
                tracing::error!(%error, "cannot tell who calls");
                Err(Box::new(stranger()))
            }
        }
    }
}

/// Whether both ends say already that it comes from this machine: nobody else holds a connection from an address of loopback, or from
/// the one that they call.
fn is_here(peer: &Peer) -> bool {
    let (remote, local) = (canonical(peer.remote), canonical(peer.local));
    remote.ip().is_loopback() || remote.ip() == local.ip()
}

/// Whether they call from an address of this machine, as far as that can be told, or show an executor's token. Blocks.
fn is_known(is_assigned: io::Result<bool>, tokens: &Tokens, shown: Option<&str>) -> bool {
    let shows_token = || shown.is_some_and(|shown| tokens.knows(shown));
    match is_assigned {
        Ok(is_assigned) => is_assigned || shows_token(),
        Err(error) => {
            let shows_token = shows_token();
            if !shows_token {
                tracing::error!(%error, "cannot tell who calls: the addresses of this machine cannot be read");
            }
            shows_token
        }
    }
}

fn stranger() -> HttpResponse {
    let message = "this port speaks TLS: only executors of this machine may call it without";
    text(StatusCode::FORBIDDEN, message)
}

fn busy() -> HttpResponse {
    let message = "too many callers without TLS at once; try again later";
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, message);
    response.headers_mut().insert(RETRY_AFTER, AGAIN_AFTER);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_of_this_machine_is_taken_for_one() {
        let peer = |remote: &str, local: &str| Peer {
            remote: remote.parse().unwrap(),
            local: local.parse().unwrap(),
            is_brought: false,
        };
        for (remote, local) in [
            ("127.0.0.1:9", "127.0.0.1:5051"),
            ("127.0.0.9:9", "192.0.2.1:5051"),
            ("192.0.2.1:9", "192.0.2.1:5051"),
            ("[::ffff:192.0.2.1]:9", "192.0.2.1:5051"),
            ("[2001:db8::1]:9", "[2001:db8::1]:5051"),
        ] {
            assert!(is_here(&peer(remote, local)), "{remote}");
        }
        assert!(!is_here(&peer("198.51.100.7:9", "192.0.2.1:5051")));
        assert!(!is_here(&peer("198.51.100.7:9", "127.0.0.1:5051")), "a port may be forwarded to loopback");
    }

    #[test]
    fn a_right_token_suffices_whatever_is_known_of_the_address_and_a_wrong_one_never_does() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(directory.path().join("tokens"), false);
        let token = tokens.issue(&"one".parse().unwrap()).unwrap();
        let unknown = || Err(io::Error::other("no addresses"));
        assert!(is_known(Ok(true), &tokens, None));
        assert!(is_known(Ok(false), &tokens, Some(&token)) && is_known(unknown(), &tokens, Some(&token)));
        let wrong = token.replace(|_| true, "0");
        for shown in [None, Some(""), Some("x"), Some(&token[1..]), Some(wrong.as_str())] {
            assert!(!is_known(Ok(false), &tokens, shown), "{shown:?}");
            assert!(!is_known(unknown(), &tokens, shown), "{shown:?}");
        }
    }
}
