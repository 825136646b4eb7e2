//! Ports that are listened on, and by whom: the kernel's tables of sockets, and the open files of processes.
//!
//! Source: `man 5 proc_pid_net`, `man 5 proc_pid_fd`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;

use crate::{Context, IsolationError};

/// A TCP socket that waits for connections. Source: `net/tcp_states.h`.
const LISTEN: &str = "0A";
/// A UDP socket that is not connected.
const UNCONNECTED: &str = "07";
/// What the kernel gives a socket that asks for no port.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The sockets of one network that wait for others, by their inodes.
#[derive(Debug, Default)]
pub struct Listeners(HashMap<u64, u16>);

impl Listeners {
    /// Those of this thread's network: TCP sockets that listen, and UDP sockets that are bound, but for those on a port
    /// that the kernel chooses, which senders have, too.
    ///
    /// # Errors
    /// Names the table.
    pub fn read() -> Result<Self, IsolationError> {
        let ephemeral = fs::read_to_string(EPHEMERAL).context("read", EPHEMERAL)?;
        let mut bounds = ephemeral.split_whitespace().filter_map(|bound| bound.parse::<u16>().ok());
        let ephemeral = bounds.next().zip(bounds.next());
        let is_chosen = |port: u16| ephemeral.is_some_and(|(first, last)| (first..=last).contains(&port));
        let mut found = HashMap::new();
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            let path = format!("/proc/thread-self/net/{table}");
            let text = match fs::read_to_string(&path) {
                // A kernel without IPv6.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.context("read", &path)?,
            };
            let is_tcp = table.starts_with("tcp");
            let waiting = sockets(&text, if is_tcp { LISTEN } else { UNCONNECTED });
            found.extend(waiting.filter(|(_, port)| is_tcp || !is_chosen(*port)));
        }
        Ok(Self(found))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ports on which these processes listen. A process that has ended meanwhile listens on none.
    pub fn of(&self, processes: &[i32]) -> BTreeSet<u16> {
        let files = processes.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok()).flatten();
        let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        links.filter_map(|link| self.0.get(&inode(link.to_str()?)?).copied()).collect()
    }
}

/// `socket:[123]`.
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Inodes and ports of the sockets of a table that are in this state.
fn sockets<'a>(table: &'a str, state: &'a str) -> impl Iterator<Item = (u64, u16)> + 'a {
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        (*fields.get(3)? == state).then_some(())?;
        Some((fields.get(9)?.parse().ok()?, port))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n   \
            1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n";
        assert_eq!(sockets(table, LISTEN).collect::<Vec<_>>(), [(4711, 8080)]);
        assert_eq!((inode("socket:[4711]"), inode("pipe:[1]"), inode("/dev/null")), (Some(4711), None, None));
    }

    #[test]
    fn only_who_waits_for_others_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _connected = TcpStream::connect(address).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let found = Listeners::read().unwrap();
        assert!(!found.is_empty());
        let ports = found.of(&[own]);
        assert!(ports.contains(&address.port()));
        let sends_from = sender.local_addr().unwrap().port();
        assert!(!ports.contains(&sends_from) || sends_from == address.port());
        assert!(found.of(&[i32::MAX]).is_empty());
    }
}
