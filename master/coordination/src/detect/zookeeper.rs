//! Detection as Mesos lays it out: the smallest `json.info_…` child of the path leads, of those that belong to a session.

use zookeeper_client::{Client, Error, SessionState, Stat};

use super::{DetectError, Findings};
use crate::address::ZkAddress;
use crate::backoff::session_backoff;
use crate::leader::LeaderInfo;
use crate::session::{SessionError, ZkOptions, connect, outcome_unknown, reconnected};

/// What a candidate's znode is called, before its sequence number.
pub(crate) const CANDIDATE_PREFIX: &str = "json.info_";

/// Follows for ever. While merely disconnected the leader known before is kept, since it may well lead on.
pub(super) async fn follow(address: &ZkAddress, options: &ZkOptions, findings: &Findings) {
    let mut backoff = session_backoff();
    loop {
        match connect(address, options).await {
            Err(error) => findings.fail(error.into()),
            Ok(client) => {
                backoff.reset();
                let error = follow_session(&client, address, findings).await;
                findings.fail(error.into());
            }
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// What a session has seen that its next look needs.
#[derive(Default)]
struct Seen {
    /// The znode that the known leader was read from: its path, and the transaction that made it.
    leader: Option<(String, i64)>,
    /// Znodes that were passed over.
    nobodys: Vec<String>,
}

/// Follows until the session is of no more use, and says why.
async fn follow_session(client: &Client, address: &ZkAddress, findings: &Findings) -> SessionError {
    let mut seen = Seen::default();
    loop {
        match follow_once(client, address, findings, &mut seen).await {
            Ok(()) => {}
            Err(source) if outcome_unknown(&source) => {
                if !reconnected(client).await {
                    return SessionError::new("watch", &address.path, Error::SessionExpired);
                }
            }
            Err(source) => return SessionError::new("watch", &address.path, source),
        }
    }
}

/// Looks, publishes, and returns when it is time to look again.
async fn follow_once(
    client: &Client,
    address: &ZkAddress,
    findings: &Findings,
    seen: &mut Seen,
) -> Result<(), Error> {
    let (children, children_watch) = match client.list_and_watch_children(&address.path).await {
        Ok(found) => found,
        Err(Error::NoNode) => {
            let (stat, watch) = client.check_and_watch_stat(&address.path).await?;
            if stat.is_none() {
                findings.publish(None);
                return ended(watch.changed().await.session_state);
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut nobodys = Vec::new();
    for name in candidates(children) {
        let path = format!("{}/{name}", address.path);
        let (data, stat, data_watch) = match client.get_and_watch_data(&path).await {
            Ok(found) => found,
            Err(Error::NoNode) => return Ok(()),
            Err(Error::NoAuth) => match client.check_stat(&path).await? {
                None => return Ok(()),
                // Candidates pass it over, and need not read it for that.
                Some(stat) if is_nobodys(&stat) => {
                    nobodys.push(path);
                    continue;
                }
                Some(_) => return Err(Error::NoAuth),
            },
            Err(error) => return Err(error),
        };
        if is_nobodys(&stat) {
            nobodys.push(path);
            continue;
        }
        seen.pass_over(nobodys);
        seen.read(findings, path, &data, &stat);
        let event = tokio::select! {
            event = children_watch.changed() => event,
            event = data_watch.changed() => event,
        };
        return ended(event.session_state);
    }
    seen.pass_over(nobodys);
    findings.publish(None);
    ended(children_watch.changed().await.session_state)
}

impl Seen {
    /// Publishes whom the first in line names. One that was known stays so when somebody writes over its znode: the place is its
    /// own still, and it writes back who it is.
    fn read(&mut self, findings: &Findings, path: String, data: &[u8], stat: &Stat) {
        let znode = (path.clone(), stat.czxid);
        match LeaderInfo::from_json(data) {
            Ok(leader) => {
                findings.publish(Some(leader));
                self.leader = Some(znode);
            }
            Err(source) if self.leader.as_ref() == Some(&znode) => {
                findings.keep_in_spite_of(DetectError::BadLeader { path, source });
            }
            Err(source) => findings.fail(DetectError::BadLeader { path, source }),
        }
    }

    /// Names what is new among the znodes that are passed over.
    fn pass_over(&mut self, nobodys: Vec<String>) {
        for znode in nobodys.iter().filter(|znode| !self.nobodys.contains(znode)) {
            tracing::warn!(
                znode,
                "passed over: it belongs to no session, so it is no leader's; delete it, since clients of Mesos may take it for one"
            );
        }
        self.nobodys = nobodys;
    }
}

fn ended(state: SessionState) -> Result<(), Error> {
    if state.is_terminated() { Err(Error::SessionExpired) } else { Ok(()) }
}

/// The candidates among the children, the first in line first. What [`is_nobodys`] is among them, too.
pub(crate) fn candidates(children: Vec<String>) -> Vec<String> {
    let mut found: Vec<String> =
        children.into_iter().filter(|name| name.starts_with(CANDIDATE_PREFIX)).collect();
    found.sort();
    found
}

/// Whether a znode belongs to no session, as one made by hand: nobody stands in line with it. That never changes while it exists,
/// so all who look agree.
pub(crate) fn is_nobodys(stat: &Stat) -> bool {
    // A container is one that ZooKeeper itself removes when it is empty; no session has its number.
    const CONTAINER: i64 = i64::MIN;
    matches!(stat.ephemeral_owner, 0 | CONTAINER)
}

/// How many stand in line, the leader among them.
pub(crate) async fn in_line(client: &Client, path: &str) -> Result<usize, Error> {
    let mut count = 0;
    for name in candidates(client.list_children(path).await?) {
        let stat = client.check_stat(&format!("{path}/{name}")).await?;
        count += usize::from(stat.is_some_and(|stat| !is_nobodys(&stat)));
    }
    Ok(count)
}
