//! What will happen, in the order in which it will.

use std::collections::BTreeMap;

use chapada_master_core::{Call, Caller, RegistryChange, Ticket};
use chapada_model::{ContainerId, ExecutorKey, Mono};

use crate::message::Message;
use crate::node::Node;
use crate::nodes::Act;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A message arrives at an end of a wire.
    Deliver { wire: u64, up: bool, message: Box<Message> },
    /// An end of a wire finds that it is broken.
    Learn { wire: u64, at_client: bool },
    /// A call on a connection of its own arrives; its framework counts them.
    Call { master: usize, caller: Box<Caller>, call: Box<Call>, number: u64 },
    /// A core asked to be woken.
    Wake(Node),
    /// A client looks for the leader.
    Connect { node: Node, process: u64 },
    /// A client was not answered on a wire.
    Unanswered { node: Node, wire: u64 },
    /// A disk has written what it was asked to when it began.
    Synced { agent: usize, process: u64, through: u64 },
    /// A container's first process runs, or cannot.
    Started { agent: usize, container: ContainerId },
    /// A container's processes are gone.
    Exited { agent: usize, container: ContainerId, end: End },
    /// The program of an executor does something, hears or has said something.
    Executor { agent: usize, container: ContainerId, act: Act },
    /// A process of an agent finds that the stream of an executor is broken.
    StreamLost { agent: usize, process: u64, executor: ExecutorKey, stream: u64 },
    /// A change arrives at the registry.
    Write { master: usize, ticket: Ticket, change: Box<RegistryChange> },
    /// The registry's answer arrives.
    Recorded { master: usize, ticket: Ticket },
    /// The first in line hears that it is.
    Elect,
    /// A master that was deposed finds out.
    StepDown { master: usize },
    /// A process starts again.
    Restart { node: Node, process: u64 },
    /// The process of an agent ends in the middle of writing.
    Crash { agent: usize, process: u64 },
    /// Space is there again, or the disk is fast again.
    DiskMended { agent: usize },
    /// An operator may want something.
    Operator,
    /// Something breaks.
    Fault,
    /// Nothing breaks any more.
    Calm,
    /// A master's process opens a session and stands in line.
    StandInLine { machine: usize },
    /// The ensemble has waited for a session for long enough.
    Expire { machine: usize, session: u64, cut: u64 },
    /// A client of the ensemble finds its connection broken.
    Disconnected { machine: usize, cut: u64 },
    /// It reaches the ensemble again.
    Reconnect { machine: usize, cut: u64 },
    /// A process that was stopped goes on.
    Continue { machine: usize, cut: u64 },
    /// A client has heard nothing of a stopped process for so long that it gives its connection up.
    Unheard { machine: usize, cut: u64, wire: u64 },
    /// The ensemble has a quorum again.
    QuorumBack { outage: u64 },
    /// The registry has space again.
    RegistryMended,
}

/// How a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(u8),
    Signal(i32),
    OutOfMemory,
}

/// Happenings by time, those of one moment in the order in which they were put in.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    by_time: BTreeMap<(Mono, u64), Happening>,
    last: u64,
}

impl Queue {
    pub(crate) fn put(&mut self, at: Mono, happening: Happening) {
        self.last += 1;
        self.by_time.insert((at, self.last), happening);
    }

    pub(crate) fn next_at(&self) -> Option<Mono> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn take(&mut self) -> Option<(Mono, Happening)> {
        self.by_time.pop_first().map(|((at, _), happening)| (at, happening))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }
}
