//! Who calls from this very machine. A task without a network of its own has the machine's, with the agent at its loopback
//! address and all addresses of its own to call from; it must not start containers beside others', end them or read their sandboxes. So what acts or reads
//! sandboxes is root's, as it runs the agent; everyone else comes through the leading master, or shows an executor's token.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use chapada_isolation::addresses::{canonical, is_own};
use chapada_listener::{Action, Call as HttpCall, Peer, text};
use chapada_model::ContainerId;
use chapada_wire::v1;
use chapada_wire::v1::agent::Call;
use http::StatusCode;
use nix::unistd::geteuid;
use tokio::task::spawn_blocking;

use super::executor::token;
use super::operator::Refusal;
use crate::containers::Means;

/// A socket that its process has closed and that only waits; it says that it is root's.
const TIME_WAIT: &str = "06";

/// Refuses who may not do this because it may be a task.
///
/// # Errors
/// The answer.
pub(super) async fn refuse(call: &HttpCall, action: Action) -> Result<(), Refusal> {
    match action {
        Action::UseContainers | Action::OperateCluster | Action::AccessSandbox => {}
        _ => return Ok(()),
    }
    let peer = call.peer;
    if peer.is_brought {
        return Ok(());
    }
    let looked = spawn_blocking(move || Caller::of(&peer)).await;
    let who = match looked.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
        Ok(Caller::Elsewhere) => return Ok(()),
        Ok(Caller::User(owner)) if owner == 0 || owner == geteuid().as_raw() => return Ok(()),
        Ok(Caller::User(owner)) => format!("user {owner} of this machine, as which tasks may run,"),
        Ok(Caller::Gone) => "a process of this machine that has hung up".to_owned(),
        Err(error) => {
            tracing::error!(%error, "cannot tell who calls");
            "a process of this machine that nobody can name".to_owned()
        }
    };
    let message = format!("{who} is not allowed to {action:?}: call as root, or through the leading master");
    Err(Box::new(text(StatusCode::FORBIDDEN, message)))
}

/// The same for a call about containers, which an executor may make about those in its own by showing its token.
///
/// # Errors
/// The answer.
pub(super) async fn refuse_but_executors(
    means: &Means,
    call: &HttpCall,
    asked: &Call,
    action: Action,
) -> Result<(), Refusal> {
    let refused = refuse(call, action).await;
    if refused.is_ok() || action != Action::UseContainers {
        return refused;
    }
    match (token(call), outermost(asked)) {
        (Some(shown), Some(container)) if means.tokens.admits(&container, Some(&shown)) => Ok(()),
        _ => refused,
    }
}

/// Whether one end of the connection has an address of this machine that the other can only have from within, or may have: who is
/// of this machine is refused for it. Blocks.
fn is_here(peer: &Peer) -> io::Result<bool> {
    let (remote, local) = (canonical(peer.remote), canonical(peer.local));
    Ok(local.ip().is_loopback() || remote.ip() == local.ip() || is_own(remote)?)
}

/// The outermost of the containers that a call is about.
fn outermost(asked: &Call) -> Option<ContainerId> {
    let attach = asked.attach_container_input.as_ref();
    let named = [
        asked.launch_nested_container.as_ref().and_then(|call| call.container_id.as_ref()),
        asked.wait_nested_container.as_ref().map(|call| &call.container_id).and_then(Option::as_ref),
        asked.kill_nested_container.as_ref().map(|call| &call.container_id).and_then(Option::as_ref),
        asked.remove_nested_container.as_ref().map(|call| &call.container_id).and_then(Option::as_ref),
        asked.launch_nested_container_session.as_ref().and_then(|call| call.container_id.as_ref()),
        asked.attach_container_output.as_ref().and_then(|call| call.container_id.as_ref()),
        attach.and_then(|call| call.container_id.as_ref()),
        asked.launch_container.as_ref().and_then(|call| call.container_id.as_ref()),
        asked.wait_container.as_ref().and_then(|call| call.container_id.as_ref()),
        asked.kill_container.as_ref().and_then(|call| call.container_id.as_ref()),
        asked.remove_container.as_ref().and_then(|call| call.container_id.as_ref()),
    ];
    let mut id: &v1::ContainerId = named.into_iter().flatten().next()?;
    let mut is_within = false;
    while let Some(parent) = id.parent.as_deref() {
        (id, is_within) = (parent, true);
    }
    // Its own container is its agent's to end.
    let outermost = id.value.as_deref().filter(|_| is_within)?;
    outermost.parse().ok()
}

