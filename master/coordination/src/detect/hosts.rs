//! Detection without ZooKeeper: one address is the leader, wherever its name leads; of several, each is asked for `/redirect`.
//!
//! All are asked at once, so that one that hangs delays nothing. Who has not heard of an election yet names the former leader, so
//! a master is believed of itself first. One that said so of itself is asked alone, seldom, and when somebody doubts that it leads:
//! each question takes a connection, under TLS one with certificates, of every agent and framework.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use chapada_tls::Dialer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::lookup_host;
use tokio::sync::Notify;

use super::{DetectError, Findings};
use crate::address::HostPort;
use crate::backoff::Backoff;
use crate::leader::LeaderInfo;

/// How often the name of an only master is looked up: it may have moved.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);
/// How often at least the one of a list that leads is asked whether it still does, while nobody doubts it.
const CONFIRM_WITHIN: Duration = Duration::from_secs(20);
/// How soon after the first doubt: many have it at once.
const DOUBT_WITHIN: Duration = Duration::from_millis(100);
/// How long to wait before a list of masters is asked again while none says of itself that it leads, at first and at most.
const ASK_FIRST: Duration = Duration::from_millis(100);
const ASK_AT_MOST: Duration = Duration::from_secs(2);
/// How long one of them may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// More than any answer to `/redirect` needs.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

/// Whom a list of masters names.
struct Named {
    leader: LeaderInfo,
    /// It says so of itself.
    is_confirmed: bool,
}

/// Several masters that can be asked.
trait Masters {
    /// Asks all.
    fn ask_all(&self) -> impl Future<Output = io::Result<Named>> + Send;
    /// Asks one whether it leads.
    fn leads(&self, leader: &LeaderInfo) -> impl Future<Output = bool> + Send;
}

/// Those that can be dialled.
struct Dialled<'a> {
    hosts: &'a [HostPort],
    dialer: &'a Dialer,
}

impl Masters for Dialled<'_> {
    async fn ask_all(&self) -> io::Result<Named> {
        ask_all(self.hosts, self.dialer).await
    }

    async fn leads(&self, leader: &LeaderInfo) -> bool {
        match leader.authority().parse() {
            Ok(host) => is_confirmed(&host, self.dialer).await,
            Err(_) => false,
        }
    }
}

