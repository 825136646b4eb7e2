//! Executors of frameworks' own: what they call, the streams they have, and the tokens by which they are known.

mod call;
mod event;
mod shell;
mod socket;
mod streams;
mod tokens;

pub(crate) use call::{Asked, Parsed, parse};
pub(crate) use event::{Speaker, heartbeat};
pub(crate) use socket::DomainSocket;
pub(crate) use streams::{Opened, Streams};
pub(crate) use tokens::Tokens;

use chapada_agent_core::ExecutorRefused;
use chapada_model::ExecutorKey;
use tokio::sync::oneshot;

/// A call of an executor on its way to the loop.
#[derive(Debug)]
pub(crate) struct ExecutorCall {
    pub(crate) executor: ExecutorKey,
    /// As it came with the call.
    pub(crate) token: Option<String>,
    pub(crate) asked: Asked,
    pub(crate) reply: oneshot::Sender<Result<Answer, NotTaken>>,
}

/// What is answered to a call that is taken.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Nothing more to say.
    Taken,
    /// Its stream.
    Subscribed(Opened),
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error(transparent)]
    Refused(#[from] ExecutorRefused),
    #[error(
        "the call carries no token, or not the one of this executor's MESOS_EXECUTOR_AUTHENTICATION_TOKEN"
    )]
    Unauthenticated,
}
