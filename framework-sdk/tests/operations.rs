//! Operations with an id, and what a framework wants to be offered.

mod support;

use chapada_sdk::model::{AgentId, Milli, OperationState, OperationStatus, Role, TaskId, TaskStatus};
use chapada_sdk::wire::OperationState as Wire;
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::{
    Acknowledge, CallError, CancellationToken, Driver, Event, Offer, Scheduler, SchedulerError, connect, run,
};
use support::scripted_master::ScriptedMaster;
use support::{config, soon};

/// Fails on an operation that failed.
struct Owner;

impl Scheduler for Owner {
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        Vec::new()
    }

    async fn offers(&mut self, _: &Driver, _: Vec<Offer>) -> Result<(), SchedulerError> {
        Ok(())
    }

    async fn update(&mut self, _: &Driver, _: TaskStatus) -> Result<(), SchedulerError> {
        Ok(())
    }

    async fn operation(&mut self, _: &Driver, status: OperationStatus) -> Result<(), SchedulerError> {
        match status.state {
            OperationState::Failed => Err("no disk".into()),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn an_outcome_is_acknowledged_when_handled_and_not_when_the_scheduler_fails() {
    let mut master = ScriptedMaster::start().await;
    let running = tokio::spawn(run(config(&master), None, Owner, CancellationToken::new()));
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.operation("reserve-1", Wire::OperationFinished).await;
    let call = subscription.expect(Type::AcknowledgeOperationStatus).await;
    let said = call.acknowledge_operation_status.unwrap();
    assert_eq!((said.operation_id.unwrap().value(), said.uuid), ("reserve-1", Some(vec![8; 16])));
    assert_eq!(said.agent_id.unwrap().value(), "a1");
    subscription.operation("create-1", Wire::OperationFailed).await;
    let error = soon("the failure", running).await.unwrap().err().unwrap();
    assert_eq!(error.to_string(), "the scheduler failed on operation: no disk");
    assert!(soon("the end", subscription.next()).await.is_none(), "nothing was acknowledged");
}

#[tokio::test]
async fn explicitly_the_scheduler_acknowledges_and_may_ask() {
    let mut master = ScriptedMaster::start().await;
    let mut config = config(&master);
    config.acknowledge = Acknowledge::Explicitly;
    let (driver, mut events) = connect(config, None);
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.operation("one", Wire::OperationFinished).await;
    subscription.operation("two", Wire::OperationDropped).await;
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        if let Some(Ok(Event::Operation(status))) = soon("an outcome", events.next()).await {
            outcomes.push(status);
        }
    }
    driver.acknowledge_operation(&outcomes[1]).await.unwrap();
    let call = subscription.expect(Type::AcknowledgeOperationStatus).await;
    assert_eq!(call.acknowledge_operation_status.unwrap().operation_id.unwrap().value(), "two");
    let bare = OperationStatus { uuid: None, ..outcomes[0].clone() };
    assert_eq!(driver.acknowledge_operation(&bare).await, Err(CallError::NothingToAcknowledge));
    let asked = [("one".parse().unwrap(), None), ("three".parse().unwrap(), Some("a1".parse().unwrap()))];
    driver.reconcile_operations(asked).await.unwrap();
    let call = subscription.expect(Type::ReconcileOperations).await;
    let asked = call.reconcile_operations.unwrap().operations;
    assert_eq!((asked[0].operation_id.as_ref().unwrap().value(), asked[0].agent_id.is_none()), ("one", true));
    assert_eq!(asked[1].agent_id.as_ref().unwrap().value(), "a1");
}

#[tokio::test]
async fn what_is_wanted_is_said_by_role_at_each_subscription_and_between() {
    let mut master = ScriptedMaster::start().await;
    let (web, batch): (Role, Role) = ("web".parse().unwrap(), "batch".parse().unwrap());
    let mut config = config(&master);
    config.roles = vec![web.clone(), batch.clone()];
    config.suppressed_roles = vec![batch.clone()];
    config.min_allocatable = [(web, vec![[("cpus", Milli::whole(2))].into_iter().collect()])].into();
    config.offer_constraints = Some(Default::default());
    let (driver, _events) = connect(config, None);
    let (mut subscription, call) = master.subscribed("f1", 15.0).await;
    let said = call.subscribe.unwrap();
    assert_eq!((said.suppressed_roles, said.offer_constraints.is_some()), (vec!["batch".to_owned()], true));
    let filters = said.framework_info.unwrap().offer_filters;
    let least = filters["web"].min_allocatable_resources.as_ref().unwrap();
    assert_eq!(least.quantities[0].quantities["cpus"].value, Some(2.0));

    driver.revive_in([batch.clone()]).await.unwrap();
    assert_eq!(subscription.expect(Type::Revive).await.revive.unwrap().roles, ["batch"]);
    // Without a role nothing is said: no role in the call would mean all of them.
    driver.suppress_in([]).await.unwrap();
    driver.revive_in([]).await.unwrap();
    driver.suppress_in([batch]).await.unwrap();
    assert_eq!(subscription.expect(Type::Suppress).await.suppress.unwrap().roles, ["batch"]);
    driver.decline_inverse_offers(["i1".parse().unwrap()], Default::default()).await.unwrap();
    let declined = subscription.expect(Type::DeclineInverseOffers).await.decline_inverse_offers.unwrap();
    assert_eq!(declined.inverse_offer_ids[0].value(), "i1");
}
