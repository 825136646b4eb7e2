//! Operations that an operator asks for: on what an agent has free, and what offers of it can be taken back for it.
//!
//! They count at once. What holds resources until an agent answers has somebody to be charged for it, and an operator
//! is nobody; should the agent fail one, it states afresh what it has, as after any failure of what was taken for granted.

use std::cmp::Reverse;
use std::sync::Arc;

use chapada_model::{
    AgentId, Conversion, Mono, OfferId, OperationState, OperationStatus, Quantities, Resources, Role, Text,
};

use super::{By, Ground};
use crate::books::{add, subtract};
use crate::{Agent, AgentCommand, Change, MAX_OPERATIONS, Master, OfferOperation, OperatorRefused};

impl Master {
    /// Does an operation on free and offered resources of an agent. Offers are taken back only as far as it needs them.
    ///
    /// # Errors
    /// [`OperatorRefused`]; nothing has changed then.
    pub(crate) fn operate_by_operator(
        &mut self,
        agent: &AgentId,
        change: &Change,
        principal: Option<&Text>,
    ) -> Result<(), OperatorRefused> {
        let conversion = self.check_operators(agent, change, principal)?;
        let offers = self.offers_for(agent, &conversion.consumed)?;
        for offer in &offers {
            self.rescind(offer);
        }
        self.take_back_shared(agent, &conversion.consumed);
        self.convert_free(agent, &conversion);
        self.send_operators(agent, change, conversion);
        Ok(())
    }

    fn check_operators(
        &self,
        id: &AgentId,
        change: &Change,
        principal: Option<&Text>,
    ) -> Result<Conversion, OperatorRefused> {
        let agent = self.books.agents.get(id).filter(|agent| agent.is_registered());
        let agent =
            agent.ok_or_else(|| OperatorRefused::Invalid("No agent found with specified ID".to_owned()))?;
        let invalid = |message: String| {
            OperatorRefused::Invalid(format!(
                "Invalid {} operation on agent {id}: {message}",
                change.kind().name()
            ))
        };
        let conversion = change.check(&Ground { by: By::Operator { principal }, agent }).map_err(invalid)?;
        if agent.link().is_none() {
            return Err(OperatorRefused::Conflict(format!(
                "Agent {id} is not connected: try again when it has come back"
            )));
        }
        let known = self.index.operations_by_agent.iter(id).filter_map(|key| self.books.operations.get(key));
        if known.filter(|known| known.framework.is_none()).count() >= MAX_OPERATIONS {
            return Err(OperatorRefused::Conflict(format!(
                "{MAX_OPERATIONS} operations of operators wait for an answer of agent {id}"
            )));
        }
        let mut total = agent.total.clone();
        conversion.apply(&mut total).map_err(|_| does_not_contain(&total, &conversion.consumed))?;
        self.check_resources_fit(agent, &total).map_err(invalid)?;
        Ok(conversion)
    }

    /// The offers to take back so that there is enough free, none of them in vain: without any one of them it would not do.
    fn offers_for(&self, id: &AgentId, wanted: &Resources) -> Result<Vec<OfferId>, OperatorRefused> {
        let agent = self.books.agents.get(id).filter(|agent| !agent.free.contains(wanted));
        let Some(agent) = agent else { return Ok(Vec::new()) };
        let mut chosen: Vec<Helpful> = Vec::new();
        for offer in self.index.offers_by_agent.iter(id).filter_map(|offer| self.books.offers.get(offer)) {
            // What is shared is free whoever is offered it.
            let resources = offer.resources.unallocated().filter(|resource| !resource.shared);
            let helps = resources.intersection(wanted);
            if !helps.is_empty() {
                chosen.push(Helpful { id: offer.id.clone(), since: offer.since.mono, resources, helps });
            }
        }
        let mut back = Resources::EMPTY;
        chosen.iter().for_each(|offer| add(&mut back, &offer.resources));
        let available = free_with(agent, &back);
        if !available.contains(wanted) {
            return Err(does_not_contain(&available, wanted));
        }
        // Which gives most of what is wanted is needed first; of equals the one that has least else, then the older, which
        // had its time.
        chosen.sort_by_key(|offer| {
            (amount(&offer.helps), Reverse(amount(&offer.resources)), Reverse(offer.since))
        });
        if let Some(least) =
            chosen.iter().rev().find(|offer| free_with(agent, &offer.resources).contains(wanted))
        {
            return Ok(vec![least.id.clone()]);
        }
        let mut needed = Vec::new();
        for offer in chosen {
            let mut without = back.clone();
            subtract(&mut without, &offer.resources);
            match free_with(agent, &without).contains(wanted) {
                true => back = without,
                false => needed.push(offer.id),
            }
        }
        Ok(needed)
    }

    /// What was free is something else now, and free.
    fn convert_free(&mut self, agent: &AgentId, conversion: &Conversion) {
        if let Some(record) = self.agent_mut(agent) {
            subtract(&mut record.free, &conversion.consumed.filter(|resource| !resource.shared));
        }
        self.convert_total(agent, conversion);
        self.set_free(agent, &conversion.converted);
    }

    fn send_operators(&mut self, agent: &AgentId, change: &Change, conversion: Conversion) {
        let Some(key) = self.new_operation_key() else { return };
        let status = OperationStatus {
            key: Some(key.clone()),
            operation: None,
            framework: None,
            agent: Some(agent.clone()),
            state: OperationState::Pending,
            message: None,
            converted: Resources::EMPTY,
            uuid: None,
        };
        let operation = Arc::new(OfferOperation {
            key,
            framework: None,
            agent: agent.clone(),
            role: Role::star(),
            kind: Some(change.kind()),
            conversion: Some(Arc::new(conversion)),
            holds: Resources::EMPTY,
            status: Arc::new(status),
            started: self.now.wall,
        });
        self.books.counters.operations += 1;
        self.insert_operation(operation.clone());
        self.tell_agent(agent, AgentCommand::Operate { operation });
    }
}

/// An offer that has something of what is wanted.
struct Helpful {
    id: OfferId,
    since: Mono,
    /// What is free again when it is taken back.
    resources: Resources,
    /// What of it is wanted.
    helps: Resources,
}

/// How much it is, all names together.
fn amount(resources: &Resources) -> u128 {
    Quantities::from(resources).iter().map(|(_, amount)| u128::from(amount.0)).sum()
}

/// What is free at the agent once so much is taken back.
fn free_with(agent: &Agent, back: &Resources) -> Resources {
    let mut free = back.clone();
    // What the agent has lost below what it held is made up for first.
    subtract(&mut free, &agent.overcommit.intersection(back));
    add(&mut free, &agent.free);
    free
}

/// Source: Mesos' text.
fn does_not_contain(available: &Resources, wanted: &Resources) -> OperatorRefused {
    OperatorRefused::Conflict(format!("{available} does not contain {wanted}"))
}
