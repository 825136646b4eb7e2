//! Detection without ZooKeeper: one address is the leader, wherever its name leads; of several, each is asked for `/redirect`.
//!
//! All are asked at once, so that one that hangs delays nothing. Who has not heard of an election yet names the former leader, so
//! a master is believed of itself first.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};

use super::{DetectError, Findings};
use crate::address::HostPort;
use crate::backoff::Backoff;
use crate::leader::LeaderInfo;

/// How often the name of an only master is looked up: it may have moved.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);
/// How often a list of masters is asked again, while one is known to lead,
const ASK_EVERY: Duration = Duration::from_secs(1);
/// and while none is.
const ASK_SOON: Duration = Duration::from_millis(100);
/// How long one of them may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// More than any answer to `/redirect` needs.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

pub(super) async fn follow(hosts: &[HostPort], findings: &Findings) {
    match hosts {
        [only] => follow_one(only, findings, look_up).await,
        several => follow_several(several, findings).await,
    }
}

/// The address that is known stays for as long as the name has it, among others perhaps, or nobody can tell.
async fn follow_one(
    host: &HostPort,
    findings: &Findings,
    look_up: impl AsyncFn(&HostPort) -> io::Result<Vec<SocketAddr>>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), LOOK_UP_EVERY);
    let mut known = None;
    loop {
        let wait = match look_up(host).await {
            Ok(found) => {
                known = known.filter(|known| found.contains(known)).or(found.first().copied());
                findings.publish(known.map(|address| standalone(host, address)));
                backoff.reset();
                LOOK_UP_EVERY
            }
            Err(source) => {
                let error = DetectError::NobodyAnswers { hosts: host.to_string(), source };
                match known {
                    Some(_) => findings.keep_in_spite_of(error),
                    None => findings.fail(error),
                }
                backoff.next_wait()
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn follow_several(hosts: &[HostPort], findings: &Findings) {
    loop {
        let wait = match ask_all(hosts).await {
            Ok(leader) => {
                findings.publish(Some(leader));
                ASK_EVERY
            }
            Err(source) => {
                let shown = hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                // A leader that is known may lead on: its links tell when it does not.
                findings.keep_in_spite_of(DetectError::NobodyAnswers { hosts: shown, source });
                ASK_SOON
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Asks all at once, and each that is named whether it leads. Whoever says so of itself leads; otherwise one that is named and
/// does not answer may do so.
async fn ask_all(hosts: &[HostPort]) -> io::Result<LeaderInfo> {
    let mut asking = tokio::task::JoinSet::new();
    for host in hosts {
        let host = host.clone();
        asking.spawn(async move {
            let named = ask_in_time(&host).await?;
            let leads = is_same(&named, &host).await? || is_confirmed(&named).await;
            io::Result::Ok((named, leads))
        });
    }
    let mut named = Err(io::Error::other("nobody was asked"));
    while let Some(answer) = asking.join_next().await {
        match answer.map_err(io::Error::other).flatten() {
            Ok((leader, true)) => return known(&leader).await,
            Ok((leader, false)) => named = Ok(leader),
            Err(error) if named.is_err() => named = Err(error),
            Err(_) => {}
        }
    }
    known(&named?).await
}

/// Whether a master says of itself that it leads.
async fn is_confirmed(named: &HostPort) -> bool {
    match ask_in_time(named).await {
        Ok(again) => is_same(&again, named).await.unwrap_or(false),
        Err(_) => false,
    }
}

async fn is_same(one: &HostPort, other: &HostPort) -> io::Result<bool> {
    Ok(one == other || resolve(one).await? == resolve(other).await?)
}

async fn known(leader: &HostPort) -> io::Result<LeaderInfo> {
    Ok(standalone(leader, resolve(leader).await?))
}

async fn ask_in_time(host: &HostPort) -> io::Result<HostPort> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, ask(host)).await;
    answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whom this master names as leader.
async fn ask(host: &HostPort) -> io::Result<HostPort> {
    let mut stream = TcpStream::connect(resolve(host).await?).await?;
    let request = format!("GET /redirect HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    named_leader(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::other(format!("{host} does not know a leader")))
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
    look_up(host).await.map(|found| found[0])
}

/// All addresses of a name, the best first; at least one.
async fn look_up(host: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = lookup_host((host.host.as_str(), host.port)).await?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    match found.is_empty() {
        true => Err(io::Error::other(format!("{} has no address", host.host))),
        false => Ok(found),
    }
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
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::sync::watch;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_moves_is_found_again_and_one_with_several_addresses_stays_at_one() {
        let findings = Findings { leader: watch::Sender::new(None), problem: watch::Sender::new(None) };
        // What the name has, one look after the other; nothing when nobody can tell.
        let looks: [&[u8]; 7] = [&[], &[1, 2], &[2, 1], &[2], &[], &[3], &[3]];
        let (looks, began) = (Mutex::new(VecDeque::from(looks)), tokio::time::Instant::now());
        let seen = Mutex::new(Vec::new());
        let look_up = async |_: &HostPort| {
            let leader = findings.leader.borrow().as_ref().map(|leader| leader.ip.to_string());
            seen.lock().expect("nothing panics").push((leader, began.elapsed()));
            let look = looks.lock().expect("nothing panics").pop_front();
            match look {
                Some([]) => Err(io::Error::other("no name server answers")),
                Some(found) => Ok(found.iter().map(|last| ([10, 0, 0, *last], 5050).into()).collect()),
                None => std::future::pending().await,
            }
        };
        let host: HostPort = "master.example:5050".parse().expect("an address");
        let following = follow_one(&host, &findings, look_up);
        assert!(tokio::time::timeout(Duration::from_secs(60), following).await.is_err(), "for ever");
        let [first, second, third] = [1, 2, 3].map(|last| Some(format!("10.0.0.{last}")));
        let expected = [None, None, first.clone(), first, second.clone(), second, third.clone(), third];
        let (leaders, times): (Vec<_>, Vec<_>) =
            seen.into_inner().expect("nothing panics").into_iter().unzip();
        assert_eq!(leaders, expected);
        assert_eq!((times[2] - times[1], times[4] - times[3]), (LOOK_UP_EVERY, LOOK_UP_EVERY));
        assert!(findings.problem.borrow().is_none());
    }

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