pub(super) async fn follow(hosts: &[HostPort], dialer: &Dialer, doubts: &Notify, findings: &Findings) {
    match hosts {
        [only] => follow_one(only, findings, look_up).await,
        several => {
            let shown = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            follow_several(&Dialled { hosts, dialer }, &shown, doubts, findings).await;
        }
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

async fn follow_several(masters: &impl Masters, shown: &str, doubts: &Notify, findings: &Findings) {
    let mut backoff = Backoff::new(ASK_FIRST, ASK_AT_MOST);
    loop {
        match masters.ask_all().await {
            Ok(Named { leader, is_confirmed }) => {
                findings.publish(Some(leader.clone()));
                if is_confirmed {
                    backoff.reset();
                    while_it_leads(&leader, masters, doubts).await;
                    continue;
                }
            }
            Err(source) => {
                // A leader that is known may lead on: its links tell when it does not.
                findings.keep_in_spite_of(DetectError::NobodyAnswers { hosts: shown.to_owned(), source });
            }
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Returns when a leader does not say any more that it leads.
async fn while_it_leads(leader: &LeaderInfo, masters: &impl Masters, doubts: &Notify) {
    loop {
        let half = CONFIRM_WITHIN / 2;
        tokio::select! {
            () = tokio::time::sleep(half + Backoff::new(half, half).next_wait()) => {}
            () = doubts.notified() => {
                tokio::time::sleep(Backoff::new(DOUBT_WITHIN, DOUBT_WITHIN).next_wait()).await;
            }
        }
        if !masters.leads(leader).await {
            return;
        }
    }
}

/// Asks all at once, and each that is named whether it leads. Whoever says so of itself leads; otherwise one that is named and
/// does not answer may do so.
async fn ask_all(hosts: &[HostPort], dialer: &Dialer) -> io::Result<Named> {
    let mut asking = tokio::task::JoinSet::new();
    for host in hosts {
        let (host, dialer) = (host.clone(), dialer.clone());
        asking.spawn(async move {
            let named = ask_in_time(&host, &dialer).await?;
            let leads = is_same(&named, &host).await? || is_confirmed(&named, &dialer).await;
            io::Result::Ok((named, leads))
        });
    }
    let mut named = Err(io::Error::other("nobody was asked"));
    while let Some(answer) = asking.join_next().await {
        match answer.map_err(io::Error::other).flatten() {
            Ok((leader, true)) => return Ok(Named { leader: known(&leader).await?, is_confirmed: true }),
            Ok((leader, false)) => named = Ok(leader),
            Err(error) if named.is_err() => named = Err(error),
            Err(_) => {}
        }
    }
    Ok(Named { leader: known(&named?).await?, is_confirmed: false })
}

/// Whether a master says of itself that it leads.
async fn is_confirmed(named: &HostPort, dialer: &Dialer) -> bool {
    match ask_in_time(named, dialer).await {
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

async fn ask_in_time(host: &HostPort, dialer: &Dialer) -> io::Result<HostPort> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, ask(host, dialer)).await;
    answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whom this master names as leader.
async fn ask(host: &HostPort, dialer: &Dialer) -> io::Result<HostPort> {
    let mut stream = dialer.connect(resolve(host).await?, &[&host.host]).await?;
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
        let findings = findings();
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

    /// What a list of masters says, each answer once, then that nobody leads; and what was asked when.
    struct List {
        said: Mutex<VecDeque<Option<(u8, bool)>>>,
        asked: Mutex<Vec<(&'static str, Duration)>>,
        /// Which one says of itself that it leads.
        leads: Mutex<u8>,
        began: tokio::time::Instant,
    }

    impl List {
        fn new(said: impl IntoIterator<Item = Option<(u8, bool)>>) -> Self {
            Self {
                said: Mutex::new(said.into_iter().collect()),
                asked: Mutex::default(),
                leads: Mutex::new(0),
                began: tokio::time::Instant::now(),
            }
        }

        fn master(last: u8) -> LeaderInfo {
            let host: HostPort = format!("10.0.0.{last}:5050").parse().expect("an address");
            standalone(&host, ([10, 0, 0, last], 5050).into())
        }

        fn note(&self, what: &'static str) {
            self.asked.lock().expect("nothing panics").push((what, self.began.elapsed()));
        }

        /// What was asked since the last time, and when the last of it was.
        fn asked(&self) -> (Vec<&'static str>, Duration) {
            let asked = std::mem::take(&mut *self.asked.lock().expect("nothing panics"));
            let last = asked.last().map(|(_, at)| *at).unwrap_or_default();
            (asked.into_iter().map(|(what, _)| what).collect(), last)
        }

        fn now_leads(&self, last: u8) {
            *self.leads.lock().expect("nothing panics") = last;
        }
    }

    impl Masters for List {
        async fn ask_all(&self) -> io::Result<Named> {
            self.note("all");
            let next = self.said.lock().expect("nothing panics").pop_front().flatten();
            let (last, is_confirmed) = next.ok_or_else(|| io::Error::other("nobody leads"))?;
            Ok(Named { leader: Self::master(last), is_confirmed })
        }

        async fn leads(&self, leader: &LeaderInfo) -> bool {
            self.note("leader");
            *leader == Self::master(*self.leads.lock().expect("nothing panics"))
        }
    }

    fn findings() -> Findings {
        Findings { leader: watch::Sender::new(None), problem: watch::Sender::new(None) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirmed_leader_is_asked_alone_and_seldom_and_at_once_when_somebody_doubts_it() {
        let (list, doubts, findings) =
            (List::new([Some((1, true)), Some((2, true))]), Notify::new(), findings());
        list.now_leads(1);
        let mut following = std::pin::pin!(follow_several(&list, "a list", &doubts, &findings));
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, &mut following).await.is_err(), "for ever");
        let (asked, _) = list.asked();
        assert!(asked[0] == "all" && asked[1..].iter().all(|what| *what == "leader"), "{asked:?}");
        assert!((180..=361).contains(&asked.len()), "{}", asked.len());

        // A link that ends is no proof: whoever says that it leads is believed.
        doubts.notify_one();
        assert!(tokio::time::timeout(DOUBT_WITHIN * 2, &mut following).await.is_err());
        assert_eq!(list.asked().0, ["leader"]);
        list.now_leads(2);
        doubts.notify_one();
        assert!(tokio::time::timeout(DOUBT_WITHIN * 2, &mut following).await.is_err());
        assert_eq!(list.asked().0, ["leader", "all"]);
        assert_eq!(*findings.leader.borrow(), Some(List::master(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn while_no_leader_is_confirmed_all_are_asked_ever_less_often_and_who_is_named_is_believed_meanwhile()
     {
        // Nobody leads; then some name one that does not say so itself; then it does.
        let said = [None; 200].into_iter().chain([Some((1, false)); 200]).chain([Some((1, true))]);
        let (list, doubts, findings) = (List::new(said), Notify::new(), findings());
        list.now_leads(1);
        let mut following = std::pin::pin!(follow_several(&list, "a list", &doubts, &findings));
        let named = findings.leader.subscribe();
        while named.borrow().is_none() {
            assert!(tokio::time::timeout(ASK_AT_MOST, &mut following).await.is_err(), "for ever");
        }
        let (asked, took) = list.asked();
        assert!(asked.iter().all(|what| *what == "all"), "{asked:?}");
        let each = took / u32::try_from(asked.len()).expect("few");
        assert!(ASK_AT_MOST / 4 < each && each < ASK_AT_MOST, "{each:?}: with jitter, half of it");
        while !list.asked().0.contains(&"leader") {
            assert!(tokio::time::timeout(CONFIRM_WITHIN, &mut following).await.is_err(), "for ever");
        }
        assert!(
            list.said.lock().expect("nothing panics").is_empty(),
            "all were asked until it was confirmed"
        );
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
