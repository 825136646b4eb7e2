//! Stands between ZooKeeper's clients and a server.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Whose messages pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Client = 0,
    Server = 1,
}

/// Where clients are to call. Each message of either side waits for `allow` before it passes; a connection that is to break says no.
pub(crate) async fn between<F>(
    server: SocketAddr,
    allow: impl Fn(Of) -> F + Clone + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = bool> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(server).await else { continue };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let (asks, answers) = (allow.clone(), allow.clone());
            tokio::spawn(async move {
                // Whoever ends first ends both.
                tokio::select! {
                    () = pass(from_client, to_server, || asks(Of::Client)) => {}
                    () = pass(from_server, to_client, || answers(Of::Server)) => {}
                }
            });
        }
    });
    address
}

/// Each message is its length and so many bytes.
async fn pass<F: Future<Output = bool>>(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    allow: impl Fn() -> F,
) {
    while let Ok(length) = from.read_u32().await {
        let mut message = vec![0; length as usize];
        if from.read_exact(&mut message).await.is_err() || !allow().await {
            return;
        }
        if to.write_all(&[&length.to_be_bytes()[..], &message].concat()).await.is_err() {
            return;
        }
    }
}
