//! Operations: what they make is written down before it is admitted, and their outcome is repeated until acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{
    Conversion, DiskKind, ExecutorId, FrameworkId, Mono, Now, OperationId, OperationKey, OperationState,
    OperationStatus, Resource, ResourceError, Resources, Role, Text, UpdateUuid,
};

use crate::agent::Agent;
use crate::effect::Effect;
use crate::record::Record;
use crate::stream::{FIRST_REPEAT, LAST_REPEAT};
use crate::timers::Timer;
use crate::view::OperationView;

/// So many outcomes may be unacknowledged; a master that sends further operations is cut off. It holds each framework to a
/// thousand, so this is ten that acknowledge nothing on this one machine.
pub const MAX_OPERATIONS: usize = 10_000;

/// An operation, as the master sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operate {
    /// The master's name for it.
    pub key: OperationKey,
    /// Whose it is; absent when an operator asked for it.
    pub framework: Option<FrameworkId>,
    /// The framework's name for it, when it gave one.
    pub operation: Option<OperationId>,
    /// What it makes of what.
    pub conversion: Conversion,
}

#[derive(Clone, Debug)]
struct Open {
    status: Arc<OperationStatus>,
    /// Number of its record in this process's log; 0 when it is durable.
    sequence: u64,
    sent: bool,
}

/// What no two volumes have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// Role and id, which its directory is named by.
    Name(Option<Role>, Text),
    /// The root of the disk that it has to itself.
    Disk(Text),
}

impl Display for Mark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(_, id) => write!(f, "volume {id}"),
            Self::Disk(root) => write!(f, "the volume on disk {root}"),
        }
    }
}

fn marks(resources: &Resources) -> BTreeSet<Mark> {
    let of = |volume: &Resource| {
        let disk = volume.disk.as_ref()?;
        let id = disk.persistence.as_ref()?.id.clone();
        let mount = disk.source.as_ref().filter(|source| source.kind == DiskKind::Mount);
        let root = mount.and_then(|source| source.root.clone());
        let name = Mark::Name(volume.reserved_role().cloned(), id);
        Some([name].into_iter().chain(root.map(Mark::Disk)))
    };
    resources.iter().filter_map(of).flatten().collect()
}

/// What operations have made, and those whose outcome is not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Operations {
    /// All that the agent has, with what operations have made of it.
    total: Resources,
    /// What operations have made, as far as the agent has what it was made of.
    made: Resources,
    /// What operations have made of resources that the agent has no more. It is kept, and there again when they are.
    absent: Resources,
    open: BTreeMap<OperationKey, Open>,
    /// Those with records that are not yet durable, in the order of the records.
    unlogged: VecDeque<(u64, OperationKey)>,
    /// Whether volumes were ended by an operation that was not durable.
    volumes_changed: bool,
    /// Which they are: what is in them is still there.
    ending: BTreeSet<Mark>,
    wait: Duration,
    repeat_at: Option<Mono>,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            total: Resources::EMPTY,
            made: Resources::EMPTY,
            absent: Resources::EMPTY,
            open: BTreeMap::new(),
            unlogged: VecDeque::new(),
            volumes_changed: false,
            ending: BTreeSet::new(),
            wait: FIRST_REPEAT,
            repeat_at: None,
        }
    }
}

impl Operations {
    pub(crate) fn restore(&mut self, made: Resources, status: Arc<OperationStatus>) {
        self.made = made;
        if let Some(key) = status.key.clone() {
            self.open.insert(key, Open { status, sequence: 0, sent: false });
        }
    }

    pub(crate) fn restore_acknowledged(&mut self, key: &OperationKey) {
        self.open.remove(key);
    }

    pub(crate) fn total(&self) -> &Resources {
        &self.total
    }

