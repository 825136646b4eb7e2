//! An operation of an ACCEPT: done in the books and sent to its agent, or refused.

use std::sync::Arc;

use chapada_allocator::AgentInput;
use chapada_model::{
    AgentId, Conversion, FrameworkId, OperationId, OperationKey, OperationKind, OperationState,
    OperationStatus, Resources, Text,
};

use super::{By, Ground};
use crate::accept::Hand;
use crate::books::{add, subtract};
use crate::{AgentCommand, Change, MAX_OPERATIONS, Master, OfferOperation, SchedulerEvent};

impl Master {
    /// Does one operation against what is left of the offers, or says why not. The others of the ACCEPT go on either way.
    pub(crate) fn change(&mut self, hand: &mut Hand, id: Option<OperationId>, change: &Change) {
        let name = change.kind().name();
        match self.check_change(hand, id.as_ref(), change) {
            Ok(conversion) => self.start_operation(hand, id, change.kind(), conversion),
            Err(message) => {
                let message = format!("Invalid {name} operation: {message}");
                self.refuse_operation(&hand.framework, None, id, OperationState::Error, &message);
            }
        }
    }

    fn check_change(
        &self,
        hand: &Hand,
        id: Option<&OperationId>,
        change: &Change,
    ) -> Result<Conversion, String> {
        let framework = self.books.frameworks.get(&hand.framework).ok_or("the framework is gone")?;
        let agent = self.books.agents.get(&hand.agent).ok_or("the agent is gone")?;
        let mut open = 0;
        for key in self.index.operations_by_framework.iter(&hand.framework) {
            let known = self.books.operations.get(key).and_then(|known| known.status.operation.as_ref());
            if id.is_some() && known == id {
                return Err(format!("operation ID {} is in use", id.map_or("", OperationId::as_str)));
            }
            open += 1;
        }
        if open >= MAX_OPERATIONS {
            return Err(format!(
                "{MAX_OPERATIONS} operations of the framework wait for an answer or an acknowledgement"
            ));
        }
        let by = By::Framework { framework: &framework.description, role: &hand.role };
        let conversion = change.check(&Ground { by, agent })?;
        if !hand.left.contains(&conversion.consumed) {
            return Err(format!(
                "{} needs {}, but only {} is left of the offers",
                change.kind().name(),
                conversion.consumed,
                hand.left
            ));
        }
        let (mut left, mut total) = (hand.left.clone(), agent.total.clone());
        conversion.apply(&mut left).and_then(|()| conversion.apply(&mut total)).map_err(|e| e.to_string())?;
        self.check_resources_fit(agent, &total)?;
        Ok(conversion)
    }

    fn start_operation(
        &mut self,
        hand: &mut Hand,
        id: Option<OperationId>,
        kind: OperationKind,
        conversion: Conversion,
    ) {
        let Some(key) = self.new_operation_key() else { return };
        let conversion = Arc::new(conversion);
        subtract(&mut hand.left, &conversion.consumed);
        let holds = match is_taken_for_granted(kind) {
            true => {
                add(&mut hand.left, &conversion.converted);
                self.take_back_shared(&hand.agent, &conversion.consumed);
                self.convert_total(&hand.agent, &conversion);
                // What is reserved or shared counts otherwise than what is not.
                self.allocator.discharge(&hand.framework, &hand.role, &conversion.consumed);
                self.allocator.charge(&hand.framework, &hand.role, &conversion.converted);
                Resources::EMPTY
            }
            false => {
                self.use_offered(&hand.agent, &hand.role, &conversion.consumed);
                conversion.consumed.clone()
            }
        };
        let status = OperationStatus {
            key: Some(key.clone()),
            operation: id,
            framework: Some(hand.framework.clone()),
            agent: Some(hand.agent.clone()),
            state: OperationState::Pending,
            message: None,
            converted: Resources::EMPTY,
            uuid: None,
        };
        let operation = Arc::new(OfferOperation {
            key,
            framework: Some(hand.framework.clone()),
            agent: hand.agent.clone(),
            role: hand.role.clone(),
            kind: Some(kind),
            conversion: Some(conversion),
            holds,
            status: Arc::new(status),
            started: self.now.wall,
        });
        self.books.counters.operations += 1;
        self.insert_operation(operation.clone());
        self.tell_agent(&hand.agent, AgentCommand::Operate { operation });
    }

    /// What the agent has is now this, whoever holds it.
    pub(crate) fn convert_total(&mut self, agent: &AgentId, conversion: &Conversion) {
        let Some(record) = self.agent_mut(agent) else { return };
        subtract(&mut record.total, &conversion.consumed);
        add(&mut record.total, &conversion.converted);
        // What is shared is free whoever uses it.
        let (ended, made) = (conversion.consumed.shared(), conversion.converted.shared());
        subtract(&mut record.free, &ended);
        add(&mut record.free, &made);
        let input = AgentInput::new(&record.description, &record.total);
        let free = (!ended.is_empty() || !made.is_empty()).then(|| record.free.clone());
        self.allocator.set_agent_total(agent, input);
        if let Some(free) = free {
            self.allocator.set_free(agent, free, true);
        }
    }

    /// Says that an operation was not done, to those who want to hear of it.
    pub(crate) fn refuse_operation(
        &mut self,
        framework: &FrameworkId,
        agent: Option<AgentId>,
        id: Option<OperationId>,
        state: OperationState,
        message: &str,
    ) {
        self.drop_with(|| format!("an operation of framework {framework}: {message}"));
        if id.is_none() {
            return;
        }
        let status = OperationStatus {
            key: None,
            operation: id,
            framework: Some(framework.clone()),
            agent,
            state,
            message: Some(message.into()),
            converted: Resources::EMPTY,
            uuid: None,
        };
        self.tell_framework(framework, SchedulerEvent::UpdateOperation(Arc::new(status)));
    }

    /// Says that an operation was not done, under the id that it was given and that cannot be one.
    pub(crate) fn refuse_misnamed(&mut self, framework: &FrameworkId, id: Text, message: &str) {
        self.drop_with(|| format!("an operation of framework {framework}: {message}"));
        let message = message.into();
        self.tell_framework(framework, SchedulerEvent::OperationMisnamed { id, message });
    }

    pub(super) fn new_operation_key(&mut self) -> Option<OperationKey> {
        self.next_operation += 1;
        OperationKey::new(format!("{}-P{}", self.settings.master_id, self.next_operation)).ok()
    }
}

/// Whether later operations of the same ACCEPT may use what this one makes, before its agent has answered. Source: Mesos.
fn is_taken_for_granted(kind: OperationKind) -> bool {
    match kind {
        OperationKind::Reserve
        | OperationKind::Unreserve
        | OperationKind::Create
        | OperationKind::Destroy => true,
        OperationKind::GrowVolume | OperationKind::ShrinkVolume => false,
    }
}
