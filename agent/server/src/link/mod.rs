//! The link to the leading master: detected, dialled, kept alive, dialled again.

mod inward;
mod outbox;
mod session;

pub(crate) use inward::{Inward, Terms, read};
pub(crate) use outbox::{Outbox, OutboxFull, update_message};
pub(crate) use session::{Dialler, Presentation, Way};

/// Version of the protocol in `link.proto` that this agent speaks.
pub(crate) const PROTOCOL_VERSION: u32 = 1;
