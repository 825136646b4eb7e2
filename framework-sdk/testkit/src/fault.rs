//! What can go wrong.

use std::time::Duration;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// As by kill -9. It starts again half a second later, with its store.
    KillScheduler,
    /// Another process takes its place. The scheduler stands in line again, and is elected soon.
    DeposeScheduler,
    /// Another process takes its place, and it does not hear of it: only its writes fail.
    DeposeUnheard,
    /// Another process takes its place and subscribes as its framework before it hears of it: the master ends its subscription, and
    /// its writes fail.
    TakeOver,
    /// It cannot reach the others, as by a loss of ZooKeeper alone: for so long it cannot tell whether it leads, and its writes wait.
    CutFromElection {
        /// Until it leads on.
        lasts: Duration,
    },
    /// The connection breaks.
    Disconnect,
    /// Another master leads. It knows of an agent and its tasks once that has come back to it.
    FailOver {
        /// When all agents come back.
        agents_return_after: Duration,
    },
}

/// What becomes of the call at which a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It reaches the master, and the tasks their agent.
    Arrives,
    /// It is lost on its way, as happens when the connection breaks: with a fault that leaves it up nobody would know.
    Lost,
}
