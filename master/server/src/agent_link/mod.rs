//! The master's end of the agent link: agents dial in, state what they hold, and are commanded over one stream.
//!
//! - `service`: the gRPC service and the handshake; `handshakes`: how many there are at once;
//! - `session`: one link from its welcome to its end;
//! - `inbound`, `outbound`: messages into events, commands into messages;
//! - `relay`: what agents do for others, each on a connection of its own: `reader` reads files, `pieces` carries a
//!   connection to the agent's API.

mod handshakes;
mod inbound;
mod outbound;
mod pieces;
mod reader;
mod relay;
mod service;
mod session;

pub(crate) use handshakes::Handshakes;
pub(crate) use inbound::{describe, event, hold};
pub(crate) use outbound::message;
pub(crate) use reader::RelayReader;
pub(crate) use relay::{RelayError, Relays};
pub(crate) use service::LinkService;
pub(crate) use session::Terms;

/// The version of the link's protocol. A newer one is refused by name.
pub(crate) const PROTOCOL_VERSION: u32 = 1;
/// The largest message that is read off the link: twice what agents may send, so that framing never matters.
pub(crate) const MAX_MESSAGE: usize = 512 * 1024;