/// Who is at the other end of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Caller {
    /// A user of this machine.
    User(u32),
    /// A process of this machine that has let go of its end.
    Gone,
    /// Another machine.
    Elsewhere,
}

impl Caller {
    /// A process of this machine may bind its end to any address of the machine's before it connects to another of them, so
    /// neither end alone tells: one that is in the tables of this machine, or an end of which is here, is of this machine. Blocks.
    fn of(peer: &Peer) -> io::Result<Self> {
        if let Some(owner) = owner(peer)? {
            return Ok(Self::User(owner));
        }
        Ok(if is_here(peer)? { Self::Gone } else { Self::Elsewhere })
    }
}

/// Whose socket the caller's end is; nothing when no process has it any more. Blocks.
fn owner(peer: &Peer) -> io::Result<Option<u32>> {
    for table in ["tcp", "tcp6"] {
        let text = match fs::read_to_string(format!("/proc/thread-self/net/{table}")) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        if let Some(owner) = owner_in(&text, in_tables(peer.remote), in_tables(peer.local)) {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// The owner of the socket at `own` that is connected to `other`.
fn owner_in(table: &str, own: SocketAddr, other: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, remote, state) = (fields.get(1)?, fields.get(2)?, *fields.get(3)?);
        // One that no process has says 0 for its owner, and has no inode.
        let is_somebodys = state != TIME_WAIT && *fields.get(9)? != "0";
        let is_it = is_somebodys && address(local)? == own && address(remote)? == other;
        is_it.then(|| fields.get(7)?.parse().ok()).flatten()
    })
}

/// The tables do not say which link an address is of.
fn in_tables(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// As the kernel writes it: words of four bytes in the order of the machine, in hexadecimal digits.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = (0..ip.len()).step_by(8).map(|at| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(in_tables(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_the_other_end_is_found_while_somebody_has_it() {
        for at in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            let port = listener.local_addr().unwrap().port();
            let to = if at == "[::1]:0" { format!("[::1]:{port}") } else { format!("127.0.0.1:{port}") };
            let client = TcpStream::connect(to).unwrap();
            let (server, remote) = listener.accept().unwrap();
            let peer = Peer { remote, local: server.local_addr().unwrap(), is_brought: false };
            assert_eq!(Caller::of(&peer).unwrap(), Caller::User(geteuid().as_raw()), "{at}");
            drop(client);
            let gone = Caller::of(&peer).unwrap();
            assert_eq!(gone, Caller::Gone, "who has hung up is nobody, and not root: {at}");
        }
    }

    #[test]
    fn who_has_hung_up_is_of_another_machine_only_when_neither_end_is_here() {
        let caller = |remote: &str, local: &str| {
            let (remote, local) = (remote.parse().unwrap(), local.parse().unwrap());
            Caller::of(&Peer { remote, local, is_brought: false })
        };
        // From the address of another network card to loopback, and the other way round.
        assert_eq!(caller("192.0.2.2:4000", "127.0.0.1:5051").unwrap(), Caller::Gone);
        assert_eq!(caller("[2001:db8::2]:4000", "[::1]:5051").unwrap(), Caller::Gone);
        assert_eq!(caller("127.0.0.9:4000", "192.0.2.1:5051").unwrap(), Caller::Gone);
        assert_eq!(caller("192.0.2.2:4000", "192.0.2.2:5051").unwrap(), Caller::Gone);
        assert_eq!(caller("198.51.100.7:4000", "192.0.2.1:5051").unwrap(), Caller::Elsewhere);
        if fs::exists("/proc/net/if_inet6").unwrap() {
            let of_link = caller("[fe80::fff7%1]:4000", "[fe80::fff8%1]:5051");
            assert_eq!(of_link.unwrap(), Caller::Elsewhere, "an operator on the same link");
        }
    }

    #[test]
    fn a_socket_that_nobody_has_is_not_roots() {
        let row = |state: &str, uid: u32, inode: u32| {
            format!("sl\n 0: 0100007F:1F91 0100007F:13BB {state} 0:0 00:0 0 {uid} 0 {inode} 1 x")
        };
        let (own, other) = ("127.0.0.1:8081".parse().unwrap(), "127.0.0.1:5051".parse().unwrap());
        assert_eq!(owner_in(&row("01", 1000, 7), own, other), Some(1000));
        assert_eq!(owner_in(&row("08", 1000, 7), own, other), Some(1000), "half closed");
        assert_eq!(owner_in(&row("06", 0, 7), own, other), None);
        assert_eq!(owner_in(&row("04", 0, 0), own, other), None);
        assert_eq!(owner_in(&row("01", 1000, 7), other, own), None, "the other way round");
    }
}
