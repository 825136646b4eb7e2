//! Why an agent cannot start, or stopped. One sentence each: what is wrong and what to do.

use std::io;
use std::path::PathBuf;

use chapada_agent_log::LogError;

/// Why an agent cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A flag makes no sense.
    #[error("--{flag}: {problem}")]
    Flag {
        /// The flag, without dashes.
        flag: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A directory of the agent's.
    #[error("cannot {operation} {path}")]
    Directory {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Another agent works there.
    #[error("another agent works in {0}: stop it, or give this one a --work-dir of its own")]
    WorkDirInUse(PathBuf),
    /// The log.
    #[error("the agent's log failed")]
    Log(#[from] LogError),
    /// The kernel does not give what containers need.
    #[error("cannot make containers here: run the agent as root, on Linux 5.19 or later")]
    Containers(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The images of this machine.
    #[error("cannot open the images: {}", .0.chain())]
    Images(std::sync::Arc<chapada_images::ImageError>),
    /// What earlier containers joined.
    #[error("cannot find the networks of before")]
    Networks(#[source] chapada_network::NetworkError),
    /// What earlier containers left.
    #[error(
        "cannot find the containers of before: move the directory named below away to start without them"
    )]
    Recover(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The port.
    #[error(transparent)]
    Listen(#[from] chapada_listener::ListenError),
    /// Something about the machine could not be read.
    #[error("cannot read {what} of this machine")]
    Machine {
        /// What.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The operator allows no such change.
    #[error(
        "--reconfiguration-policy does not allow this agent's change of {0}: start it as before, or with the policy 'any', \
         which keeps its tasks"
    )]
    Reconfigured(String),
    /// The work directory is that of an agent with another hostname.
    #[error(
        "this work directory is that of agent {was}, and this one is {is}: start it with --hostname={was}, or give it a work \
         directory of its own, with which it is a new agent"
    )]
    Renamed {
        /// What it was called.
        was: String,
        /// What it is called now.
        is: String,
    },
    /// Records of reservations and volumes contradict themselves.
    #[error("the agent's log has reservations or volumes twice")]
    Made(#[source] chapada_model::ResourceError),
    /// A part of the agent ended by itself.
    #[error("the agent's {0} ended by itself")]
    Ended(&'static str),
}

impl AgentError {
    pub(crate) fn flag(flag: &'static str, problem: impl ToString) -> Self {
        Self::Flag { flag, problem: problem.to_string() }
    }

    pub(crate) fn directory(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Directory { operation, path, source }
    }
}
