//! Detection as Mesos lays it out: the smallest `json.info_…` child of the path leads.

use zookeeper_client::{Client, Error, SessionState};

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

/// Follows until the session is of no more use, and says why.
async fn follow_session(client: &Client, address: &ZkAddress, findings: &Findings) -> SessionError {
    loop {
        match follow_once(client, address, findings).await {
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
async fn follow_once(client: &Client, address: &ZkAddress, findings: &Findings) -> Result<(), Error> {
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
    let Some(smallest) = candidates(children).into_iter().next() else {
        findings.publish(None);
        return ended(children_watch.changed().await.session_state);
    };
    let path = format!("{}/{smallest}", address.path);
    let (data, _, data_watch) = match client.get_and_watch_data(&path).await {
        Ok(found) => found,
        Err(Error::NoNode) => return Ok(()),
        Err(error) => return Err(error),
    };
    match LeaderInfo::from_json(&data) {
        Ok(leader) => findings.publish(Some(leader)),
        Err(source) => findings.fail(DetectError::BadLeader { path, source }),
    }
    let event = tokio::select! {
        event = children_watch.changed() => event,
        event = data_watch.changed() => event,
    };
    ended(event.session_state)
}

fn ended(state: SessionState) -> Result<(), Error> {
    if state.is_terminated() { Err(Error::SessionExpired) } else { Ok(()) }
}

/// The candidates among the children, the leader first.
pub(crate) fn candidates(children: Vec<String>) -> Vec<String> {
    let mut found: Vec<String> =
        children.into_iter().filter(|name| name.starts_with(CANDIDATE_PREFIX)).collect();
    found.sort();
    found
}
