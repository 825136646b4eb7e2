//! What the books say, as events on the wire.

use chapada_master_core::{ErrorCode, InverseOffer, Offer, SchedulerEvent};
use chapada_model::{FrameworkId, MasterDescription, OperationState, Reason, Source};
use chapada_wire::convert::{OfferParts, ReservationFormat};
use chapada_wire::v1;
use chapada_wire::v1::scheduler::Event;
use chapada_wire::v1::scheduler::event::error::Code;
use chapada_wire::v1::scheduler::event::{
    Error, Failure, InverseOffers, Message, Offers, Rescind, RescindInverseOffer, Subscribed, Type, Update,
    UpdateOperationStatus,
};

use super::subscription::HEARTBEAT_INTERVAL;

/// What is needed to write events of one subscription.
pub(crate) struct Writer {
    pub(crate) master: MasterDescription,
    pub(crate) format: ReservationFormat,
}

impl Writer {
    /// An event of the subscription of `framework`.
    pub(crate) fn event(&self, framework: &FrameworkId, event: SchedulerEvent) -> Event {
        match event {
            SchedulerEvent::Subscribed => Event {
                subscribed: Some(Subscribed {
                    framework_id: Some(framework.into()),
                    heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
                    master_info: Some((&self.master).into()),
                }),
                ..bare(Type::Subscribed)
            },
            SchedulerEvent::Offers(offers) => Event {
                offers: Some(Offers { offers: offers.iter().map(|made| offer(made, self.format)).collect() }),
                ..bare(Type::Offers)
            },
            SchedulerEvent::Rescind(id) => {
                Event { rescind: Some(Rescind { offer_id: Some((&id).into()) }), ..bare(Type::Rescind) }
            }
            SchedulerEvent::InverseOffers(offers) => Event {
                inverse_offers: Some(InverseOffers {
                    inverse_offers: offers.iter().map(|made| inverse_offer(made)).collect(),
                }),
                ..bare(Type::InverseOffers)
            },
            SchedulerEvent::RescindInverseOffer(id) => Event {
                rescind_inverse_offer: Some(RescindInverseOffer { inverse_offer_id: Some((&id).into()) }),
                ..bare(Type::RescindInverseOffer)
            },
            SchedulerEvent::Update(status) => update(without_old_data((&*status).into())),
            SchedulerEvent::UpdateMalformed { task_id, agent_id, state, reason, message, timestamp } => {
                update(v1::TaskStatus {
                    task_id: Some(v1::TaskId { value: Some(task_id.to_string()) }),
                    agent_id: Some(v1::AgentId { value: Some(agent_id.to_string()) }),
                    state: Some(state.number()),
                    source: Some(Source::Master.number()),
                    reason: Some(reason.number()),
                    message: Some(message.to_string()),
                    timestamp: Some(timestamp.as_secs_f64()),
                    ..v1::TaskStatus::default()
                })
            }
            SchedulerEvent::UpdateOperation(status) => Event {
                update_operation_status: Some(UpdateOperationStatus { status: Some((&*status).into()) }),
                ..bare(Type::UpdateOperationStatus)
            },
            SchedulerEvent::OperationMisnamed { id, message } => Event {
                update_operation_status: Some(UpdateOperationStatus {
                    status: Some(v1::OperationStatus {
                        operation_id: Some(v1::OperationId { value: Some(id.to_string()) }),
                        state: Some(OperationState::Error.number()),
                        message: Some(message.to_string()),
                        ..v1::OperationStatus::default()
                    }),
                }),
                ..bare(Type::UpdateOperationStatus)
            },
            SchedulerEvent::Message { agent, executor, data } => Event {
                message: Some(Message {
                    agent_id: Some((&agent).into()),
                    executor_id: Some((&executor).into()),
                    data: Some(data.as_bytes().to_vec()),
                }),
                ..bare(Type::Message)
            },
            SchedulerEvent::Failure { agent, executor, status } => Event {
                failure: Some(Failure {
                    agent_id: Some((&agent).into()),
                    executor_id: executor.as_ref().map(Into::into),
                    status,
                }),
                ..bare(Type::Failure)
            },
            SchedulerEvent::Error { code, message } => error(code, &message),
        }
    }
}

/// A sign of life.
pub(super) fn heartbeat() -> Event {
    bare(Type::Heartbeat)
}

/// The end of a subscription.
pub(super) fn error(code: ErrorCode, message: &str) -> Event {
    let code = match code {
        ErrorCode::InvalidSubscription => Code::InvalidSubscription,
        ErrorCode::FrameworkRemoved => Code::FrameworkRemoved,
        ErrorCode::FrameworkFailedOver => Code::FrameworkFailedOver,
    };
    let error = Error { message: Some(message.to_owned()), code: Some(code.into()) };
    Event { error: Some(error), ..bare(Type::Error) }
}

/// An offer on the wire.
pub(crate) fn offer(made: &Offer, format: ReservationFormat) -> v1::Offer {
    OfferParts {
        id: &made.id,
        framework: &made.framework,
        agent_id: &made.agent,
        agent: &made.host,
        role: &made.role,
        resources: &made.resources,
        executors: &made.executors,
        unavailability: made.unavailability.as_ref(),
        format,
    }
    .into()
}

/// A request to leave a whole agent, so it names no resources. Source: Mesos.
fn inverse_offer(made: &InverseOffer) -> v1::InverseOffer {
    v1::InverseOffer {
        id: Some((&made.id).into()),
        framework_id: Some((&made.framework).into()),
        agent_id: Some((&made.agent).into()),
        unavailability: Some((&made.unavailability).into()),
        ..v1::InverseOffer::default()
    }
}

/// An answer to reconciliation says where a task stands; the bytes of the update that once said so are not repeated.
///
/// Source: `Master::reconcile` of Mesos erases message and data.
fn without_old_data(mut status: v1::TaskStatus) -> v1::TaskStatus {
    if status.reason == Some(Reason::Reconciliation.number()) {
        status.data = None;
    }
    status
}

fn update(status: v1::TaskStatus) -> Event {
    Event { update: Some(Update { status: Some(status) }), ..bare(Type::Update) }
}

fn bare(kind: Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconciliation_repeats_no_data_and_other_updates_keep_theirs() {
        let status = |reason: Reason| v1::TaskStatus {
            reason: Some(reason.number()),
            data: Some(b"old".to_vec()),
            ..v1::TaskStatus::default()
        };
        assert_eq!(without_old_data(status(Reason::Reconciliation)).data, None);
        assert!(without_old_data(status(Reason::CommandExecutorFailed)).data.is_some());
    }
}
