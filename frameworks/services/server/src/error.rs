//! Why the services framework ends by itself.

use std::path::PathBuf;

use chapada_listener::{CredentialsError, ListenError};
use chapada_sdk::{AddressError, OpenRegistryError, RunError, WriteError};
use chapada_services_core::ReadError;

use crate::access::AccessError;

/// Why it cannot go on. Each message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The file of credentials cannot be used.
    #[error("--http-credentials-file is not usable")]
    Credentials(#[from] CredentialsError),
    /// The file of grants cannot be used.
    #[error("--access-policy is not usable")]
    Access(#[from] AccessError),
    /// Tasks cannot be asked how they are.
    #[error("cannot ask tasks how they are")]
    Prober(#[source] reqwest::Error),
    /// `--master` is no address.
    #[error("--master is not usable")]
    Master(#[source] AddressError),
    /// `--zk` is no ZooKeeper address.
    #[error("--zk is not usable")]
    ZooKeeper(#[source] AddressError),
    /// `--role` is no role.
    #[error("--role is not usable")]
    Role(#[source] chapada_model::InvalidRole),
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
    #[error("failed to open the records of the services framework")]
    Open(#[from] OpenRegistryError),
    /// The records cannot be understood.
    #[error("failed to read the records of the services framework")]
    Read(#[from] ReadError),
    /// Changes cannot be made durable any more.
    #[error("failed to store a change")]
    Store(#[from] WriteError),
    /// The master has removed the framework, and its tasks with it.
    #[error("the master has removed this framework: start again, and its apps run under a new framework id")]
    Removed(#[source] RunError),
    /// The master will not have the framework.
    #[error("the subscription to the master has ended")]
    Run(#[from] RunError),
}
