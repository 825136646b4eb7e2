//! What the agent has to say to the master.

use chapada_agent_core::{HeldTask, Holding, TaskRecord, TaskView, Update};
use chapada_model::{ExecutorId, ExecutorKey, OperationStatus, Payload, TaskKey, TaskState};
use chapada_wire::convert::{ReservationFormat, resources_to_wire};
use chapada_wire::link::{self, FromAgent, from_agent};
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::PROTOCOL_VERSION;
use super::session::Presentation;
use crate::outward::{self, Identity};

/// Messages that may wait for the network. A renewed link sends every unacknowledged update at once, at most a handful
/// for each of the tasks an agent holds; a master that has not read that many is cut off and starts afresh.
const QUEUE: usize = 256 * 1024;
/// A page of what is held is closed before it would be larger: messages are at most 256 KiB.
const PAGE_BYTES: usize = 200 * 1024;

/// The sending half of one link.
#[derive(Debug)]
pub(crate) struct Outbox {
    messages: mpsc::Sender<FromAgent>,
    closed: CancellationToken,
}

/// The master does not read.
#[derive(Debug, thiserror::Error)]
#[error("the link is closed, or {QUEUE} messages wait for the master to read them")]
pub(crate) struct OutboxFull;

impl Outbox {
    /// An outbox, what is sent from it, and what ends the link when the outbox is closed.
    pub(crate) fn new() -> (Self, mpsc::Receiver<FromAgent>, CancellationToken) {
        let (messages, sent) = mpsc::channel(QUEUE);
        let closed = CancellationToken::new();
        (Self { messages, closed: closed.clone() }, sent, closed)
    }

    /// A second handle to the same link, for heartbeats.
    pub(crate) fn share(&self) -> Self {
        Self { messages: self.messages.clone(), closed: self.closed.clone() }
    }

    /// Ends the link.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Says who we are and all that we hold.
    pub(crate) fn hello(
        &self,
        who: &Presentation,
        holding: &Holding,
        identity: Option<&Identity>,
    ) -> Result<(), OutboxFull> {
        self.send(holding.epoch, from_agent::Message::Hello(hello(who, holding)))?;
        let mut page = link::Holding {
            frameworks: holding.frameworks.iter().filter_map(|record| outward::framework(record)).collect(),
            ..link::Holding::default()
        };
        let mut pages = Vec::new();
        split_frameworks(&mut page, &mut pages);
        let mut bytes = page.encoded_len();
        for task in &holding.tasks {
            let held = held(task, identity);
            let more = held.encoded_len();
            if bytes + more > PAGE_BYTES && bytes > 0 {
                pages.push(std::mem::take(&mut page));
                bytes = 0;
            }
            bytes += more;
            page.tasks.push(held);
        }
        for executor in &holding.executors {
            let held = outward::executor(executor);
            let more = held.encoded_len();
            if bytes + more > PAGE_BYTES && bytes > 0 {
                pages.push(std::mem::take(&mut page));
                bytes = 0;
            }
            bytes += more;
            page.executors.push(held);
        }
        for status in &holding.operations {
            let operation = operation_message(status);
            let more = operation.encoded_len();
            if bytes + more > PAGE_BYTES && bytes > 0 {
                pages.push(std::mem::take(&mut page));
                bytes = 0;
            }
            bytes += more;
            page.operations.push(operation);
        }
        page.last = true;
        pages.push(page);
        pages.into_iter().try_for_each(|page| self.send(holding.epoch, from_agent::Message::Holding(page)))
    }

    /// Sends a status.
    pub(crate) fn update(&self, epoch: u64, update: link::Update) -> Result<(), OutboxFull> {
        self.send(epoch, from_agent::Message::Update(update))
    }

    /// Tells of tasks that were over before, as many of the first as one message takes.
    pub(crate) fn completed(
        &self,
        epoch: u64,
        tasks: &[TaskView],
        identity: &Identity,
    ) -> Result<(), OutboxFull> {
        let (mut completed, mut bytes) = (link::CompletedTasks::default(), 0);
        for task in tasks {
            let TaskView { record, newest, acknowledged, .. } = task.clone();
            let task = held(&HeldTask { record, latest: newest, acknowledged }, Some(identity));
            let more = task.encoded_len();
            // One that fits nowhere is no reason to be silent about the others.
            if more > PAGE_BYTES {
                continue;
            }
            bytes += more;
            if bytes > PAGE_BYTES {
                break;
            }
            completed.tasks.push(task);
        }
        self.send(epoch, from_agent::Message::CompletedTasks(completed))
    }

