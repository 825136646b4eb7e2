//! What all handles of one framework and its connection share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chapada_coordination::LeaderInfo;
use chapada_model::{AgentId, FrameworkId, Mono, TaskId};
use chapada_sdk_core::{Reconciliation, Round};
use chapada_wire::v1;
use chapada_wire::v1::scheduler as api;
use chapada_wire::v1::scheduler::call::Type;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::CallError;
use crate::config::{FrameworkConfig, Reconcile};

/// What the driver's handles and the connection share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) outgoing: watch::Sender<Option<Outgoing>>,
    pub(super) framework: watch::Sender<Option<FrameworkId>>,
    reconciliation: Mutex<Reconciliation>,
    /// How the framework presents itself, at the next subscription too.
    config: Mutex<FrameworkConfig>,
    /// Something about the reconciliation's time has changed.
    pub(crate) rearmed: Notify,
    began: Instant,
    /// Leave the master and end.
    pub(crate) stop: CancellationToken,
    /// Wait for the master to end the subscription, then end.
    pub(crate) finish: CancellationToken,
    pub(super) tearing_down: AtomicBool,
    pub(super) abandoned: AtomicBool,
    pub(super) aborted: Mutex<Option<String>>,
}

/// The current subscription.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) framework: FrameworkId,
    pub(super) calls: mpsc::Sender<api::Call>,
    /// The master that leads.
    pub(super) master: LeaderInfo,
}

impl Shared {
    pub(crate) fn new(framework: Option<FrameworkId>, config: FrameworkConfig) -> Self {
        Self {
            outgoing: watch::Sender::new(None),
            framework: watch::Sender::new(framework),
            reconciliation: Mutex::new(Reconciliation::new(config.reconciliation)),
            config: Mutex::new(config),
            rearmed: Notify::new(),
            began: Instant::now(),
            stop: CancellationToken::new(),
            finish: CancellationToken::new(),
            tearing_down: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            aborted: Mutex::new(None),
        }
    }

    pub(crate) fn now(&self) -> Mono {
        Mono(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(&self, mono: Mono) -> Instant {
        self.began + Duration::from_nanos(mono.0)
    }

    /// Nothing panics while it is held, and it is never held across an await.
    pub(crate) fn reconciliation(&self) -> MutexGuard<'_, Reconciliation> {
        self.reconciliation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing panics while it is held, and it is never held across an await.
    pub(crate) fn config(&self) -> MutexGuard<'_, FrameworkConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn aborted(&self) -> Option<String> {
        self.aborted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn is_tearing_down(&self) -> bool {
        self.tearing_down.load(Ordering::SeqCst)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }

    pub(crate) fn framework(&self) -> Option<FrameworkId> {
        self.framework.borrow().clone()
    }

    pub(crate) fn open(&self, framework: &FrameworkId, calls: mpsc::Sender<api::Call>, master: LeaderInfo) {
        self.framework.send_replace(Some(framework.clone()));
        self.outgoing.send_replace(Some(Outgoing { framework: framework.clone(), calls, master }));
    }

    /// Whether there was a subscription to close.
    pub(crate) fn close(&self) -> bool {
        self.reconciliation().pause();
        self.outgoing.send_replace(None).is_some()
    }

    /// Asks about each task that these launch, should nothing be heard of it: the master may refuse a launch without a word to us.
    pub(super) fn note_launches(&self, operations: &[v1::offer::Operation]) {
        if self.config().reconcile == Reconcile::Explicitly {
            return;
        }
        let now = self.now();
        let mut reconciliation = self.reconciliation();
        for task in operations.iter().flat_map(launched) {
            if let Some(Ok(id)) = task.task_id.as_ref().map(TaskId::try_from) {
                let agent = task.agent_id.as_ref().and_then(|agent| agent.try_into().ok());
                reconciliation.launched(now, id, agent);
            }
        }
        drop(reconciliation);
        self.rearmed.notify_one();
    }

    pub(super) fn prepare(
        &self,
        kind: Type,
        fill: impl FnOnce(&mut api::Call),
    ) -> Result<api::Call, CallError> {
        if self.is_tearing_down() && kind != Type::Teardown {
            return Err(CallError::Disconnected);
        }
        let outgoing = self.outgoing.borrow();
        let framework = &outgoing.as_ref().ok_or(CallError::Disconnected)?.framework;
        let mut call = api::Call { framework_id: Some(framework.into()), ..Default::default() };
        call.set_type(kind);
        fill(&mut call);
        Ok(call)
    }

    pub(super) async fn send(&self, call: api::Call) -> Result<(), CallError> {
        let outgoing = self.outgoing.borrow().clone().ok_or(CallError::Disconnected)?;
        outgoing.calls.send(call).await.map_err(|_| CallError::Disconnected)
    }

    /// Without waiting for room; the next round asks again.
    pub(crate) fn try_reconcile(&self, round: Round) {
        let prepared =
            self.prepare(Type::Reconcile, |call| call.reconcile = Some(reconcile(round.into_tasks())));
        let outgoing = self.outgoing.borrow().clone();
        if let (Ok(call), Some(outgoing)) = (prepared, outgoing)
            && outgoing.calls.try_send(call).is_err()
        {
            tracing::debug!("a round of reconciliation was left out: the connection is full");
        }
    }
}

fn launched(operation: &v1::offer::Operation) -> impl Iterator<Item = &v1::TaskInfo> {
    let alone = operation.launch.iter().flat_map(|launch| &launch.task_infos);
    let groups = operation.launch_group.iter().filter_map(|launch| launch.task_group.as_ref());
    alone.chain(groups.flat_map(|group| &group.tasks))
}

pub(super) fn reconcile(tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>) -> api::call::Reconcile {
    let task = |(task, agent): (TaskId, Option<AgentId>)| api::call::reconcile::Task {
        task_id: Some((&task).into()),
        agent_id: agent.as_ref().map(Into::into),
    };
    api::call::Reconcile { tasks: tasks.into_iter().map(task).collect() }
}
