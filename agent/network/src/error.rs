//! Why a network could not be joined or left: one sentence, with the remedy where there is one.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chapada_isolation::IsolationError;

/// Why a network could not be joined or left.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No configuration has this name.
    #[error("the network {name:?} is not known here{known}: give its configuration, {place}{broken}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is instead.
        known: String,
        /// Where configurations are read from.
        place: String,
        /// Files there that make no sense.
        broken: String,
    },
    /// A network was named twice.
    #[error("the network {0:?} is named twice: a container joins a network once")]
    Twice(String),
    /// Ports are to be mapped, and nothing of the network does that.
    #[error(
        "the network {network:?} maps no ports: add the plugin portmap with \"capabilities\": {{\"portMappings\": true}} to its \
         configuration"
    )]
    NoPortMapping {
        /// The network.
        network: String,
    },
    /// A program is missing.
    #[error(
        "the network {network:?} needs the plugin {plugin:?}, which is in none of {}: install it, or name its directory by \
         --network-cni-plugins-dir", paths(.directories)
    )]
    NoPlugin {
        /// The network.
        network: String,
        /// The program's name.
        plugin: String,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
    },
    /// A plugin said no, could not be started, or was not understood.
    #[error("the network {network:?}: plugin {plugin:?} failed to {verb}: {problem}")]
    Plugin {
        /// The network.
        network: String,
        /// The program's name.
        plugin: String,
        /// `join` or `leave`.
        verb: &'static str,
        /// What it said, or what was wrong with that.
        problem: String,
    },
    /// A plugin hung.
    #[error("the network {network:?}: plugin {plugin:?} did not {verb} within {limit:?}, and was killed")]
    Late {
        /// The network.
        network: String,
        /// The program's name.
        plugin: String,
        /// `join` or `leave`.
        verb: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// Nobody waits for the network any more.
    #[error("given up before it was joined")]
    GivenUp,
    /// The namespace.
    #[error("cannot make a network namespace: {}", chain(.0))]
    Namespace(IsolationError),
    /// What a container has joined could not be written down or read.
    #[error("cannot keep what {path} says of a container's networks: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A part of this crate ended by itself.
    #[error("joining a network failed: {0}")]
    Internal(String),
}

impl NetworkError {
    pub(crate) fn record(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Record { path, source }
    }
}

fn paths(directories: &[PathBuf]) -> String {
    let shown: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}

fn chain(error: &IsolationError) -> String {
    format!("{error}: {}", error.source)
}
