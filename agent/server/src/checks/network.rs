//! Connections from inside the network of a task.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::thread;

use chapada_agent_core::TaskRecord;
use chapada_isolation::addresses::is_own;
use chapada_network::Networks;
use nix::sched::{CloneFlags, setns};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use crate::networks;

/// Threads that are in the network of a task at once, each for the time it takes to make a socket.
static THREADS: Semaphore = Semaphore::const_new(8);

/// Where a task can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// On the machine's network, where the agent listens on this port.
    Host { agent: u16 },
    /// On one of its own, which this process is in.
    OfProcess(u32),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Nobody listens there, or nobody can be reached there.
    #[error("cannot connect: {0}")]
    Refused(io::Error),
    /// The agent answers there, which trusts itself.
    #[error("that is the agent's own port: name one of the task's")]
    Agent,
    /// The task's network could not be entered.
    #[error("cannot enter the task's network: {0}")]
    Network(io::Error),
}

/// The network of a task with this first process.
pub(super) fn of(all: &Networks, task: &TaskRecord, pid: u32, agent: u16) -> Network {
    let is_own = networks::of(all, task).is_some() || networks::is_alone(task);
    if is_own { Network::OfProcess(pid) } else { Network::Host { agent } }
}

pub(super) async fn connect(network: Network, address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let socket = match network {
        // What cannot be told might be.
        Network::Host { agent } if agent == address.port() && is_own(address).unwrap_or(true) => {
            return Err(ConnectError::Agent);
        }
        Network::Host { .. } => socket(address).map_err(ConnectError::Network)?,
        Network::OfProcess(pid) => socket_of(pid, address).await.map_err(ConnectError::Network)?,
    };
    socket.connect(address).await.map_err(ConnectError::Refused)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// A socket belongs to the network in which it was made, wherever it is used: a thread of its own goes there, makes it,
/// and ends, for it could not be trusted to come back.
async fn socket_of(pid: u32, address: SocketAddr) -> io::Result<TcpSocket> {
    let _permit = THREADS.acquire().await.map_err(io::Error::other)?;
    let (send, made) = oneshot::channel();
    let make = move || {
        let made = enter(pid).and_then(|()| socket(address));
        // Nobody may wait any more.
        drop(send.send(made));
    };
    thread::Builder::new().name("probe".to_owned()).spawn(make)?;
    made.await.map_err(io::Error::other)?
}

/// Moves this thread to the network of a process.
fn enter(pid: u32) -> io::Result<()> {
    let theirs = File::open(format!("/proc/{pid}/ns/net"))?;
    let (own, there) = (File::open("/proc/thread-self/ns/net")?.metadata()?, theirs.metadata()?);
    if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
        // The task is gone, and another process of the machine has its number.
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    setns(theirs, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn on_the_machines_network_the_agent_itself_is_not_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = connect(Network::Host { agent: address.port() }, address).await;
        assert!(matches!(asked, Err(ConnectError::Agent)), "{asked:?}");
        let other = address.port().wrapping_add(1);
        connect(Network::Host { agent: other }, address).await.unwrap();
    }
}
