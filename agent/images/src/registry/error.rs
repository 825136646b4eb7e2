//! Why a registry did not give what it was asked for.

use std::io;

use crate::digest::Digest;

/// Why a registry did not give what it was asked for. No text holds a credential, a token or a query.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection, or one that broke.
    #[error("the registry {host} cannot be reached")]
    Unreachable {
        /// Who.
        host: String,
        /// Without the address, which may hold a signature.
        #[source]
        source: reqwest::Error,
    },
    /// It is there and brings nothing.
    #[error("the registry {host} brings nothing, or too little to wait for")]
    Stalled {
        /// Who.
        host: String,
    },
    /// It says no.
    #[error("the registry {host} refuses: {status}")]
    Refused {
        /// Who.
        host: String,
        /// The status of HTTP.
        status: u16,
    },
    /// It has no such thing.
    #[error("the registry {host} has no such image")]
    NotFound {
        /// Who.
        host: String,
    },
    /// It wants to know who we are, and is not content.
    #[error("the registry {host} wants other credentials than it was given")]
    Denied {
        /// Who.
        host: String,
    },
    /// It asks for credentials in a way nobody knows, or sends us around.
    #[error("the registry {host} answers in a way that is not understood: {reason}")]
    Misspoken {
        /// Who.
        host: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// What it leads to is not to be spoken to.
    #[error("the registry leads to {host}, which is {reason}")]
    Forbidden {
        /// Where.
        host: String,
        /// Why not.
        reason: &'static str,
    },
    /// The name of a registry that cannot be one.
    #[error("{0:?} is no address of a registry")]
    Address(String),
    /// Something that should be small is not.
    #[error("the registry sends more than the {limit} bytes it announced or may send")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Less than announced, and no more comes.
    #[error("the registry {host} ended a transfer early")]
    Short {
        /// Who.
        host: String,
    },
    /// It sends something else.
    #[error("the registry sends something else than was asked for: {found} instead of {expected}")]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The disk.
    #[error("cannot write down what the registry sends")]
    Disk(#[source] io::Error),
    /// The configuration.
    #[error("the certificates of authorities for registries cannot be used")]
    Authorities(#[source] reqwest::Error),
    /// The agent stops.
    #[error("the agent stops")]
    Stopped,
}

impl RegistryError {
    /// Whether another attempt may go better.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::Short { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status == 408 || *status >= 500,
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Misspoken { .. }
            | Self::Forbidden { .. }
            | Self::Address(_)
            | Self::TooLarge { .. }
            | Self::WrongDigest { .. }
            | Self::Disk(_)
            | Self::Authorities(_)
            | Self::Stopped => false,
        }
    }
}
