//! Detection without ZooKeeper: one address is the leader; of several, each is asked for `/redirect`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};

use super::{DetectError, Findings};
use crate::address::HostPort;
use crate::backoff::Backoff;
use crate::leader::LeaderInfo;

/// How often a list of masters is asked again.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long one of them may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// More than any answer to `/redirect` needs.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

pub(super) async fn follow(hosts: &[HostPort], findings: &Findings) {
    match hosts {
        [only] => {
            let leader = resolve_patiently(only, findings).await;
            findings.publish(Some(leader));
            std::future::pending::<()>().await;
        }
        several => follow_several(several, findings).await,
    }
}

async fn resolve_patiently(host: &HostPort, findings: &Findings) -> LeaderInfo {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        match resolve(host).await {
            Ok(address) => return standalone(host, address),
            Err(source) => findings.fail(DetectError::NobodyAnswers { hosts: host.to_string(), source }),
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

async fn follow_several(hosts: &[HostPort], findings: &Findings) {
    loop {
        match ask_each(hosts).await {
            Ok(leader) => findings.publish(Some(leader)),
            Err(source) => {
                let shown = hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                findings.fail(DetectError::NobodyAnswers { hosts: shown, source });
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask_each(hosts: &[HostPort]) -> io::Result<LeaderInfo> {
    let mut last = io::Error::other("nobody was asked");
    for host in hosts {
        let answer = tokio::time::timeout(ANSWER_WITHIN, ask(host)).await;
        match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(leader) => return Ok(leader),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whom this master names as leader.
async fn ask(host: &HostPort) -> io::Result<LeaderInfo> {
    let mut stream = TcpStream::connect(resolve(host).await?).await?;
    let request = format!("GET /redirect HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    let leader = named_leader(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::other(format!("{host} does not know a leader")))?;
    let address = resolve(&leader).await?;
    Ok(standalone(&leader, address))
}

/// The authority in the `Location` of a 307: `//host:port/…` or `http://host:port/…`.
fn named_leader(answer: &str) -> Option<HostPort> {
    let mut lines = answer.split("\r\n");
    if lines.next()?.split(' ').nth(1)? != "307" {
        return None;
    }
    let location = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("location"))?
        .1
        .trim();
    let (_, rest) = location.split_once("//")?;
    rest.split('/').next()?.parse().ok()
}

async fn resolve(host: &HostPort) -> io::Result<SocketAddr> {
    let mut found: Vec<SocketAddr> = lookup_host((host.host.as_str(), host.port)).await?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| io::Error::other(format!("{} has no address", host.host)))
}

fn standalone(host: &HostPort, address: SocketAddr) -> LeaderInfo {
    LeaderInfo {
        id: String::new(),
        hostname: host.host.clone(),
        ip: address.ip(),
        port: address.port(),
        version: String::new(),
        capabilities: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_read_from_the_location() {
        let answer = "HTTP/1.1 307 Temporary Redirect\r\nlocation: //10.1.2.3:5050\r\n\r\n";
        assert_eq!(named_leader(answer).unwrap().to_string(), "10.1.2.3:5050");
        let answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://m1:5050/redirect\r\n\r\n";
        assert_eq!(named_leader(answer).unwrap().to_string(), "m1:5050");
        assert_eq!(named_leader("HTTP/1.1 503 Service Unavailable\r\nLocation: //a:1\r\n\r\n"), None);
        assert_eq!(named_leader("nonsense"), None);
    }
}
