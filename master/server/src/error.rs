//! Why a master ends by itself.

use std::path::PathBuf;
use std::time::Duration;

use chapada_coordination::{AddressError, OpenRegistryError, WriteError};
use chapada_listener::ListenError;
use chapada_wire::convert::InvalidField;

/// Why a master cannot go on. Each message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// `--zk` is no ZooKeeper address.
    #[error("--zk is not usable")]
    ZooKeeper(#[source] AddressError),
    /// `--weights` is not understood.
    #[error("--weights is not usable: {0}; write role=2.5,other=1")]
    Weights(String),
    /// `--domain` is not understood.
    #[error(
        "--domain is not usable: {0}; write {{\"fault_domain\":{{\"region\":{{\"name\":\"eu\"}},\"zone\":{{\"name\":\"a\"}}}}}}"
    )]
    Domain(InvalidField),
    /// The folder for records cannot be made.
    #[error("failed to make the folder {path}: check its parent's permissions or choose another --work-dir")]
    WorkDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The records cannot be opened.
    #[error("failed to open the registry")]
    Registry(#[from] OpenRegistryError),
    /// A record cannot be read.
    #[error("the registry's record {key} is damaged: {problem}")]
    Record {
        /// Which.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A change could not be made durable, and no other master can take over.
    #[error("failed to write to the registry, so this master cannot lead any longer")]
    Write(#[source] WriteError),
    /// The registry was not there in time.
    #[error(
        "failed to read the registry within {}: look whether its disk or ZooKeeper is overloaded, or allow more with \
         --registry-fetch-timeout",
        humantime::format_duration(*.0)
    )]
    FetchedLate(Duration),
    /// A change was not durable in time.
    #[error(
        "failed to write to the registry within {}: look whether its disk or ZooKeeper is overloaded, or allow more with \
         --registry-store-timeout",
        humantime::format_duration(*.0)
    )]
    StoredLate(Duration),
    /// The loop's thread could not be started.
    #[error("failed to start the master's thread")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// Whether the registry is what is wrong: not this process, and not what an operator told it.
    pub(crate) fn is_of_registry(&self) -> bool {
        match self {
            Self::Registry(_)
            | Self::Record { .. }
            | Self::Write(_)
            | Self::FetchedLate(_)
            | Self::StoredLate(_) => true,
            Self::Listen(_)
            | Self::ZooKeeper(_)
            | Self::Weights(_)
            | Self::Domain(_)
            | Self::WorkDir { .. }
            | Self::Thread(_) => false,
        }
    }
}
