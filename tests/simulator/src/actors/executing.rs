//! Launches on executors: task groups on the built-in one, tasks and groups on executors of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Offer, Operation, Proposal, SchedulerEvent, TaskGroup};
use chapada_model::{
    AgentId, ExecutorDescription, ExecutorId, ExecutorKind, Filters, Payload, Resources, TaskDescription,
    TaskId, TaskStatus,
};

use super::{Actor, News, Store, Turn, ids, task};

/// So many tasks at once at most, so that others find room.
const MAX_TASKS: usize = 5;

/// What each task needs, and each executor beside its tasks.
const LITTLE: &str = "cpus:0.1;mem:32";
const OF_EXECUTOR: &str = "cpus:0.1;mem:32;disk:1";

/// Launches, kills, shuts down and sends messages in any order.
#[derive(Debug)]
pub(crate) struct Executing {
    index: usize,
    /// Stored: no id is used twice.
    launched: u64,
    executors: u64,
    live: BTreeSet<TaskId>,
    /// Where it believes its executors to be.
    places: BTreeMap<ExecutorId, AgentId>,
}

impl Actor for Executing {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match news {
            News::Subscribed => {
                turn.calls.push(Call::Reconcile { tasks: Vec::new() });
                turn.wake = Some(turn.now + Duration::from_secs(1));
            }
            News::Event(SchedulerEvent::Offers(offers)) => {
                offers.iter().for_each(|offer| self.on_offer(turn, offer));
            }
            News::Event(SchedulerEvent::Update(status)) => self.on_update(turn, &status),
            News::Event(SchedulerEvent::Failure { executor: Some(executor), .. }) => {
                self.places.remove(&executor);
            }
            News::Started | News::Command(_) | News::Event(_) | News::Disconnected => {}
            News::Woken => self.on_time(turn),
        }
    }

    fn restart(&mut self, _store: &Store) {
        self.live.clear();
        self.places.clear();
    }
}

impl Executing {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, launched: 0, executors: 0, live: BTreeSet::new(), places: BTreeMap::new() }
    }

    fn on_offer(&mut self, turn: &mut Turn<'_>, offer: &Arc<Offer>) {
        let refuse = Duration::from_millis(turn.rng.below(8_000));
        let has_room = self.live.len() < MAX_TASKS && turn.stormy;
        match turn.rng.below(8) {
            _ if !has_room => turn.decline(ids(std::slice::from_ref(offer)), refuse),
            0 => turn.decline(ids(std::slice::from_ref(offer)), refuse),
            1 => {}
            _ => {
                let executor = self.executor(turn, offer);
                let operation = self.launch(turn, offer, executor);
                turn.calls.push(Call::Accept(Accept {
                    offers: vec![offer.id.clone()],
                    operations: vec![operation],
                    filters: Filters { refuse },
                }));
            }
        }
    }

    /// One that runs there, or another.
    fn executor(&mut self, turn: &mut Turn<'_>, offer: &Offer) -> ExecutorDescription {
        let runs = turn.rng.pick(&offer.executors).cloned().filter(|_| !turn.rng.once_in(3));
        let id = runs.unwrap_or_else(|| {
            self.executors += 1;
            let kind = if turn.rng.once_in(2) { "pod" } else { "own" };
            ExecutorId::new(format!("{kind}{}-{}", self.index, self.executors)).expect("a valid id")
        });
        self.places.insert(id.clone(), offer.agent.clone());
        describe(id, &offer.resources)
    }

    fn launch(&mut self, turn: &mut Turn<'_>, offer: &Offer, executor: ExecutorDescription) -> Operation {
        let is_group = executor.kind == ExecutorKind::Default || turn.rng.once_in(2);
        let each = if turn.rng.once_in(12) { "cpus:99" } else { LITTLE };
        let mut tasks = Vec::new();
        for _ in 0..1 + turn.rng.place(3) {
            self.launched += 1;
            let id = TaskId::new(format!("x{}-{}", self.index, self.launched)).expect("a valid id");
            self.live.insert(id.clone());
            let plain = task(id, &offer.agent, each.parse().expect("valid resources"));
            let own =
                TaskDescription { has_command: false, executor: Some(executor.clone()), ..plain.clone() };
            tasks.push(Proposal::Valid(Box::new(if is_group { plain } else { own })));
        }
        match is_group {
            true => {
                Operation::LaunchGroup(TaskGroup { executor: Some(Box::new(executor)), tasks, problem: None })
            }
            false => Operation::Launch { tasks },
        }
    }

    fn on_update(&mut self, turn: &mut Turn<'_>, status: &TaskStatus) {
        match status.state.is_terminal() {
            true => self.live.remove(&status.task),
            false => self.live.insert(status.task.clone()),
        };
        // Now and then it acknowledges only what is repeated.
        if !(turn.stormy && turn.rng.once_in(10)) {
            turn.acknowledge(status);
        }
    }

    fn on_time(&mut self, turn: &mut Turn<'_>) {
        turn.wake = Some(turn.now + turn.rng.between(Duration::from_millis(500), Duration::from_secs(15)));
        if !turn.stormy {
            return;
        }
        let task = self.live.iter().nth(turn.rng.place(self.live.len())).cloned();
        let place = self.places.iter().nth(turn.rng.place(self.places.len()));
        let place = place.map(|(executor, agent)| (executor.clone(), agent.clone()));
        match (turn.rng.below(6), task, place) {
            (0, Some(task), _) => turn.calls.push(Call::Kill { task, agent: None, policy: None }),
            (1, Some(task), _) => turn.calls.push(Call::Reconcile { tasks: vec![(task, None)] }),
            (2, _, Some((executor, agent))) => turn.calls.push(Call::Shutdown { agent, executor }),
            (3 | 4, _, Some((executor, agent))) => {
                let data = Payload::from(b"how are you".to_vec());
                turn.calls.push(Call::Message { agent, executor, data });
            }
            _ => turn.calls.push(Call::Revive { roles: Vec::new() }),
        }
    }
}

/// The same id is always the same executor. That of a pod needs disk, which not every agent has.
fn describe(id: ExecutorId, offered: &Resources) -> ExecutorDescription {
    let is_pod = id.as_str().starts_with("pod");
    let has_disk = !offered.disk().is_zero();
    ExecutorDescription {
        framework: None,
        kind: if is_pod { ExecutorKind::Default } else { ExecutorKind::Custom },
        resources: if has_disk { OF_EXECUTOR } else { LITTLE }.parse().expect("valid resources"),
        has_command: !is_pod,
        name: None,
        details: Payload::default(),
        id,
    }
}
