//! The handle by which a scheduler speaks to the master.

mod executors;
mod operations;
mod shared;
mod wishes;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use chapada_model::{
    AgentId, Filters, FrameworkId, KillPolicy, Mono, OfferId, TaskDescription, TaskId, TaskStatus,
};
use chapada_wire::v1;
use chapada_wire::v1::scheduler as api;
use chapada_wire::v1::scheduler::call::Type;

use crate::sandbox::{self, SandboxError};
pub(crate) use shared::Shared;
use shared::reconcile;

/// Speaks to the leading master. Cheap to clone; usable from any task.
///
/// A call that returns `Ok` was handed to the connection. What comes of it arrives as events, or not at all when the
/// connection breaks: reconcile, as the driver does by itself after each subscription.
#[derive(Clone, Debug)]
pub struct Driver {
    pub(crate) shared: Arc<Shared>,
}

/// Why a call was not made. It has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No subscription at the moment; one follows.
    #[error("not subscribed to a master at the moment")]
    Disconnected,
    /// The status has no uuid or no agent, so it wants no acknowledgement.
    #[error("this update wants no acknowledgement")]
    NothingToAcknowledge,
}

impl Driver {
    /// Launches tasks on offers of one agent. What they leave over is declined with `filters`.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn launch(
        &self,
        offers: impl IntoIterator<Item = OfferId>,
        tasks: Vec<TaskDescription>,
        filters: Filters,
    ) -> Result<(), CallError> {
        let mut operation = v1::offer::Operation {
            launch: Some(v1::offer::operation::Launch { task_infos: tasks.iter().map(Into::into).collect() }),
            ..Default::default()
        };
        operation.set_type(v1::offer::operation::Type::Launch);
        self.accept(offers, vec![operation], filters).await
    }

    /// Accepts offers of one agent with any operations.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn accept(
        &self,
        offers: impl IntoIterator<Item = OfferId>,
        operations: Vec<v1::offer::Operation>,
        filters: Filters,
    ) -> Result<(), CallError> {
        self.shared.note_launches(&operations);
        let accept =
            api::call::Accept { offer_ids: ids(offers), operations, filters: Some(wire_filters(filters)) };
        self.call(Type::Accept, |call| call.accept = Some(accept)).await
    }

    /// Gives offers back. The same or less of those agents is not offered again before `filters.refuse` has passed.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn decline(
        &self,
        offers: impl IntoIterator<Item = OfferId>,
        filters: Filters,
    ) -> Result<(), CallError> {
        let decline = api::call::Decline { offer_ids: ids(offers), filters: Some(wire_filters(filters)) };
        self.call(Type::Decline, |call| call.decline = Some(decline)).await
    }

    /// Agrees to leave machines.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn accept_inverse_offers(
        &self,
        offers: impl IntoIterator<Item = OfferId>,
        filters: Filters,
    ) -> Result<(), CallError> {
        let accept = api::call::AcceptInverseOffers {
            inverse_offer_ids: ids(offers),
            filters: Some(wire_filters(filters)),
        };
        self.call(Type::AcceptInverseOffers, |call| call.accept_inverse_offers = Some(accept)).await
    }

    /// Wants to stay on machines. The operator hears of it and may go on all the same.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn decline_inverse_offers(
        &self,
        offers: impl IntoIterator<Item = OfferId>,
        filters: Filters,
    ) -> Result<(), CallError> {
        let decline = api::call::DeclineInverseOffers {
            inverse_offer_ids: ids(offers),
            filters: Some(wire_filters(filters)),
        };
        self.call(Type::DeclineInverseOffers, |call| call.decline_inverse_offers = Some(decline)).await
    }

    /// Ends a task; its last update tells when it has ended. Without a policy the task's own holds.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn kill(
        &self,
        task: &TaskId,
        agent: Option<&AgentId>,
        policy: Option<KillPolicy>,
    ) -> Result<(), CallError> {
        let kill = api::call::Kill {
            task_id: Some(task.into()),
            agent_id: agent.map(Into::into),
            kill_policy: policy.as_ref().map(Into::into),
        };
        self.call(Type::Kill, |call| call.kill = Some(kill)).await
    }

    /// Asks once for the latest state of these tasks, or of all of the framework when none is named.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn reconcile(
        &self,
        tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>,
    ) -> Result<(), CallError> {
        let call = self.shared.prepare(Type::Reconcile, |call| call.reconcile = Some(reconcile(tasks)))?;
        self.shared.send(call).await
    }

    /// Asks for these tasks, again and again with growing pauses, until an update has come for each. Once only with
    /// [`Reconcile::Explicitly`](crate::Reconcile).
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn reconcile_until_answered(
        &self,
        tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>,
    ) -> Result<(), CallError> {
        let now = self.shared.now();
        let rounds = self.shared.reconciliation().add(now, tasks);
        self.shared.rearmed.notify_one();
        for round in rounds {
            self.reconcile(round.into_tasks()).await?;
        }
        Ok(())
    }

    /// Says that an update was handled, so that it does not come again. Only with
    /// [`Acknowledge::Explicitly`](crate::Acknowledge); otherwise the driver does it.
    ///
    /// # Errors
    /// When not subscribed, or the update has nothing to acknowledge ([`TaskStatus::uuid`]).
    pub async fn acknowledge(&self, status: &TaskStatus) -> Result<(), CallError> {
        let (Some(uuid), Some(agent)) = (&status.uuid, &status.agent) else {
            return Err(CallError::NothingToAcknowledge);
        };
        let acknowledge = api::call::Acknowledge {
            agent_id: Some(agent.into()),
            task_id: Some((&status.task).into()),
            uuid: Some(uuid.0.to_vec()),
        };
        self.call(Type::Acknowledge, |call| call.acknowledge = Some(acknowledge)).await
    }

    /// Any call at all. Its framework id is filled in.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn send(&self, mut call: api::Call) -> Result<(), CallError> {
        let outgoing = self.shared.outgoing.borrow().clone().ok_or(CallError::Disconnected)?;
        call.framework_id = Some((&outgoing.framework).into());
        outgoing.calls.send(call).await.map_err(|_| CallError::Disconnected)
    }

    /// Leaves the master and lets the tasks run on: for a restart or a hand-over. The run ends with `Ok`.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// As [`Driver::stop`], but the run ends with an error that says why.
    pub fn abort(&self, why: impl Into<String>) {
        *self.shared.aborted.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.into());
        self.shared.stop.cancel();
    }

    /// Takes the framework out of the cluster: **ends all of its tasks**. The run ends with `Ok`.
    ///
    /// # Errors
    /// When not subscribed; nothing happens then.
    pub async fn teardown(&self) -> Result<(), CallError> {
        // Before the call: the master's answer, that the framework was removed, may come before the call returns.
        self.shared.tearing_down.store(true, Ordering::SeqCst);
        let sent = self.call(Type::Teardown, |_| {}).await;
        match sent {
            Ok(()) => self.shared.finish.cancel(),
            Err(_) => self.shared.tearing_down.store(false, Ordering::SeqCst),
        }
        sent
    }

    /// Leaves the master at once: calls that are still on their way out are dropped. For a scheduler whose place another has
    /// taken.
    pub fn abandon(&self) {
        self.shared.abandoned.store(true, Ordering::SeqCst);
        self.shared.close();
        self.shared.stop.cancel();
    }

    /// The time since this driver was made, for what is due by time.
    pub fn now(&self) -> Mono {
        self.shared.now()
    }

    /// The framework's id, once there is one.
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.shared.framework.borrow().clone()
    }

    /// Whether there is a subscription at the moment.
    pub fn is_connected(&self) -> bool {
        self.shared.outgoing.borrow().is_some()
    }

    /// How many tasks the master has been asked for without an answer so far.
    pub fn unreconciled(&self) -> usize {
        self.shared.reconciliation().unanswered()
    }

    /// Reads up to `length` bytes of a file in a task's sandbox through the master, from `offset` on.
    ///
    /// # Errors
    /// [`SandboxError`]: not subscribed, no such task or file, or the agent cannot be reached.
    pub async fn read_file(
        &self,
        task: &TaskId,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<String, SandboxError> {
        let outgoing = self.shared.outgoing.borrow().clone().ok_or(SandboxError::Disconnected)?;
        let place = format!(
            "/query/v1/tasks/{}/{}",
            sandbox::escaped(outgoing.framework.as_str()),
            sandbox::escaped(task.as_str())
        );
        let place =
            format!("{place}/files/read?path={}&offset={offset}&length={length}", sandbox::escaped(path));
        let dialer = self.shared.config().dialer.clone();
        sandbox::read(&outgoing.master, &dialer, &place).await
    }

    async fn call(&self, kind: Type, fill: impl FnOnce(&mut api::Call)) -> Result<(), CallError> {
        let call = self.shared.prepare(kind, fill)?;
        self.shared.send(call).await
    }
}

fn ids(offers: impl IntoIterator<Item = OfferId>) -> Vec<v1::OfferId> {
    offers.into_iter().map(|id| (&id).into()).collect()
}

fn wire_filters(filters: Filters) -> v1::Filters {
    v1::Filters { refuse_seconds: Some(filters.refuse.as_secs_f64()) }
}