    /// What makes these again when the log is rewritten. Each record says all that was made by then; here all say the same.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        let made = self.all_made();
        let of = made.clone();
        let open = move |open: &Open| Record::Operation { made: of.clone(), status: open.status.clone() };
        [Record::Made(made)].into_iter().chain(self.open.values().map(open))
    }

    pub(crate) fn restore_made(&mut self, made: Resources) {
        self.made = made;
    }

    /// What operations have made, be it there or not.
    fn all_made(&self) -> Resources {
        // They were one before they were told apart.
        self.made.checked_add(&self.absent).unwrap_or_else(|_| self.made.clone())
    }

    /// The statuses that wait for an acknowledgement.
    pub(crate) fn statuses(&self) -> Vec<Arc<OperationStatus>> {
        self.open.values().map(|open| open.status.clone()).collect()
    }

    pub(crate) fn view(&self) -> Vec<OperationView> {
        let view =
            |open: &Open| OperationView { status: open.status.clone(), is_durable: open.sequence == 0 };
        self.open.values().map(view).collect()
    }

    /// Those that may be sent and were not yet on this link; notes them as sent.
    fn take_unsent(&mut self) -> Vec<Arc<OperationStatus>> {
        let ready = self.open.values_mut().filter(|open| open.sequence == 0 && !open.sent);
        ready
            .map(|open| {
                open.sent = true;
                open.status.clone()
            })
            .collect()
    }
}

impl Agent {
    /// Says what this machine is configured with, and what of it tasks and executors have; after the records were restored, before
    /// [`crate::Event::Recovered`]. Reservations and volumes of what it no longer has are not stated to the master, and those
    /// last of which something is in use. They are kept, with what is in them, for the day on which it has it again.
    ///
    /// # Errors
    /// [`ResourceError`] when the records contradict themselves; nothing is changed then.
    pub fn configure(&mut self, resources: &Resources, in_use: &Resources) -> Result<(), ResourceError> {
        let (total, absent) = resources.with_made(&self.operations.all_made(), in_use)?;
        self.operations.made = total.made();
        self.operations.total = total;
        self.operations.absent = absent;
        Ok(())
    }

    /// Reservations and volumes of what the machine no longer has.
    pub fn absent(&self) -> &Resources {
        &self.operations.absent
    }

    /// All that the agent has, with what operations have made of it; nothing before [`Agent::configure`].
    pub fn resources(&self) -> &Resources {
        self.operations.total()
    }

    pub(crate) fn keep_volumes(&mut self) {
        let volumes = |made: &Resources| made.filter(Resource::is_volume);
        let Operations { made, absent, .. } = &self.operations;
        self.effects.push(Effect::KeepVolumes { volumes: volumes(made), absent: volumes(absent) });
    }

    pub(crate) fn operate(&mut self, sequence: u64, operate: Operate) {
        if self.operations.open.contains_key(&operate.key) {
            let reason = format!("operation {} is done already", operate.key);
            return self.effects.push(Effect::Refuse { sequence, reason });
        }
        if self.leaving || self.operations.open.len() >= MAX_OPERATIONS {
            // The master learns from the next statement that it was not done.
            return self.drop_link(format!("operation {} cannot be taken on", operate.key));
        }
        let Operate { key, framework, operation, conversion } = operate;
        let outcome = self.convert(&conversion);
        let (state, message) = match &outcome {
            Ok(()) => (OperationState::Finished, None),
            Err(message) => (OperationState::Failed, Some(message.as_str().into())),
        };
        let converted = if outcome.is_ok() { conversion.converted } else { Resources::EMPTY };
        let status = Arc::new(OperationStatus {
            key: Some(key.clone()),
            operation,
            framework,
            agent: self.id.clone(),
            state,
            message,
            converted,
            uuid: Some(self.ids.update()),
        });
        let record = Record::Operation { made: self.operations.all_made(), status: status.clone() };
        let sequence = self.log(record);
        self.operations.open.insert(key.clone(), Open { status, sequence, sent: false });
        self.operations.unlogged.push_back((sequence, key));
        if let Err(message) = outcome {
            // The master's books are wrong: it must hear all afresh.
            self.drop_link(message);
        }
    }

