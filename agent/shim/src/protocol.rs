//! What agent and shim say to each other: one JSON object a line, over a Unix socket.
//!
//! On every connection the shim first says how the container stands ([`Event::Starting`], [`Event::Started`] or
//! [`Event::Exited`]), so that a client that comes late has missed nothing.

use chapada_isolation::IsolationError;
use chapada_isolation::cgroup::Cgroups;
use serde::{Deserialize, Serialize};

use crate::exit::{ExitReport, Outcome};
use crate::session::ExecSpec;
use crate::spec::ContainerSpec;

/// Version of every record and message here. A shim refuses an order of another version by name.
pub const PROTOCOL_VERSION: u32 = 1;

/// With it the zygote gets a file that says where the agent's cgroups are, as JSON. It comes first.
pub const ZYGOTE_PLACE: [u8; 1] = *b"p";
/// With it the zygote gets the three files of a shim: order, socket, log.
pub const ZYGOTE_ORDER: [u8; 1] = *b"o";

/// What the agent puts on the shim's standard input: memory, never a file or an argument, as the environment may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchOrder {
    /// [`PROTOCOL_VERSION`] of the agent.
    pub version: u32,
    /// The container.
    pub spec: ContainerSpec,
    /// Where its cgroups go.
    pub cgroups: Cgroups,
}

/// From the agent to the shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Say again how the container stands.
    Status,
    /// Send a signal to the command (its process group under our init; process 1 otherwise).
    Kill {
        /// The signal's number.
        signal: i32,
    },
    /// SIGKILL everything in the container, now.
    Destroy,
    /// Run another program in the container for as long as this connection lasts, which is the session's from now on. Three
    /// open files come along, unless it has a terminal.
    Exec {
        /// The program.
        spec: Box<ExecSpec>,
    },
    /// Write what the command writes from now on to two pipes as well, that of standard output first. Three open files come
    /// along: should the reader not keep up, all are closed, and a byte is written to the third before.
    Attach,
    /// Send the side of the command's terminal that is typed on.
    TakeTerminal,
    /// Send a signal to the process group of this connection's session.
    SignalSession {
        /// The signal's number.
        signal: i32,
    },
}

/// From the shim to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The container is being made; the command does not run yet.
    Starting,
    /// The command runs: `execve` has succeeded.
    Started {
        /// Process 1 of the container, as the host numbers it.
        pid: i32,
        /// Its start time in clock ticks since boot (`/proc/<pid>/stat`), which tells it from a later process of that number.
        start_time: u64,
    },
    /// The container has ended, and that is on disk. The last event: the shim is gone after it.
    Exited {
        /// How.
        report: Box<ExitReport>,
    },
    /// The terminal of this connection's session comes along, an open file.
    SessionTerminal,
    /// The program of this connection's session runs.
    SessionStarted {
        /// Its number on the host.
        pid: i32,
    },
    /// This connection's session has ended, with everything that it started. The last event of the connection.
    SessionEnded {
        /// How the program ended.
        outcome: Outcome,
    },
    /// What [`Request::Attach`] asked for is done.
    Attached,
    /// The terminal of the container's command comes along, an open file that does not block. It is read by the shim alone.
    Terminal,
    /// A request was not carried out; the container goes on.
    Refused {
        /// The request.
        request: Request,
        /// Why.
        message: String,
    },
}

impl Event {
    /// Whether it tells a session something.
    pub(crate) fn is_of_session(&self) -> bool {
        let of_container = matches!(
            self,
            Self::Starting | Self::Started { .. } | Self::Exited { .. } | Self::Attached | Self::Terminal
        );
        !of_container
    }
}

/// Why a container could not be set up. The message is a sentence for the task's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SetupError {
    /// What kind of thing failed.
    pub failure: SetupFailure,
    /// What failed, on what, and the kernel's words.
    pub message: String,
    /// The kernel's error number, if it was the kernel's refusal.
    pub errno: Option<i32>,
}

/// What kind of thing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupFailure {
    /// The order itself: its version or a field.
    Order,
    /// The user is unknown here.
    User,
    /// The sandbox, or a file in it.
    Sandbox,
    /// The root file system, or a file in it.
    Root,
    /// A volume, or its place.
    Volume,
    /// A cgroup.
    Cgroup,
    /// A namespace or a mount.
    Namespace,
    /// Capabilities, user ids, limits.
    Privileges,
    /// The command is missing or not executable.
    Command,
    /// The shim's own means: a pipe, a socket, a file of its runtime directory.
    Shim,
}

impl SetupError {
    /// A failure of this kind, for this reason.
    pub fn new(failure: SetupFailure, error: &IsolationError) -> Self {
        Self { failure, message: format!("{error}: {}", error.source), errno: error.errno() }
    }
}
