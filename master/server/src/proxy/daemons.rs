//! Where the cluster's own daemons listen, which nobody is to reach in the master's name.

use std::net::{IpAddr, SocketAddr};

use chapada_master_core::Snapshot;
use http::Uri;

use super::{CONNECT_LIMIT, scheme};
use crate::shell::Shell;

/// One place where one listens.
struct Place<'a> {
    /// Which of them it is.
    whose: &'static str,
    host: Host<'a>,
    port: u16,
}

enum Host<'a> {
    Name(&'a str),
    At(IpAddr),
}

/// Which daemon listens where a framework wants to be reached; nothing when it is none that this master knows. A name is looked up, for
/// it may be another one of the same machine.
pub(super) async fn at(shell: &Shell, books: &Snapshot, target: &Uri) -> Option<String> {
    let port = target.port_u16().unwrap_or(if scheme(target) == "https" { 443 } else { 80 });
    let host = target.host()?.trim_matches(['[', ']']);
    // Mostly none listens at such a port, and nothing need be looked up.
    if !places(shell, books).any(|place| place.port == port) {
        return None;
    }
    let addresses = addresses(shell, host, port).await;
    let is_it = |place: &Place<'_>| match &place.host {
        Host::Name(name) => is_same_name(name, host) || name.parse().is_ok_and(|ip| addresses.contains(&ip)),
        Host::At(ip) => addresses.contains(&ip.to_canonical()),
    };
    let found = places(shell, books).find(|place| place.port == port && is_it(place));
    found.map(|place| place.whose.to_owned())
}

fn is_same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// Where a host is reached. What stands for this machine is where others reach it.
async fn addresses(shell: &Shell, host: &str, port: u16) -> Vec<IpAddr> {
    let found = tokio::time::timeout(CONNECT_LIMIT, tokio::net::lookup_host((host, port))).await;
    // Where nothing is found nothing is reached either, and that is said when it is tried.
    let Ok(Ok(found)) = found else { return Vec::new() };
    let mut addresses: Vec<IpAddr> = found.map(|at| at.ip().to_canonical()).collect();
    if addresses.iter().any(|ip| ip.is_loopback() || ip.is_unspecified()) {
        addresses.push(shell.own.0.to_canonical());
    }
    addresses
}

fn places<'a>(shell: &Shell, books: &'a Snapshot) -> impl Iterator<Item = Place<'a>> {
    let leader = shell.leader.borrow().as_ref().map(|leader| (leader.ip, leader.port));
    let masters = std::iter::once(shell.own).chain(leader);
    let masters = masters.map(|(ip, port)| Place { whose: "a master", host: Host::At(ip), port });
    let agents = books.agents.values().flat_map(|agent| {
        let agent = &*agent.description;
        let said: Option<SocketAddr> = agent.address.parse().ok();
        let said = said.map(|at| Place { whose: "an agent", host: Host::At(at.ip()), port: at.port() });
        let named = Place { whose: "an agent", host: Host::Name(&agent.hostname), port: agent.port };
        std::iter::once(named).chain(said)
    });
    masters.chain(agents)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core_loop::alone::candidate;
    use crate::sample;

    /// Of an agent with a name of its own, one that is named by its address, and one that says where it is.
    fn books() -> Snapshot {
        let mut books = Snapshot::clone(&sample::books());
        let said = [("Agent.Example", ""), ("10.0.0.2", ""), ("three.example", "10.0.0.3:5052")];
        for (agent, (hostname, address)) in books.agents.clone().values().zip(said) {
            let mut agent = (**agent).clone();
            let described = Arc::make_mut(&mut agent.description);
            (described.hostname, described.address, described.port) = (hostname.into(), address.into(), 5051);
            books.agents.insert(agent.id.clone(), Arc::new(agent));
        }
        books
    }

    #[tokio::test]
    async fn no_daemon_of_the_cluster_is_taken_for_a_framework_s_page_by_whatever_name() {
        let mut shell = Shell::closed();
        shell.own = ([10, 0, 0, 9].into(), 5050);
        let leader = chapada_coordination::LeaderInfo { ip: [10, 0, 0, 8].into(), port: 443, ..candidate() };
        let (_leader, leaders) = tokio::sync::watch::channel(Some(leader));
        shell.leader = leaders;
        let books = books();
        for (target, whose) in [
            ("http://agent.example.:5051/files", Some("an agent")),
            ("https://10.0.0.2:5051", Some("an agent")),
            ("http://[::ffff:10.0.0.2]:5051", Some("an agent")),
            ("https://10.0.0.3:5052/", Some("an agent")),
            ("https://10.0.0.9:5050/", Some("a master")),
            ("http://127.0.0.1:5050/", Some("a master")),
            ("http://localhost:5050/", Some("a master")),
            ("https://10.0.0.8/", Some("a master")),
            ("http://10.0.0.8/", None),
            ("http://10.0.0.2:5050/", None),
            ("http://10.0.0.9:8080/", None),
            ("http://127.0.0.1:5051/", None),
        ] {
            let found = at(&shell, &books, &target.parse().expect("an address")).await;
            assert_eq!(found.as_deref(), whose, "{target}");
        }
    }
}
