//! The master's end of a relay for a connection to the agent's API.

use chapada_listener::{Piece, Tunnel, TunnelError, tunnel};
use chapada_wire::link::{FromRelay, ToRelay, from_relay};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::Status;

use super::relay::Answer;

/// Pieces between the tunnel and what carries it: credit is what bounds them, this only decouples.
const AHEAD: usize = 1;

/// A connection to an agent that has dialled back, and what carries it.
pub(super) fn tunnel_to(answer: Answer) -> (Tunnel, impl Future<Output = Result<(), TunnelError>>) {
    let (outgoing, mut pieces) = mpsc::channel::<Piece>(AHEAD);
    let Answer { messages, say } = answer;
    let (end, carrying) = tunnel(messages.map(piece), outgoing);
    let forwarding = async move {
        while let Some(piece) = pieces.recv().await {
            let said = ToRelay { credit: piece.credit, data: piece.data.into() };
            if say.send(Ok(said)).await.is_err() {
                return;
            }
        }
    };
    let carrying = async {
        let (carried, ()) = tokio::join!(carrying, forwarding);
        carried
    };
    (end, carrying)
}

/// What an agent says; anything but a piece is why it does not.
fn piece(said: Result<FromRelay, Status>) -> Result<Piece, String> {
    match said.map_err(|status| status.message().to_owned())?.message {
        Some(from_relay::Message::Piece(piece)) => {
            Ok(Piece { data: piece.data.into(), credit: piece.credit })
        }
        Some(from_relay::Message::Failed(failed)) => Err(failed.message),
        _ => Err("the agent answered otherwise than asked".to_owned()),
    }
}