    /// Says what became of an operation.
    pub(crate) fn operation(&self, epoch: u64, status: &OperationStatus) -> Result<(), OutboxFull> {
        self.send(epoch, from_agent::Message::OperationUpdate(operation_message(status)))
    }

    /// Passes bytes of an executor on to its framework.
    pub(crate) fn message(&self, epoch: u64, key: &ExecutorKey, data: &Payload) -> Result<(), OutboxFull> {
        let message = link::FrameworkMessage {
            framework_id: key.framework.to_string(),
            executor_id: key.executor.to_string(),
            data: data.as_bytes().to_vec(),
        };
        self.send(epoch, from_agent::Message::FrameworkMessage(message))
    }

    /// Says that an executor is over.
    pub(crate) fn executor_gone(&self, epoch: u64, key: &ExecutorKey, status: i32) -> Result<(), OutboxFull> {
        let gone = link::ExecutorGone {
            framework_id: key.framework.to_string(),
            executor_id: key.executor.to_string(),
            status,
            message: String::new(),
        };
        self.send(epoch, from_agent::Message::ExecutorGone(gone))
    }

    pub(crate) fn refused(&self, epoch: u64, sequence: u64, reason: String) -> Result<(), OutboxFull> {
        self.send(epoch, from_agent::Message::CommandRefused(link::CommandRefused { sequence, reason }))
    }

    pub(crate) fn heartbeat(&self) -> Result<(), OutboxFull> {
        self.send(0, from_agent::Message::Heartbeat(link::Heartbeat {}))
    }

    fn send(&self, seen_epoch: u64, message: from_agent::Message) -> Result<(), OutboxFull> {
        let message = FromAgent { seen_epoch, message: Some(message) };
        self.messages.try_send(message).map_err(|_| OutboxFull)
    }
}

fn held(task: &HeldTask, identity: Option<&Identity>) -> link::HeldTask {
    outward::held(task, identity)
}

fn operation_message(status: &OperationStatus) -> link::OperationUpdate {
    link::OperationUpdate {
        key: status.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        framework_id: status.framework.as_ref().map(ToString::to_string).unwrap_or_default(),
        status: Some(status.into()),
    }
}

/// Closes a page for as many frameworks as fill one.
fn split_frameworks(page: &mut link::Holding, pages: &mut Vec<link::Holding>) {
    let all = std::mem::take(&mut page.frameworks);
    let mut bytes = 0;
    for framework in all {
        let more = framework.encoded_len();
        if bytes + more > PAGE_BYTES && bytes > 0 {
            pages.push(std::mem::take(page));
            bytes = 0;
        }
        bytes += more;
        page.frameworks.push(framework);
    }
}

fn hello(who: &Presentation, holding: &Holding) -> link::Hello {
    let mut info = who.info.clone();
    info.resources = resources_to_wire(&holding.resources, ReservationFormat::Stacked);
    info.id = holding.agent.as_ref().map(|id| chapada_wire::v1::AgentId { value: Some(id.to_string()) });
    link::Hello {
        protocol_version: PROTOCOL_VERSION,
        agent_info: Some(info),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: who.address.clone(),
        boot_id: who.boot_id.clone(),
        capabilities: who.capabilities.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// The link's form of an update.
pub(crate) fn update_message(
    key: &TaskKey,
    record: Option<&TaskRecord>,
    executor: Option<&ExecutorId>,
    update: &Update,
    latest: TaskState,
    identity: &Identity,
) -> link::Update {
    let status = match record {
        Some(record) => outward::status(record, update, identity),
        None => outward::bare_status(key.task.as_str(), update, identity),
    };
    link::Update {
        framework_id: key.framework.to_string(),
        status: Some(status),
        latest_state: latest.number(),
        executor_id: executor.map(ToString::to_string).unwrap_or_default(),
    }
}
