//! What a scheduler author implements.

use std::future::Future;

use chapada_model::{AgentId, Filters, OfferId, OperationStatus, TaskId, TaskStatus};
use chapada_sdk_core::Offer;

use crate::driver::Driver;
use crate::event::{ExecutorMessage, Failure, InverseOffer, Subscribed};

/// Whatever a scheduler fails with. [`CallError::Disconnected`](crate::CallError) is forgiven: the driver subscribes again and
/// reconciles, and an update that was being handled comes again. Anything else ends the run.
pub type SchedulerError = Box<dyn std::error::Error + Send + Sync>;

/// Decides what runs where. All callbacks run one after the other; while one runs, later events wait.
///
/// An update is acknowledged when [`Scheduler::update`] has returned `Ok`; if the process dies before, it comes again.
pub trait Scheduler: Send {
    /// Tasks believed not to have ended, with where they were sent. After each subscription the master is asked for them until
    /// it has answered for each.
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        Vec::new()
    }

    /// A subscription begins; offers seen before are void.
    fn subscribed(
        &mut self,
        _driver: &Driver,
        _subscription: Subscribed,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }

    /// The subscription is over; the driver is at the next.
    fn disconnected(&mut self, _driver: &Driver) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }

    /// Resources: launch on them or decline them, each exactly once.
    fn offers(
        &mut self,
        driver: &Driver,
        offers: Vec<Offer>,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send;

    /// What became of a task. Comes at least once, in order for each task.
    fn update(
        &mut self,
        driver: &Driver,
        status: TaskStatus,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send;

    /// An offer is void.
    fn rescinded(
        &mut self,
        _driver: &Driver,
        _offer: OfferId,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }

    /// Machines are to be left. The default agrees.
    fn inverse_offers(
        &mut self,
        driver: &Driver,
        offers: Vec<InverseOffer>,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async move {
            let offers = offers.into_iter().map(|offer| offer.id);
            Ok(driver.accept_inverse_offers(offers, Filters::default()).await?)
        }
    }

    /// A machine need not be left after all, or not for what was said: a new request may follow.
    fn inverse_offer_rescinded(
        &mut self,
        _driver: &Driver,
        _offer: OfferId,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }

    /// What became of an operation that was given an id in [`Driver::accept`]. Comes at least once, and is acknowledged when this
    /// has returned `Ok`.
    fn operation(
        &mut self,
        _driver: &Driver,
        _status: OperationStatus,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }

    /// A message from an executor of one's own.
    fn message(
        &mut self,
        _driver: &Driver,
        _message: ExecutorMessage,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }

    /// An agent was removed or an executor has ended.
    fn failure(
        &mut self,
        _driver: &Driver,
        _failure: Failure,
    ) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }

    /// Called every [`FrameworkConfig::tick`](crate::FrameworkConfig::tick), subscribed or not, for what is due by time.
    fn tick(&mut self, _driver: &Driver) -> impl Future<Output = Result<(), SchedulerError>> + Send {
        async { Ok(()) }
    }
}