    /// Changes what there is. New volumes are made first, so that none is ever written down without its directory.
    fn convert(&mut self, conversion: &Conversion) -> Result<(), String> {
        for volume in conversion.converted.filter(Resource::is_volume).iter() {
            let disk = volume.disk.as_ref();
            let id = disk.and_then(|disk| disk.persistence.as_ref()).map_or("", |kept| &*kept.id);
            ExecutorId::new(id).map_err(|error| format!("the volume's id: {error}"))?;
            let source = disk.and_then(|disk| disk.source.as_ref()).map(|source| source.kind);
            if matches!(source, Some(DiskKind::Block | DiskKind::Raw)) {
                return Err(format!("volume {id} is on a disk that holds no files"));
            }
        }
        let (made, ended) = (marks(&conversion.converted), marks(&conversion.consumed));
        if let Some(mark) = made.difference(&ended).find(|mark| self.operations.ending.contains(*mark)) {
            return Err(format!("{mark} was ended just now and is not yet gone: make it again in a moment"));
        }
        if let Some(mark) = marks(&self.operations.absent).iter().find(|mark| made.contains(*mark)) {
            return Err(format!("{mark} is there already, on resources that the agent has no more"));
        }
        conversion
            .apply(&mut self.operations.total)
            .map_err(|error| format!("the agent does not have it: {error}"))?;
        self.operations.ending.extend(ended.difference(&made).cloned());
        self.operations.made = self.operations.total.made();
        let ended = conversion.consumed.filter(Resource::is_volume);
        self.operations.volumes_changed |= !ended.is_empty();
        if !conversion.converted.filter(Resource::is_volume).is_empty() {
            let volumes = conversion.converted.filter(Resource::is_volume);
            self.effects.push(Effect::MakeVolumes { volumes });
        }
        Ok(())
    }

    pub(crate) fn on_operations_logged(&mut self, now: Now) {
        let mut any = false;
        while let Some((sequence, key)) = self.operations.unlogged.front() {
            if *sequence > self.durable {
                break;
            }
            if let Some(open) = self.operations.open.get_mut(key) {
                open.sequence = 0;
            }
            any = true;
            self.operations.unlogged.pop_front();
        }
        if !any {
            return;
        }
        if self.operations.unlogged.is_empty() && std::mem::take(&mut self.operations.volumes_changed) {
            self.operations.ending.clear();
            self.keep_volumes();
        }
        self.deliver_operations(now);
    }

    /// Sends what may be sent and was not yet on this link.
    pub(crate) fn deliver_operations(&mut self, now: Now) {
        if !self.link.is_up() {
            return;
        }
        for status in self.operations.take_unsent() {
            self.effects.push(Effect::SendOperation { status });
        }
        if self.operations.repeat_at.is_none() && self.operations.open.values().any(|open| open.sent) {
            let at = now.mono + self.operations.wait;
            self.operations.wait = (self.operations.wait * 2).min(LAST_REPEAT);
            self.operations.repeat_at = Some(at);
            self.timers.set(at, Timer::Operations);
        }
    }

    pub(crate) fn on_operations_due(&mut self, now: Now) {
        self.operations.repeat_at = None;
        self.operations.open.values_mut().for_each(|open| open.sent = false);
        self.deliver_operations(now);
    }

    /// The link is renewed: everything unacknowledged is sent at once.
    pub(crate) fn repeat_operations(&mut self, now: Now) {
        if let Some(at) = self.operations.repeat_at {
            self.timers.clear(at, Timer::Operations);
        }
        self.operations.wait = FIRST_REPEAT;
        self.on_operations_due(now);
    }

    pub(crate) fn acknowledge_operation(&mut self, key: &OperationKey, uuid: UpdateUuid) {
        let open = self.operations.open.get(key).filter(|open| open.sequence == 0);
        if open.is_some_and(|open| open.status.uuid == Some(uuid)) {
            self.operations.open.remove(key);
            self.operations.wait = FIRST_REPEAT;
            self.log(Record::OperationAcknowledged(key.clone()));
        }
    }
}
