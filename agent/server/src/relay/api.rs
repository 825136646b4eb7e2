//! A connection to the agent's HTTP API that comes through the master: the same routes and checks as at the agent's port.

use chapada_listener::{Entrance, Peer, Piece, tunnel};
use chapada_wire::link::{self, from_relay};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::{AHEAD, dial_back, message};
use crate::link::Way;

/// Serves one connection to its end. What was begun on it ends with it, as with a connection to the port.
pub(super) async fn serve(
    token: String,
    leader: &Way,
    peer: Peer,
    entrance: &Entrance,
) -> Result<(), String> {
    let (outgoing, sent) = mpsc::channel(AHEAD);
    let says = ReceiverStream::new(sent).map(|piece: Piece| {
        message(from_relay::Message::Piece(link::Piece { data: piece.data.into(), credit: piece.credit }))
    });
    let said = dial_back(leader, token, says).await?;
    let said = said.map(|said| said.map(|said| Piece { data: said.data.into(), credit: said.credit }));
    let (end, carrying) = tunnel(said, outgoing);
    if !entrance.bring(end, peer).await {
        return Err("the agent is stopping".to_owned());
    }
    carrying.await.map_err(|error| error.to_string())
}
