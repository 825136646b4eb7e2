//! One ZooKeeper session: how it is opened, and what its errors mean.

use std::time::Duration;

use zookeeper_client::{Acl, Acls, Client, Error, Permission};

use crate::address::ZkAddress;

/// How a ZooKeeper session is kept.
#[derive(Clone, Debug)]
pub struct ZkOptions {
    /// How long the ensemble waits for a silent member before it gives its place away. The servers bound it (4 to 40
    /// s at their default tick). Default: 10 s, as Mesos.
    pub session_timeout: Duration,
}

impl Default for ZkOptions {
    fn default() -> Self {
        Self { session_timeout: Duration::from_secs(10) }
    }
}

/// Why no ZooKeeper session could be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// No server answers.
    #[error("no ZooKeeper server at {address} answers: check that it runs and that the address is right")]
    Unreachable {
        /// Where, without credentials.
        address: String,
        /// What the client said.
        #[source]
        source: Error,
    },
    /// Wrong credentials, or none where some are needed.
    #[error(
        "ZooKeeper refuses access to {path}: check user:password in the zk:// address and the znode's ACL"
    )]
    Denied {
        /// The znode.
        path: String,
    },
    /// Anything else.
    #[error("failed to {doing} {path} in ZooKeeper")]
    Failed {
        /// The operation.
        doing: &'static str,
        /// The znode.
        path: String,
        /// What the client said.
        #[source]
        source: Error,
    },
}

impl SessionError {
    pub(crate) fn new(doing: &'static str, path: &str, source: Error) -> Self {
        match source {
            Error::NoAuth | Error::AuthFailed => Self::Denied { path: path.to_owned() },
            source => Self::Failed { doing, path: path.to_owned(), source },
        }
    }
}

pub(crate) async fn connect(address: &ZkAddress, options: &ZkOptions) -> Result<Client, SessionError> {
    let mut connector = Client::connector().with_session_timeout(options.session_timeout).with_fail_eagerly();
    if let Some((user, password)) = &address.credentials {
        connector = connector.with_auth("digest", format!("{user}:{password}").as_bytes());
    }
    let servers = address.connect_string();
    let attempt = connector.connect(&servers);
    let outcome = tokio::time::timeout(options.session_timeout, attempt).await.unwrap_or(Err(Error::Timeout));
    outcome.map_err(|source| match source {
        Error::AuthFailed | Error::NoAuth => SessionError::Denied { path: address.path.clone() },
        source => SessionError::Unreachable { address: address.to_string(), source },
    })
}

static OWN: [Acl; 2] =
    [Acl::new_const(Permission::READ, "world", "anyone"), Acl::new_const(Permission::ALL, "auth", "")];

/// Election znodes are read by everyone, and written by whoever has our credentials (by anyone when there are none).
pub(crate) fn public_acls(address: &ZkAddress) -> Acls<'static> {
    if address.credentials.is_some() { Acls::new(&OWN) } else { Acls::anyone_all() }
}

/// The registry is for those with our credentials (for anyone when there are none).
pub(crate) fn private_acls(address: &ZkAddress) -> Acls<'static> {
    if address.credentials.is_some() { Acls::creator_all() } else { Acls::anyone_all() }
}

/// Whether a request that failed so may have been carried out all the same.
///
/// A connection that resets under a request is reported as `Custom`, not as `ConnectionLoss`.
pub(crate) fn outcome_unknown(error: &Error) -> bool {
    matches!(error, Error::ConnectionLoss | Error::Timeout | Error::Custom(_) | Error::UnexpectedError(_))
}

/// Whether the session has ended, so that only a new client helps.
pub(crate) fn session_over(error: &Error) -> bool {
    matches!(
        error,
        Error::SessionExpired
            | Error::ClientClosed
            | Error::AuthFailed
            | Error::NoHosts
            | Error::SessionMoved
    )
}

/// Waits until the session is connected; false when it ended instead.
pub(crate) async fn reconnected(client: &Client) -> bool {
    use zookeeper_client::SessionState;
    let mut states = client.state_watcher();
    let mut state = states.peek_state();
    loop {
        match state {
            SessionState::SyncConnected | SessionState::ConnectedReadOnly => return true,
            SessionState::AuthFailed | SessionState::Expired | SessionState::Closed => return false,
            SessionState::Disconnected => {}
        }
        state = states.changed().await;
    }
}
